"""What a table and a figure of the paper have in common: runs, claims, verdicts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.multirun import Job
from experiments.paper import PAPER
from experiments.paper.claims import Values, read_claims, replaced
from experiments.paper.plan import Arm, Plan
from experiments.paper.verdicts import Verdict, judge_all


class Artifact(ABC):
    """A table or figure of the paper, made again.

    Args:
        name: of its folder in experiments/paper/, with what the paper published and claims, and of its results.
        title: what it is about, the data aside.
        data: the data sets that it is about.
    """

    def __init__(self, name: str, title: str, data: Sequence[str]) -> None:
        self.name, self.title, self.data = name, title, tuple(data)
        self.folder = PAPER / name

    @abstractmethod
    def arms(self, plan: Plan) -> list[Arm]:
        """The runs that it needs, one for each seed."""

    @abstractmethod
    def followups(self, plan: Plan) -> list[Job]:
        """What is to be done once the runs are finished, besides writing it all down."""

    def weights(self, plan: Plan) -> set[Path]:
        """The folders without which it cannot be made: of runs whose weights are read, of what is left to be done."""
        return {folder for job in self.followups(plan) if not job.is_done() for folder in (*job.runs, job.folder)}

    @abstractmethod
    def values(self, plan: Plan) -> Values:
        """What the claims are judged by."""

    @abstractmethod
    def kept(self, file: Path) -> Values:
        """The same, read from the CSV that ``write`` has left; empty if it has no values by seed."""

    @abstractmethod
    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """Write all files of results; returns their paths."""

    def heading(self, plan: Plan) -> str:
        """What stands above the results: the paper's number, and the data that these runs really had."""
        number = f"{self.name.rstrip('0123456789').capitalize()} {self.name[-1]}"
        return f"{number}: {self.title}, {' and '.join(plan.data[data].title for data in self.data)}"

    def verdicts(self, values: Values, instead_of: Mapping[str, str]) -> list[Verdict]:
        """A verdict for each claim.

        Args:
            values: what they are judged by.
            instead_of: the metric that a scale has in the stead of another.
        """
        return judge_all([replaced(claim, instead_of) for claim in read_claims(self.folder / "claims.yaml")], values)
