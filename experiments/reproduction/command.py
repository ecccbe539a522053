"""The commands: one for each table and figure, one for all of them."""

from collections.abc import Callable, Sequence
from importlib import import_module

from omegaconf import DictConfig

from experiments.reproduction.artefact import Artefact
from experiments.reproduction.plan import Plan
from experiments.reproduction.writing import verdict_rows
from experiments.running import carry_out
from fedgan.cli import command

NAMES = ("table1", "table2", "table3", "table4", "figure3", "figure4", "figure5", "figure6", "figure7")


def reproduce(artefacts: Sequence[Artefact], plan: Plan) -> None:
    """Carry out what is missing, then write and show what came out."""
    for data in dict.fromkeys(data for artefact in artefacts for data in artefact.data):
        plan.check_data(data)
    arms = [arm for artefact in artefacts for arm in artefact.arms(plan)]
    carry_out(plan.trainings(arms), at_once=plan.jobs, threads=plan.threads)
    # The nulls of one attack are wanted by several tables, and looked at once.
    followups = {job.command: job for artefact in artefacts for job in artefact.followups(plan)}
    carry_out(list(followups.values()), at_once=plan.jobs, threads=plan.threads)
    for artefact in artefacts:
        files = artefact.write(plan)
        show(artefact, plan)
        print(*files, sep="\n")


def show(artefact: Artefact, plan: Plan) -> None:
    """The verdicts as a table on the screen."""
    from rich.console import Console
    from rich.table import Table

    rows = verdict_rows(artefact.verdicts(plan))
    table = Table(*rows[0], title=artefact.title)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def command_of(*names: str) -> Callable[[], None]:
    """The command that makes these tables and figures."""

    @command("reproduction")
    def main(cfg: DictConfig) -> None:
        reproduce([import_module(f"experiments.{name}").ARTEFACT for name in names], Plan(cfg))

    return main
