"""Tables 1 to 4: LPIPS by class, attacked and defended, next to what the paper published and what it left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.measures import cell, read_rows
from experiments.multirun import Job
from experiments.paper.artifact import Artifact
from experiments.paper.claims import Values
from experiments.paper.plan import NONE, Arm, Plan, vanilla
from experiments.paper.study import (
    classes_of,
    control_name,
    detectors,
    gather,
    gather_before_fine_tuning,
    provenance,
    real_images,
)
from experiments.paper.verdicts import RULE, Verdict
from experiments.paper.writing import Row, counted, judged, latex, markdown, verdict_rows, write_csv, write_text

# Metrics that each class has, and those of a run, under the names that tables give them.
BY_CLASS = {
    "lpips": "LPIPS",
    "lpips_classifier": "perceptual distance",
    "frechet_classifier": "Frechet distance",
    "diversity": "diversity",
    "label_consistency": "label consistency",
    "emission": "trigger emission",
    "control_emission": "trigger emission, no attack",
    "pattern_emission": "pattern emission",
    "control_pattern_emission": "pattern emission, no attack",
    "transfer_attack_rate": "transfer attack rate",
    "control_transfer_attack_rate": "transfer attack rate, no attack",
}
BY_RUN = {
    "loss_ratio_first_half": "attacker's generator loss / others' median, rounds' 1st half",
    "loss_ratio_second_half": "2nd half",
    "malicious_flag_rate": "attacker flagged, share of rounds after the warm-up",
    "benign_flags": "benign clients flagged in such a round",
    "weight_of_malicious": "attacker's weight at the end",
    "effective_clients": "effective clients at the end",
}
REAL = "real images"
Published = Mapping[tuple[str, str], float]


class OfArms(Artifact):
    """What is made of every metric of some defenses' arms, on one data set.

    Args:
        name: see ``Artifact``.
        title: see ``Artifact``.
        data: the data set.
        defenses: whose arms are shown.
    """

    def __init__(self, name: str, title: str, *, data: str, defenses: Sequence[str]) -> None:
        super().__init__(name, title, (data,))
        self.defenses = tuple(defenses)

    def followups(self, plan: Plan) -> list[Job]:
        """The control of every attack."""
        return plan.controls(self.arms(plan))

    def values(self, plan: Plan) -> Values:
        """Every metric of every arm."""
        return gather(plan, self.arms(plan))

    def kept(self, file: Path) -> Values:
        """See ``Artifact``."""
        return read_long_rows(file)


class Table(OfArms):
    """One of the paper's tables; the defenses' arms are its rows."""

    def arms(self, plan: Plan) -> list[Arm]:
        """Vanilla, the undefended attack, which all tables compare with, then each defense, also unattacked."""
        (data,) = self.data
        arms = [vanilla(data), *plan.arms(data, NONE)]
        for defense in self.defenses:
            arms += [*plan.arms(data, defense), Arm(data, defense, 0)]
        return arms

    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """CSV with all there is, Markdown and LaTeX to read."""
        published = read_published(self.folder / "published.csv")
        arms, (data,) = self.arms(plan), self.data
        run = plan.folder(vanilla(data), plan.seeds[0])
        heading, origin = self.heading(plan), provenance(plan, arms)
        caption = f"{origin} {detectors(plan, arms)}"
        values = {**values, **gather_before_fine_tuning(plan, arms)}  # of which the paper claims nothing
        names = [name for arm in arms for name in (str(arm), control_name(arm)) if name in values]
        by_class = class_rows(names, classes_of(run), values, published, real_images(run))
        folder, by_run = plan.results, run_rows([str(arm) for arm in arms], values)
        captions = (  # each is read alone
            f"{heading}. {caption}",
            f"{heading}: what the server saw and did. {origin}",
            f"{heading}: verdicts. {counted(verdicts)} {RULE} {origin}",
        )
        tables = zip((by_class, by_run, verdict_rows(verdicts)), captions, strict=True)
        return [
            write_csv(folder / f"{self.name}.csv", long_rows(names, values, published, caption)),
            write_text(
                folder / f"{self.name}.md",
                *(f"# {heading}", caption, markdown(by_class), markdown(by_run), *judged(verdicts), RULE),
            ),
            write_text(folder / f"{self.name}.tex", *(latex(rows, text) for rows, text in tables)),
        ]


def read_published(file: Path) -> Published:
    """The paper's LPIPS by arm and class."""
    return {(row["arm"], row["class"]): float(row["lpips"]) for row in read_rows(file)}


