"""``sweep.dry_run=true``: the runs that a sweep would start, each checked as at its start, and none started."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf, open_dict

from fedgan.config.building.component import instantiate
from fedgan.config.building.run import build_parts, build_trainer
from fedgan.config.places import under_setting
from fedgan.config.refusals import REFUSALS, explain
from fedgan.config.sweeps.plan import composed, jobs_of
from fedgan.config.training import check_resumable, check_settings, finished_summary, settled
from fedgan.config.typed.choices import fit_choices
from fedgan.core.images import Splits
from fedgan.core.precision import rounding
from fedgan.core.words import counted
from fedgan.runs.checkpoint import latest_checkpoint, rounds_done
from fedgan.runs.folder import check_new

NEW, DONE, RESUMED, REFUSED = "new", "done already", "to be resumed", "refused"


class Planned(NamedTuple):
    """A run of a sweep before it is started.

    Attributes:
        number: as Hydra counts it.
        varies: its overrides that not all runs share; empty where there is one run.
        folder: of the run; empty where its settings cannot be composed.
        state: ``NEW``, ``DONE``, ``RESUMED`` or ``REFUSED``.
        note: how far it is, or why it is refused.
    """

    number: int
    varies: str
    folder: str
    state: str
    note: str


class Data:
    """The data set that was read last, for runs that share it: one at a time is in memory."""

    def __init__(self) -> None:
        self._settings: object = None
        self._splits: Splits | None = None

    def of(self, settings: DictConfig) -> Splits:
        """The data set of these settings, read unless the last one was made by the same."""
        plain = OmegaConf.to_container(settings, resolve=True)
        if self._splits is None or self._settings != plain:
            self._splits = None  # not two at a time
            self._splits = instantiate(settings).load()
            self._settings = plain
        return self._splits


def dry_run(config: DictConfig) -> str | int:
    """Print one line per run of the sweep, and how many there are.

    Args:
        config: the sweep's, as Hydra's own sweeper gets it.

    Returns:
        The exit code: 0, or the line that names the runs which would be refused.
    """
    jobs, data = jobs_of(config), Data()
    own = list(enumerate(zip(jobs, varying(jobs), strict=True)))
    own.sort(key=lambda each: [text for text in each[1][0] if text.startswith("dataset")])  # each is read once
    rows = sorted(planned(config, job, number, varies, data) for number, (job, varies) in own)
    print(*table(rows), sep="\n")
    print(total(rows), file=sys.stderr)
    refused = [f"#{row.number}" for row in rows if row.state == REFUSED]
    return (
        f"error: {counted(len(refused), 'run')} of this sweep would be refused: {', '.join(refused)}" if refused else 0
    )


def planned(config: DictConfig, job: Sequence[str], number: int, varies: str, data: Data) -> Planned:
    """One run, checked; a refusal is its state."""
    folder = ""
    try:
        with composed(config, job, number) as own:
            cfg = own.copy()
            with open_dict(cfg):
                del cfg["hydra"]
            folder = str(Path(str(own.hydra.sweep.dir)) / str(own.hydra.sweep.subdir))
            try:
                return Planned(number, varies, folder, *checked_state(cfg, data))
            except OSError as error:
                return Planned(number, varies, folder, REFUSED, under_setting(error, cfg) or explain(error))
    except REFUSALS as error:
        return Planned(number, varies, folder, REFUSED, explain(error))


def checked_state(cfg: DictConfig, data: Data) -> tuple[str, str]:
    """Whether a run is new, done or to be resumed, and how far it is; within a command.

    Raises:
        ValueError: in one line, as the run itself would.
    """
    fit_choices(cfg)
    cfg, folder = settled(cfg)
    if summary := finished_summary(cfg, folder):
        return DONE, counted(summary["rounds"], "round")
    check_settings(cfg)
    checkpoint = latest_checkpoint(folder) if cfg.resume is not None else None
    if checkpoint is None:
        check_new(folder)
    with rounding(str(cfg.trainer.precision)):
        parts = build_parts(cfg, folder, data.of(cfg.dataset))
        build_trainer(cfg, folder, parts, [])
    if checkpoint is None:
        return NEW, counted(cfg.fl.rounds, "round")
    check_resumable(cfg, folder, checkpoint, parts)
    return RESUMED, f"{rounds_done(checkpoint)} of {counted(cfg.fl.rounds, 'round')}"


def varying(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Of each run the overrides that not all runs share.

    Example:
        >>> varying([["seed=0", "fl.rounds=2"], ["seed=1", "fl.rounds=2"]])
        ['seed=0', 'seed=1']
    """
    shared = set.intersection(*(set(job) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(each for each in job if each not in shared) if len(jobs) > 1 else "" for job in jobs]


def table(rows: Sequence[Planned]) -> list[str]:
    """One line per run, its columns aligned."""
    cells = [(f"#{r.number}", r.varies, r.folder, r.state + (f": {r.note}" if r.note else "")) for r in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in cells
    ]


def total(rows: Sequence[Planned]) -> str:
    """How many runs there are, and of which state.

    Example:
        >>> total([Planned(0, "", "a", NEW, ""), Planned(1, "", "b", DONE, "")])
        '2 runs: 1 new, 1 done already; none was started'
    """
    states = ", ".join(f"{number} {state}" for state, number in Counter(row.state for row in rows).items())
    return f"{counted(len(rows), 'run')}: {states}; none was started"
