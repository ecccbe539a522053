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
        title: what stands above it.
        data: the data sets that it is about.
    """

    def __init__(self, name: str, title: str, data: Sequence[str]) -> None:
        self.name, self.title, self.data = name, title, tuple(data)
        self.folder = EXPERIMENTS / name

    @abstractmethod
    def arms(self, plan: Plan) -> list[Arm]:
        """The runs that it needs, one for each seed."""

    def followups(self, plan: Plan) -> list[Job]:
        """What is to be done once the runs are finished, besides writing it all down."""
        return []

    @abstractmethod
    def values(self, plan: Plan) -> Values:
        """What the claims are judged by."""

    @abstractmethod
    def write(self, plan: Plan) -> list[Path]:
        """Write all files of results; returns their paths."""

    def verdicts(self, plan: Plan) -> list[Verdict]:
        """A verdict for each claim, by the figure that this scale has in a figure's stead."""
        values, instead = self.values(plan), plan.instead_of
        return [judge(replaced(claim, instead), values) for claim in read_claims(self.folder / "claims.yaml")]


def replaced(claim: Claim, instead: Mapping[str, str]) -> Claim:
    """The claim, judged by another figure where its own cannot be had.

    Example:
        >>> claim = Claim("normal images suffer", "lpips/NORMAL", ("attack 16",), "higher", than=("vanilla",))
        >>> replaced(claim, {"lpips": "lpips_classifier"}).figure
        'lpips_classifier/NORMAL'
    """
    kind, slash, of_class = claim.figure.partition("/")
    return replace(claim, figure=f"{instead.get(kind, kind)}{slash}{of_class}")
