import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import loopback
from experiments.benchmarks.flower import FLOWER, SIMULATION, Flower, Turn, memory_of, row
from experiments.benchmarks.loopback import family, stop
from tests.helpers.flower import PHANTOM, SETTINGS

FEW: dict[str, Any] = {"clients": 2, "phantom": PHANTOM, "rounds": 2, "repeats": 1, "overrides": SETTINGS}


def test_without_flower_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^flwr must be installed \(pip install 'fedgan\[flower\]'\); got null$"):
        Flower(**FEW).measure(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sides_row_is_of_its_medians() -> None:
    ours = [Turn([4.0, 6.0], 30_000_000, 5, "b" * 64), Turn([9.0, 9.0], 50_000_000, 7, "b" * 64)]
    theirs = [Turn([1.0, 1.0], 1, 1, "b" * 64), Turn([3.0, 3.0], 1, 1, "b" * 64)]
    found = row("ours", ours, theirs)
    assert (found["round (s)"], found["ratio"], found["all rounds (s)"]) == (7.0, 4.0, "4 to 9")
    assert (found["memory (MB)"], found["processes"], found["generator"]) == (40.0, 7, "b" * 12)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_a_process_and_all_that_it_starts_and_stop_ends_them() -> None:
    ends = "import time; own = b'x' * 80_000_000; print(flush=True); time.sleep(60)"
    alone = f"subprocess.Popen([sys.executable, '-c', {ends!r}], start_new_session=True)"
    both = f"import subprocess, sys; child = {alone}; {ends}"
    process = subprocess.Popen([sys.executable, "-c", both], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline(), process.stdout.readline()
        found, everyone = memory_of({process.pid}), family({process.pid})
        assert len(found) == 2
        assert all(80e6 < each < 120e6 for each in found)
    finally:
        stop(process)
    assert len(everyone) == 2
    end = time.monotonic() + 10.0
    while family(everyone) and time.monotonic() < end:
        time.sleep(0.05)
    assert family(everyone) == set(), "the child in a session of its own too"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="pip install 'fedgan[flower]'")
def test_both_sides_end_with_the_same_generator(tmp_path: Path) -> None:
    rows = Flower(**FEW).measure(tmp_path)
    assert [each["side"] for each in rows] == [SIMULATION, FLOWER]
    assert len({each["generator"] for each in rows}) == 1
    assert rows[1]["processes"] > rows[0]["processes"] >= 2
    assert all(each["memory (MB)"] > 100 for each in rows)
