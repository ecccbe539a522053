import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from experiments.benchmarks.clients import ClientPool, Run, end, start
from tests.helpers.federation import TINY


def test_a_run_in_numbers(tmp_path: Path) -> None:
    """The first round warms up, the last is evaluated."""
    (tmp_path / "timing.csv").write_text("round,seconds\n0,9\n1,2\n2,3\n")
    checkpoint = "[Callback]ModelCheckpoint{'every': 5}.on_train_epoch_end"
    profile = {"run_training_epoch": [9.0, 2.5, 7.0], checkpoint: [1.0, 0.5, 1.0], "save_checkpoint": [1.0, 0.5, 1.0]}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    (tmp_path / "run.json").write_text(json.dumps({"peak_memory_bytes": {"host": 5}}))
    (tmp_path / "summary.json").write_text(json.dumps({"generator_sha256": "ab"}))
    (tmp_path / "checkpoints" / "clients").mkdir(parents=True)
    (tmp_path / "checkpoints" / "round_0002.ckpt").write_bytes(b"123")
    (tmp_path / "checkpoints" / "clients" / "a").write_bytes(b"1234")
    run = Run(tmp_path, written=0)
    assert run.seconds == [2, 3]
    assert run.whole_seconds == [3.0]
    assert (run.peak_memory, run.checkpoint_bytes, run.generator_sha256) == (5, 7, "ab")


def test_a_run_that_fails_ends_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        end(start(tmp_path, "misspelt=1"), tmp_path)
    assert stop.value.code == 1


def test_a_row_for_each_size() -> None:
    overrides = [override for override in TINY if not override.startswith(("fl.", "dataset.train", "attack"))]
    sizes = {"sizes": [2, 4], "taking_part": 2, "batch_size": 2}
    pool = ClientPool(**sizes, rounds=3, overrides=["attack=none", *overrides], repeats=1)
    with TemporaryDirectory() as folder:  # pytest's own may be in memory, where the system counts nothing as written
        rows = pool.measure(Path(folder))
    assert [row["clients"] for row in rows] == [2, 4]
    assert (rows[0]["time ratio"], rows[0]["memory ratio"]) == (1, 1)
    for row in rows:
        # A round writes the two clients that took part, and of each only the newest state is kept.
        assert 0 < row["checkpoints (MB)"] < 3 * row["written (MB)"]
        assert row["round (s)"] > 0
        assert row["memory (MB)"] > 10
