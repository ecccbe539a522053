"""Figure 7: accuracy of classifiers over the number of real images, alone and with each generator's images."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

from experiments.reproduction.artefact import Artefact
from experiments.reproduction.plan import FEDDETECT, NONE, Arm, Plan, vanilla
from experiments.reproduction.study import provenance
from experiments.reproduction.verdicts import RULE, Values
from experiments.reproduction.writing import Row, markdown, verdict_rows, write_csv, write_picture, write_text
from experiments.running import Job
from fedgan.learning_curve import Point, plot_curve
from fedgan.utility import REAL_ONLY

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
        """Vanilla, attacked, and attacked but defended by FedDetect."""
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
        runs = ",".join(f"{name}: {plan.folder(arm, seed)}" for name, arm in self._named(data).items())
        place = [] if plan.data[data].root is None else [f"root={plan.data[data].root}"]
        # No two generators share a classifier's seed, nor the real images that hang on it.
        seeds = [plan.classifiers * seed + i for i in range(plan.classifiers)]
        settings = [
            *plan.utility_settings,
            *plan.data[data].utility,
            *place,
            f"seeds={seeds}",
            f"hydra.run.dir={folder}",
        ]
        command = ("fedgan.utility", f"runs={{{runs}}}", *settings)
        # Asked every time: the study itself knows which classifiers it has.
        return Job(f"{data}: utility, seed {seed}", folder, command, lambda: False)

    def fits(self, plan: Plan, data: str) -> Fits:
        """All classifiers that were trained."""
        found: dict[tuple[str, int], dict[int, list[Mapping[str, str]]]] = {}
        for seed in plan.seeds:
            with (study_folder(plan, data, seed) / "results.csv").open() as file:
                for row in csv.DictReader(file):
                    key = row["arm"], int(row["real_per_class"])
                    found.setdefault(key, {}).setdefault(seed, []).append(row)
        return found

    def values(self, plan: Plan) -> Values:
        """Accuracy of ``<data>: <arm> @ <real images>`` by the generator's seed, its classifiers averaged."""
        return {
            f"{data}: {arm} @ {n}": {
                figure: {seed: mean(float(row[figure]) for row in rows) for seed, rows in by_seed.items()}
                for figure in (ACCURACY, TRANSFER)
                if all(row[figure] for rows in by_seed.values() for row in rows)
            }
            for data in self.data
            for (arm, n), by_seed in self.fits(plan, data).items()
        }

    def write(self, plan: Plan) -> list[Path]:
        """The curve as CSV and picture, and what the claims about it come to."""
        points = {data: points_of(self.fits(plan, data)) for data in self.data}
        arms = self.arms(plan)
        caption = provenance(plan, [plan.folder(arm, seed) for arm in arms for seed in plan.seeds])
        said = write_text(
            plan.results / f"{self.name}.md",
            *(f"# {self.title}", f"![{self.title}]({self.name}.png)", caption),
            *(
                f"{plan.data[data].title}, {self._tried(plan, data)}:\n\n{markdown(table(points[data]))}"
                for data in self.data
            ),
            *(markdown(verdict_rows(self.verdicts(plan))), RULE),
        )
        rows = [{"data": data} | asdict(point) for data in self.data for point in points[data]]
        return [write_csv(plan.results / f"{self.name}.csv", rows), *self._picture(plan, points), said]

    def _tried(self, plan: Plan, data: str) -> str:
        fits = self.fits(plan, data)
        each = {len(rows) for (arm, _), by_seed in fits.items() if arm != REAL_ONLY for rows in by_seed.values()}
        return f"accuracy of {max(each)} classifier(s) for each of {len(plan.seeds)} generators an arm"

    def _picture(self, plan: Plan, points: Mapping[str, Sequence[Point]]) -> list[Path]:
        figure = Figure(figsize=(6 * len(points), 4.5), dpi=150, layout="constrained")
        for axes, data in zip(figure.subplots(1, len(points), squeeze=False)[0], points, strict=True):
            plot_curve(axes, points[data], title=f"{plan.data[data].title}, trigger {plan.sizes[self.size]} px")
        return write_picture(plan.results / self.name, figure)


def study_folder(plan: Plan, data: str, seed: int) -> Path:
    """Where the classifiers trained with this seed's generators are."""
    return plan.runs / data / f"utility-seed_{seed}"


def points_of(fits: Fits) -> list[Point]:
    """Mean and standard deviation over all classifiers of all generators."""
    points = []
    for (arm, n), by_seed in fits.items():
        values = [float(row[ACCURACY]) for rows in by_seed.values() for row in rows]
        points.append(Point(arm, n, mean(values), stdev(values) if len(values) > 1 else None, len(by_seed)))
    return points


def table(points: Sequence[Point]) -> list[Row]:
    """A line a number of real images, a column an arm."""
    arms = dict.fromkeys(point.arm for point in points)
    cells = {(point.arm, point.real_per_class): point for point in points}
    return [
        {"real images per class": str(n), **{arm: entry(cells.get((arm, n))) for arm in arms}}
        for n in sorted({point.real_per_class for point in points})
    ]


def entry(point: Point | None) -> str:
    """Mean and standard deviation for people."""
    if point is None:
        return "-"
    return f"{point.mean:.3f}" + ("" if point.std is None else f" ± {point.std:.3f}")
