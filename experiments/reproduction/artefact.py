"""What a table and a figure of the paper have in common: runs, claims, verdicts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.reproduction.plan import Arm, Plan
from experiments.reproduction.verdicts import Claim, Values, Verdict, judge, read_claims
from experiments.running import Job

EXPERIMENTS = Path(__file__).parent.parent


class Artefact(ABC):
    """A table or figure of the paper, made again.

    Args:
        name: of its folder in experiments/, which holds what the paper published and claims, and of its results.
        title: what it is about, the data aside.
        data: the data sets that it is about.
    """

    def __init__(self, name: str, title: str, data: Sequence[str]) -> None:
        self.name, self.title, self.data = name, title, tuple(data)
        self.folder = EXPERIMENTS / name

    @abstractmethod
    def arms(self, plan: Plan) -> list[Arm]:
        """The runs that it needs, one for each seed."""

    @abstractmethod
    def followups(self, plan: Plan) -> list[Job]:
        """What is to be done once the runs are finished, besides writing it all down."""

    @abstractmethod
    def values(self, plan: Plan) -> Values:
        """What the claims are judged by."""

    @abstractmethod
    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """Write all files of results; returns their paths."""

    def heading(self, plan: Plan) -> str:
        """What stands above the results: the paper's number, and the data that these runs really had."""
        number = f"{self.name.rstrip('0123456789').capitalize()} {self.name[-1]}"
        return f"{number}: {self.title}, {' and '.join(plan.data[data].title for data in self.data)}"

    def verdicts(self, plan: Plan, values: Values) -> list[Verdict]:
        """A verdict for each claim, by the figure that this scale has in a figure's stead."""
        return [judge(replaced(claim, plan.instead_of), values) for claim in read_claims(self.folder / "claims.yaml")]


def replaced(claim: Claim, instead: Mapping[str, str]) -> Claim:
    """The claim, judged by another figure where its own cannot be had.

    Example:
        >>> claim = Claim("normal images suffer", "lpips/NORMAL", ("attack 16",), "higher", than=("vanilla",))
        >>> replaced(claim, {"lpips": "lpips_classifier"}).figure
        'lpips_classifier/NORMAL'
    """
    kind, slash, of_class = claim.figure.partition("/")
    return replace(claim, figure=f"{instead.get(kind, kind)}{slash}{of_class}")