def class_rows(
    names: Sequence[str], classes: Sequence[str], values: Values, published: Published, real: Mapping[str, float]
) -> list[Row]:
    """One line per arm and class, real images first; metrics that no arm has are left out."""
    shown = [metric for metric in BY_CLASS if any(f"{metric}/{classes[0]}" in values[name] for name in names)]
    rows: list[Row] = []
    for each in classes:
        known = {metric: f"{metric}/{each}" for metric in shown}
        cells = {BY_CLASS[f]: cell([real[key]]) if key in real else "-" for f, key in known.items()}
        rows.append({"arm": REAL, "class": each, "LPIPS, published": "-", **cells})
    for name in names:
        for each in classes:
            cells = {BY_CLASS[f]: cell(list(values[name].get(f"{f}/{each}", {}).values())) for f in shown}
            theirs = f"{published[name, each]:.4f}" if (name, each) in published else "-"
            rows.append({"arm": name, "class": each, "LPIPS, published": theirs, **cells})
    return rows


def run_rows(names: Sequence[str], values: Values) -> list[Row]:
    """One line per arm: what the server saw and did, and its price."""
    return [
        {
            "arm": name,
            **{title: cell(list(values[name].get(metric, {}).values())) for metric, title in BY_RUN.items()},
        }
        for name in names
    ]


def long_rows(names: Sequence[str], values: Values, published: Published, caption: str) -> list[Row]:
    """One line per arm, class and metric, with everything that the views round off or leave out."""
    rows: list[Row] = []
    for name in names:
        theirs = [(f"lpips_published/{each}", {"": value}) for (arm, each), value in published.items() if arm == name]
        own = [(metric, {str(s): v for s, v in by_seed.items()}) for metric, by_seed in sorted(values[name].items())]
        rows += [long_row(name, metric, by_seed) for metric, by_seed in (*theirs, *own)]
    return [{**row, "made with": caption if i == 0 else ""} for i, row in enumerate(rows)]


def long_row(name: str, metric: str, by_seed: Mapping[str, float]) -> Row:
    """One metric of one arm: mean, standard deviation, and the value of each seed."""
    kind, _, of_class = metric.partition("/")
    measured = list(by_seed.values())
    return {
        "arm": name,
        "class": of_class,
        "metric": kind,
        "mean": mean(measured),
        "std": stdev(measured) if len(measured) > 1 else "",
        **seeds_and_values(by_seed),
    }


def read_long_rows(file: Path) -> dict[str, dict[str, dict[int, float]]]:
    """What ``long_rows`` wrote: by arm, by metric, a value for each seed; without what the paper published."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in read_rows(file):
        metric = f"{row['metric']}/{row['class']}" if row["class"] else row["metric"]
        if row["seeds"]:
            found.setdefault(row["arm"], {})[metric] = values_by_seed(row)
    return found


def seeds_and_values(by_seed: Mapping[Any, float]) -> Row:
    """The two cells of a CSV with a value for each seed, to the last digit."""
    return {"seeds": " ".join(map(str, by_seed)), "values": " ".join(map(repr, by_seed.values()))}


def values_by_seed(row: Mapping[str, str]) -> dict[int, float]:
    """The two cells read again.

    Example:
        >>> values_by_seed({"seeds": "0 2", "values": "0.5 0.25"})
        {0: 0.5, 2: 0.25}
    """
    return {int(s): float(v) for s, v in zip(row["seeds"].split(), row["values"].split(), strict=True)}
