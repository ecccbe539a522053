"""Figure 7: accuracy of classifiers over the number of real images, alone and with each generator's images."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

from experiments.reproduction.artefact import Artefact
from experiments.reproduction.plan import FEDDETECT, NONE, Arm, Plan, quoted, vanilla
from experiments.reproduction.study import provenance
from experiments.reproduction.verdicts import RULE, Values, Verdict
from experiments.reproduction.writing import Row, markdown, verdict_rows, write_csv, write_picture, write_text
from experiments.running import Job
from fedgan.checks import check
from fedgan.learning_curve import Point, plot_curve
from fedgan.utility import cell as describe

ACCURACY, TRANSFER = "accuracy", "transfer_attack_rate"
Fits = Mapping[
    tuple[str, int], Mapping[int, Sequence[Mapping[str, str]]]
]  # by arm and real images, by generator's seed


class Curve(Artefact):
    """Accuracy by number of real images per class, a panel a data set.

    Every arm's generators are those of all seeds, each tried with several classifiers.

    Args:
        name: see ``Artefact``.
        title: see ``Artefact``.
        data: the data sets.
        size: of the trigger, in pixels of 256.
    """

    def __init__(self, name: str, title: str, *, data: Sequence[str], size: int) -> None:
        super().__init__(name, title, data)
        self.size = size

    def arms(self, plan: Plan) -> list[Arm]:
        """Vanilla, attacked, and attacked but defended by FedDetect.

        Raises:
            ValueError: in one line, if this size is not among the plan's.
        """
        check(self.size in plan.sizes, "scale.sizes", f"with {self.size} in it, for {self.name}", list(plan.sizes))
        return [arm for data in self.data for arm in self._named(data).values()]

    def _named(self, data: str) -> dict[str, Arm]:
        return {
            "vanilla": vanilla(data),
            "attacked": Arm(data, NONE, self.size),
            "feddetect": Arm(data, FEDDETECT, self.size),
        }

    def followups(self, plan: Plan) -> list[Job]:
        """A utility study for each data set and seed of the generators."""
        return [self._study(plan, data, seed) for seed in plan.seeds for data in self.data]

    def _study(self, plan: Plan, data: str, seed: int) -> Job:
        folder = study_folder(plan, data, seed)
        runs = ",".join(f"{name}: {quoted(str(plan.folder(arm, seed)))}" for name, arm in self._named(data).items())
        # No two generators share a classifier's seed, nor the real images that hang on it.
        seeds = [plan.classifiers * seed + i for i in range(plan.classifiers)]
        settings = [*plan.utility_settings, *plan.data[data].utility, *plan.data[data].place("root")]
        where = f"hydra.run.dir={quoted(str(folder))}"
        command = ("fedgan.utility", f"runs={{{runs}}}", *settings, f"seeds={seeds}", where)
        # Asked every time: the study itself knows which classifiers it has.
        return Job(f"{data}: utility, seed {seed}", folder, command, lambda: False)

    def values(self, plan: Plan) -> Values:
        """Accuracy of ``<data>: <arm> @ <real images>`` by the generator's seed, its classifiers averaged."""
        return {
            f"{data}: {arm} @ {n}": {
                figure: {seed: mean(float(row[figure]) for row in rows) for seed, rows in by_seed.items()}
                for figure in (ACCURACY, TRANSFER)
                if all(row[figure] for rows in by_seed.values() for row in rows)
            }
            for data in self.data
            for (arm, n), by_seed in read_fits(plan, data).items()
        }

    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """The curve as CSV and picture, and what the claims about it come to."""
        points = {data: points_of(data, values) for data in self.data}
        heading, published = self.heading(plan), read_rows(self.folder / "published.csv")
        caption = (
            f"{provenance(plan, self.arms(plan))} Accuracy of an arm's generators, one a seed; each is the mean of "
        )
        caption += f"{plan.classifiers} classifier(s)."
        said = write_text(
            plan.results / f"{self.name}.md",
            *(f"# {heading}", f"![{heading}]({self.name}.png)", caption),
            *(f"{plan.data[data].title}:\n\n{markdown(table(points[data]))}" for data in self.data),
            f"The numbers that the paper's text gives (Section 4.4.4):\n\n{markdown(published)}",
            *(markdown(verdict_rows(verdicts)), RULE),
        )
        rows: list[Row] = [{"data": data, **asdict(point)} for data in self.data for point in points[data]]
        rows = [{**row, "made with": caption if i == 0 else ""} for i, row in enumerate(rows)]
        return [write_csv(plan.results / f"{self.name}.csv", rows), *self._picture(plan, points), said]

    def _picture(self, plan: Plan, points: Mapping[str, Sequence[Point]]) -> list[Path]:
        figure = Figure(figsize=(6 * len(points), 4.5), dpi=150, layout="constrained")
        for axes, data in zip(figure.subplots(1, len(points), squeeze=False)[0], points, strict=True):
            plot_curve(axes, points[data], title=f"{plan.data[data].title}, trigger {plan.sizes[self.size]} px")
        return write_picture(plan.results / self.name, figure)


def study_folder(plan: Plan, data: str, seed: int) -> Path:
    """Where the classifiers trained with this seed's generators are."""
    return plan.runs / data / f"utility-seed_{seed}"


def read_rows(file: Path) -> list[Row]:
    """A CSV file's rows."""
    with file.open() as stream:
        return list(csv.DictReader(stream))


def read_fits(plan: Plan, data: str) -> Fits:
    """All classifiers that were trained."""
    found: dict[tuple[str, int], dict[int, list[Row]]] = {}
    for seed in plan.seeds:
        for row in read_rows(study_folder(plan, data, seed) / "results.csv"):
            found.setdefault((row["arm"], int(row["real_per_class"])), {}).setdefault(seed, []).append(row)
    return found


def points_of(data: str, values: Values) -> list[Point]:
    """Mean and standard deviation over the generators."""
    points = []
    for name, figures in values.items():
        own, _, place = name.partition(": ")
        arm, _, n = place.partition(" @ ")
        if own == data:
            each = list(figures[ACCURACY].values())
            points.append(Point(arm, int(n), mean(each), stdev(each) if len(each) > 1 else None, len(each)))
    return points


def table(points: Sequence[Point]) -> list[Row]:
    """A line a number of real images, a column an arm."""
    arms = dict.fromkeys(point.arm for point in points)
    cells = {(point.arm, point.real_per_class): describe(point) for point in points}
    return [
        {"real images per class": str(n), **{arm: cells.get((arm, n), "-") for arm in arms}}
        for n in sorted({point.real_per_class for point in points})
    ]
