"""Federations of a study that differ in their seeds alone: which they are, and how they are trained."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from experiments.budget import Step, table_of
from experiments.multirun import train
from experiments.paper.runs import check_run, is_finished
from fedgan.runs.folder import record_of


@dataclass(frozen=True)
class Setting:
    """Federations that differ in their seeds alone.

    Attributes:
        data: the name of the images.
        name: of the setting.
        overrides: of ``python -m fedgan.train``, without the seed.
        seeds: one for each federation.
    """

    data: str
    name: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> str:
        """Of its runs, below the study's: ``chest/control``; each run's is ``sN`` in it."""
        return f"{self.data}/{self.name}"

    @property
    def typed(self) -> tuple[str, ...]:
        """All overrides but where the runs go."""
        return (*self.overrides, f"seed={','.join(map(str, self.seeds))}")


def chosen(every: Sequence[Setting], only: str | None, seeds: range | None) -> list[Setting]:
    """Those whose folder matches a pattern (fnmatch), with the seeds of a range alone; none without seeds.

    Example:
        >>> one = Setting("chest", "control", (), (100, 101, 102))
        >>> [each.seeds for each in chosen([one], "chest/*", range(101, 200))]
        [(101, 102)]
    """
    matching = [each for each in every if only is None or fnmatchcase(each.folder, only)]
    return _with_seeds(matching, lambda _, seed: seeds is None or seed in seeds)


def without(every: Sequence[Setting], counted: Collection[tuple[str, str, int]]) -> list[Setting]:
    """Those that are left when some federations, by data, setting and seed, are taken away.

    Example:
        >>> one = Setting("chest", "control", (), (100, 101, 102))
        >>> [each.seeds for each in without([one], {("chest", "control", 101)})]
        [(100, 102)]
        >>> without([one], {("chest", "control", seed) for seed in one.seeds})
        []
    """
    return _with_seeds(every, lambda each, seed: (each.data, each.name, seed) not in counted)


def _with_seeds(every: Sequence[Setting], wanted: Callable[[Setting, int], bool]) -> list[Setting]:
    """The settings with some of their seeds; none without seeds."""
    cut = [replace(each, seeds=tuple(seed for seed in each.seeds if wanted(each, seed))) for each in every]
    return [each for each in cut if each.seeds]


def budget(every: Sequence[Setting], runs: Path, guess: float) -> str:
    """A table with a row for each setting, in the order of training; then what is left in all.

    Args:
        every: the federations.
        runs: the study's folder, whose finished runs are done and measured.
        guess: seconds of a run, for as long as none has been measured.
    """
    folders = [(each, runs / each.folder / f"s{seed}") for each in every for seed in each.seeds]
    return table_of([_step(each, folder, guess) for each, folder in folders])


def _step(setting: Setting, run: Path, guess: float) -> Step:
    done = is_finished(run)
    seconds = float(record_of(run)["seconds"]) if done else None
    return Step(setting.name, setting.data, guess, is_done=done, seconds=seconds)


def check_runs(runs: Path, every: Sequence[Setting], overrides: Sequence[str] = ()) -> None:
    """Refuse runs with other values than their settings and these overrides give; there need be none.

    Raises:
        ValueError: in one line.
    """
    for setting in every:
        for seed in setting.seeds:
            check_run(runs / setting.folder / f"s{seed}", [*setting.overrides, *overrides, f"seed={seed}"])


def train_all(runs: Path, every: Sequence[Setting], overrides: Sequence[str]) -> int:
    """Train what is not there yet, setting by setting; 1 if a run failed, and the others are trained all the same."""
    codes = [train([*each.typed, *overrides], runs / each.folder, "s${seed}", []) for each in every]
    return max(codes, default=0)
