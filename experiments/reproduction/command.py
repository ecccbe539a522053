"""The commands: one for each table and figure, one for all of them."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from experiments.reproduction.artifact import Artifact
from experiments.reproduction.plan import Plan
from experiments.reproduction.writing import verdict_rows
from experiments.running import carry_out
from fedgan.config.command import command
from fedgan.core.folders import claim

SUFFIXES = ("csv", "md", "tex", "png", "pdf")  # of what a table or figure may write
NAMES = ("table1", "table2", "table3", "table4", "figure3", "figure4", "figure5", "figure6", "figure7")


def reproduce(artifacts: Sequence[Artifact], plan: Plan) -> None:
    """Carry out what is missing, then write and show what came out.

    Raises:
        ValueError: in one line, if something failed; what does not need it is written all the same.
    """
    arms = list(dict.fromkeys(arm for artifact in artifacts for arm in artifact.arms(plan)))
    for data in dict.fromkeys(arm.data for arm in arms):
        plan.check_data(data)
    plan.check_device()
    plan.check_weights()
    claim(plan.results, [f"{each.name}.{suffix}" for each in artifacts for suffix in SUFFIXES], "results")
    failures = carry_out(plan.trainings(arms), at_once=plan.jobs, threads=plan.threads)
    trained = [each for each in artifacts if not failures.keys() & runs_of(each, plan)]
    # The null of an attack is wanted by several tables, and looked at once.
    followups = {job.command: job for artifact in trained for job in artifact.followups(plan)}
    failures |= carry_out(list(followups.values()), at_once=plan.jobs, threads=plan.threads)
    for artifact in trained:
        if not failures.keys() & {job.folder for job in artifact.followups(plan)}:
            tell(artifact, plan)
    if failures:
        first, *others = failures.values()
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"every run must be finished; got {first}{more}")


def runs_of(artifact: Artifact, plan: Plan) -> set[Path]:
    """The folders of all runs that it needs."""
    return {plan.folder(arm, seed) for arm in artifact.arms(plan) for seed in plan.seeds}


def tell(artifact: Artifact, plan: Plan) -> None:
    """Write the results; show the verdicts and where the files are."""
    values = artifact.values(plan)
    verdicts = artifact.verdicts(values, plan.instead_of)
    files = artifact.write(plan, values, verdicts)
    table = Table("claim", "verdict", "after Holm", "95 % interval", title=artifact.heading(plan))
    for row in verdict_rows(verdicts):
        table.add_row(*(row[column.header] for column in table.columns))  # type: ignore[index]
    Console().print(table)
    print(*files, sep="\n")


def command_of(*names: str) -> Callable[[], None]:
    """The command that makes these tables and figures."""

    @command("reproduction")
    def main(cfg: DictConfig) -> None:
        reproduce([import_module(f"experiments.{name}").ARTEFACT for name in names], Plan(cfg))

    return main
