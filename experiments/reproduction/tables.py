"""Tables 1 to 4: LPIPS by class, attacked and defended, beside what the paper published and what it left out."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from experiments.reproduction.artefact import Artefact
from experiments.reproduction.plan import NONE, Arm, Plan, vanilla
from experiments.reproduction.study import classes_of, gather, provenance
from experiments.reproduction.verdicts import RULE, Values
from experiments.reproduction.writing import (
    Row,
    cell,
    latex,
    markdown,
    verdict_rows,
    write_csv,
    write_text,
)
from experiments.running import Job

# Figures that each class has, and those of a run, under the names that tables give them.
BY_CLASS = {
    "lpips": "LPIPS",
    "lpips_classifier": "perceptual distance",
    "frechet_classifier": "Frechet distance",
    "emission": "trigger emission",
    "control_emission": "the same without attack",
    "transfer_attack_rate": "transfer attack rate",
    "diversity": "diversity",
    "label_consistency": "label consistency",
}
BY_RUN = {
    "loss_ratio": "attacker's generator loss / others' median",
    "malicious_flag_rate": "attacker flagged, share of rounds",
    "benign_flags": "benign clients flagged a round",
    "weight_of_malicious": "attacker's weight at the end",
    "effective_clients": "effective clients at the end",
}
Published = Mapping[tuple[str, str], float]


class Table(Artefact):
    """One of the paper's tables.

    Args:
        name: see ``Artefact``.
        title: see ``Artefact``.
        data: the data set.
        defenses: whose arms are its rows.
    """

    def __init__(self, name: str, title: str, *, data: str, defenses: Sequence[str]) -> None:
        super().__init__(name, title, (data,))
        self.defenses = tuple(defenses)

    def arms(self, plan: Plan) -> list[Arm]:
        """Vanilla, the undefended attacks (tables of defences compare with them), then each defence and its null."""
        (data,) = self.data
        arms = [vanilla(data), *plan.arms(data, NONE)]
        for defense in self.defenses:
            if defense != NONE:
                arms += [*plan.arms(data, defense), Arm(data, defense, 0)]
        return arms

    def followups(self, plan: Plan) -> list[Job]:
        """The null of every attack: the same trigger looked for in the images of nobody's attack."""
        return plan.nulls(self.data[0])

    def values(self, plan: Plan) -> Values:
        """Every figure of every arm."""
        return gather(plan, self.arms(plan))

    def write(self, plan: Plan) -> list[Path]:
        """CSV with all there is, Markdown and LaTeX to read."""
        values, published = self.values(plan), read_published(self.folder / "published.csv")
        arms, classes = self.arms(plan), classes_of(plan.folder(self.arms(plan)[0], plan.seeds[0]))
        caption = provenance(plan, [plan.folder(arm, seed) for arm in arms for seed in plan.seeds])
        names = [str(arm) for arm in arms]
        by_class, by_run = class_rows(names, classes, values, published), run_rows(names, values)
        verdicts = verdict_rows(self.verdicts(plan))
        parts = (by_class, by_run, verdicts)
        folder, said = plan.results, (self.title, caption, RULE)
        return [
            write_csv(folder / f"{self.name}.csv", long_rows(names, values, published)),
            write_text(folder / f"{self.name}.md", f"# {self.title}", caption, *map(markdown, parts), RULE),
            write_text(folder / f"{self.name}.tex", *(f"% {line}" for line in said), *map(latex, parts)),
        ]


def read_published(file: Path) -> Published:
    """The paper's LPIPS by arm and class."""
    with file.open() as stream:
        return {(row["arm"], row["class"]): float(row["lpips"]) for row in csv.DictReader(stream)}


def class_rows(names: Sequence[str], classes: Sequence[str], values: Values, published: Published) -> list[Row]:
    """A line an arm and class; figures that no arm has are left out."""
    shown = [figure for figure in BY_CLASS if any(f"{figure}/{classes[0]}" in values[name] for name in names)]
    return [
        {
            "arm": name,
            "class": each,
            "LPIPS, published": f"{published[name, each]:.4f}" if (name, each) in published else "-",
            **{BY_CLASS[figure]: cell(list(values[name].get(f"{figure}/{each}", {}).values())) for figure in shown},
        }
        for name in names
        for each in classes
    ]


def run_rows(names: Sequence[str], values: Values) -> list[Row]:
    """A line an arm: what the defence did, and its price."""
    return [
        {
            "arm": name,
            **{title: cell(list(values[name].get(figure, {}).values())) for figure, title in BY_RUN.items()},
        }
        for name in names
    ]


def long_rows(names: Sequence[str], values: Values, published: Published) -> list[Row]:
    """A line an arm, class and figure, with everything that the views round off or leave out."""
    rows: list[Row] = []
    for name in names:
        theirs = {f"lpips_published/{each}": (value,) for (arm, each), value in published.items() if arm == name}
        ours = {figure: tuple(by_seed.values()) for figure, by_seed in sorted(values[name].items())}
        rows += [long_row(name, figure, measured) for figure, measured in (theirs | ours).items()]
    return rows


def long_row(name: str, figure: str, measured: Sequence[float]) -> Row:
    """One figure of one arm: mean, standard deviation, and the value of each seed."""
    kind, _, of_class = figure.partition("/")
    return {
        "arm": name,
        "class": of_class,
        "figure": kind,
        "mean": mean(measured),
        "std": stdev(measured) if len(measured) > 1 else "",
        "values": " ".join(map(repr, measured)),
    }
