from pathlib import Path

import pytest

from experiments.benchmarks.clients import Run
from experiments.benchmarks.workers import Workers, rounds_per_second
from tests.helpers.federation import TINY


def test_copies_that_run_at_once_count_together(tmp_path: Path) -> None:
    runs = []
    for name, seconds in (("a", 2), ("b", 4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "timing.csv").write_text(f"round,seconds\n0,9\n1,{seconds}\n")
        runs.append(Run(tmp_path / name, written=0))
    assert rounds_per_second(runs) == pytest.approx(1 / 2 + 1 / 4)


@pytest.mark.slow
def test_one_run_over_two_processes_ends_with_the_generator_of_runs_in_one(tmp_path: Path) -> None:
    sides = {"alone": {"copies": 2}, "together": {"processes": 2}}
    rows = Workers(sides=sides, rounds=2, overrides=TINY, repeats=1).measure(tmp_path)
    assert [row["side"] for row in rows] == ["alone", "together"]
    assert rows[0]["ratio"] == 1
    assert all(row["rounds/s"] > 0 for row in rows)
    assert len({row["generator"] for row in rows}) == 1
    assert len(rows[0]["generator"]) == 12
