"""What tables and figures may cost: their runs in the order of training, and what follows from them."""

from collections.abc import Iterator, Sequence

from experiments.budget import Step, table_of
from experiments.multirun import Job
from experiments.paper.artifact import Artifact
from experiments.paper.plan import Arm, Plan
from experiments.paper.runs import is_finished
from fedgan.runs.folder import record_of

# By the command: what its jobs are called, the guess (``DataSet.seconds``) that is theirs, the stage.
FOLLOWUPS = {
    "fedgan.evaluate": ("looks at a control", "control", "controls"),
    "fedgan.utility": ("studies of classifiers", "classifiers", "classifiers"),
}


def costs(artifacts: Sequence[Artifact], arms: Sequence[Arm], plan: Plan) -> str:
    """A table with a row for each stage and data set: how many there are, how many are left, hours.

    Args:
        artifacts: that are to be made.
        arms: all of theirs.
        plan: their runs.
    """
    return table_of([*_runs(arms, plan), *_followups(artifacts, plan)])


def followups_of(artifacts: Sequence[Artifact], plan: Plan) -> list[Job]:
    """What follows from the runs; the control of an attack is wanted by several tables, and looked at once."""
    return list({job.folder: job for artifact in artifacts for job in artifact.followups(plan)}.values())


def _runs(arms: Sequence[Arm], plan: Plan) -> Iterator[Step]:
    for sweep in plan.sweeps(arms):
        guess = float(plan.data[sweep.data].seconds["run"])
        for run in sweep.runs:
            done = is_finished(run)
            took = float(record_of(run)["seconds"]) if done else None
            yield Step(sweep.stage, sweep.data, guess, is_done=done, seconds=took)


def _followups(artifacts: Sequence[Artifact], plan: Plan) -> Iterator[Step]:
    for job in followups_of(artifacts, plan):
        kind, key, stage = FOLLOWUPS[job.module]
        data = job.folder.relative_to(plan.runs).parts[0]
        yield Step(stage, data, float(plan.data[data].seconds[key]), is_done=job.is_done(), kind=kind)
