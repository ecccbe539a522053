"""From names to results: the runs that are missing, what follows from them, then tables, pictures and verdicts."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.table import Table

from experiments.multirun import carry_out, train
from experiments.paper.artifact import Artifact
from experiments.paper.artifacts import ARTIFACTS
from experiments.paper.costs import costs, followups_of
from experiments.paper.keeping import keep, restore, restored_elsewhere
from experiments.paper.plan import Arm, Plan
from experiments.paper.runs import is_finished
from experiments.paper.writing import verdict_rows
from experiments.rejudge import RENAMED
from fedgan.config.screen import screen
from fedgan.core.checks import check
from fedgan.core.folders import claim
from fedgan.core.words import counted

SUFFIXES = ("csv", "md", "tex", "png", "pdf")  # of what a table or figure may write


def preview(names: Sequence[str], plan: Plan) -> None:
    """Print what there is to do and what it may cost; do none of it.

    Raises:
        ValueError: in one line, if a run that is there has other settings.
    """
    artifacts = chosen(names)
    arms = arms_of(artifacts, plan)
    plan.check_runs(arms)
    with restored_elsewhere(plan, arms) as shadow:
        restore(shadow, arms, partial(weights_of, artifacts, shadow))
        print(costs(artifacts, arms, shadow))


def make(names: Sequence[str], plan: Plan) -> None:
    """Say what it may cost, carry out what is neither there nor kept, then write and show the results.

    Args:
        names: of tables and figures.
        plan: their runs.

    Raises:
        ValueError: in one line, if something failed; what does not need it is written all the same.
    """
    artifacts = chosen(names)
    arms = arms_of(artifacts, plan)
    plan.check_runs(arms)
    older = (plan.results / RENAMED).exists()
    check(
        not older, "results", f"a folder without {RENAMED}, which gives arms of older files other names", plan.results
    )
    claim(plan.results, [f"{name}.{suffix}" for name in names for suffix in SUFFIXES], "results")
    jobs = followups_of(artifacts, plan)
    restored = restore(plan, arms, partial(weights_of, artifacts, plan))
    if restored:
        print(f"{counted(len(restored), 'folder')} in {plan.runs} restored from {plan.kept}")
    if not all(map(is_finished, plan.folders(arms))) or not all(job.is_done() for job in jobs):
        plan.check_means(arms)
    print(costs(artifacts, arms, plan), flush=True)
    for sweep in plan.sweeps(arms):
        if not all(map(is_finished, sweep.runs)):
            train(sweep.overrides, sweep.folder, sweep.subdir, plan.launcher)
    missing = [run for run in plan.folders(arms) if not is_finished(run)]
    trained = [each for each in artifacts if not set(missing) & set(plan.folders(each.arms(plan)))]
    missing += carry_out(followups_of(trained, plan), plan.launcher)
    try:
        for artifact in trained:
            if not set(missing) & {job.folder for job in artifact.followups(plan)}:
                show(artifact, plan)
    finally:
        keep(plan, arms, [job.folder for job in jobs if not job.is_done()])
    if missing:
        which = f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
        raise ValueError(f"every run must be finished; got none in {which} (its own error is above)")


def chosen(names: Sequence[str]) -> list[Artifact]:
    """The tables and figures with these names."""
    return [ARTIFACTS[name] for name in dict.fromkeys(names)]


def arms_of(artifacts: Sequence[Artifact], plan: Plan) -> list[Arm]:
    """All arms of these tables and figures, each once."""
    return list(dict.fromkeys(arm for artifact in artifacts for arm in artifact.arms(plan)))


def weights_of(artifacts: Sequence[Artifact], plan: Plan) -> set[Path]:
    """The folders of all runs whose weights are wanted, and of studies that are to be continued."""
    return {folder for artifact in artifacts for folder in artifact.weights(plan)}


def show(artifact: Artifact, plan: Plan) -> None:
    """Write the results; show the verdicts and where the files are."""
    values = artifact.values(plan)
    verdicts = artifact.verdicts(values, plan.instead_of)
    files = artifact.write(plan, values, verdicts)
    table = Table("claim", "verdict", "after Holm", "95 % interval", title=artifact.heading(plan))
    for row in verdict_rows(verdicts):
        table.add_row(*(row[column.header] for column in table.columns))  # type: ignore[index]
    screen().print(table)
    print(*files, sep="\n")
