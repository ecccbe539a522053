"""Figure 7: accuracy of classifiers over the number of real images, alone and with each generator's images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

from experiments.measures import AUDIT, read_rows
from experiments.multirun import Job
from experiments.paper.artifact import Artifact
from experiments.paper.claims import Values
from experiments.paper.plan import CENTRALIZED, FEDDETECT, NONE, Arm, Plan, centralized, vanilla
from experiments.paper.study import commits_of, in_words, provenance
from experiments.paper.tables import seeds_and_values, values_by_seed
from experiments.paper.utility import Study, studies
from experiments.paper.verdicts import RULE, Verdict
from experiments.paper.writing import (
    Row,
    counted,
    judged,
    latex,
    markdown,
    verdict_rows,
    write_csv,
    write_text,
)
from fedgan.config.utility import cell as describe
from fedgan.core.checks import check
from fedgan.downstream.learning_curve import Point, plot_curve
from fedgan.reports.writing import write_picture

ACCURACY = "accuracy"
Published = Mapping[tuple[str, str, int], float]


class Curve(Artifact):
    """Accuracy by number of real images per class, a panel a data set.

    Every arm's generators are those of all seeds, each tried with several classifiers.

    Args:
        name: see ``Artifact``.
        title: see ``Artifact``.
        data: the data sets.
        size: of the trigger, in pixels of 256.
    """

    def __init__(self, name: str, title: str, *, data: Sequence[str], size: int) -> None:
        super().__init__(name, title, data)
        self.size = size

    def arms(self, plan: Plan) -> list[Arm]:
        """Vanilla, attacked, attacked but defended by FedDetect or by the generator audit, and centralized training.

        Raises:
            ValueError: in one line, if this size is not among the plan's.
        """
        check(self.size in plan.sizes, "scale.sizes", f"with {self.size} in it, for {self.name}", list(plan.sizes))
        return [arm for data in self.data for arm in self._named(data).values()]

    def _named(self, data: str) -> dict[str, Arm]:
        return {
            "vanilla": vanilla(data),
            "attacked": Arm(data, NONE, self.size),
            FEDDETECT: Arm(data, FEDDETECT, self.size),
            AUDIT: Arm(data, AUDIT, self.size),
            CENTRALIZED: centralized(data),
        }

    def _studies(self, plan: Plan) -> dict[tuple[str, int], Study]:
        """By data set and seed of the generators."""
        return {
            (data, seed): study for data in self.data for seed, study in studies(plan, data, self._named(data)).items()
        }

    def followups(self, plan: Plan) -> list[Job]:
        """The classifiers."""
        return [study.job() for study in self._studies(plan).values()]

    def values(self, plan: Plan) -> Values:
        """Accuracy of ``<data>: <arm> @ <real images>`` by the generator's seed, its classifiers averaged."""
        found: dict[str, dict[str, dict[int, float]]] = {}
        for (data, seed), study in self._studies(plan).items():
            for (arm, n), fits in study.fits().items():
                own = found.setdefault(name_of(data, arm, n), {ACCURACY: {}})
                own[ACCURACY][seed] = mean(fit[ACCURACY] for fit in fits)
        return found

    def kept(self, file: Path) -> Values:
        """See ``Artifact``."""
        rows = [row for row in read_rows(file) if row.get("values")]
        return {
            name_of(row["data"], row["arm"], int(row["real_per_class"])): {ACCURACY: values_by_seed(row)}
            for row in rows
        }

    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """The curve as CSV and picture, and the verdicts on the claims about it."""
        points = {data: points_of(data, values) for data in self.data}
        heading, published = self.heading(plan), read_published(self.folder / "published.csv")
        tables = {data: table(data, points[data], published) for data in self.data}
        caption = f"{provenance(plan, self.arms(plan))} {self._classifiers(plan)}"
        said = write_text(
            plan.results / f"{self.name}.md",
            *(f"# {heading}", f"![{heading}]({self.name}.png)", caption),
            *(f"{plan.data[data].title}:\n\n{markdown(tables[data])}" for data in self.data),
            *(*judged(verdicts), RULE),
        )
        typeset = write_text(
            plan.results / f"{self.name}.tex",
            *(latex(tables[data], f"{heading}: {plan.data[data].title}. {caption}") for data in self.data),
            latex(verdict_rows(verdicts), f"{heading}: verdicts. {counted(verdicts)} {RULE} {caption}"),
        )
        rows: list[Row] = [
            {
                "data": data,
                **asdict(point),
                **seeds_and_values(values[name_of(data, point.arm, point.real_per_class)][ACCURACY]),
                "published": published.get((data, point.arm, point.real_per_class), ""),
            }
            for data in self.data
            for point in points[data]
        ]
        rows = [{**row, "made with": caption if i == 0 else ""} for i, row in enumerate(rows)]
        return [write_csv(plan.results / f"{self.name}.csv", rows), *self._picture(plan, points), said, typeset]

    def _classifiers(self, plan: Plan) -> str:
        """What the accuracies are of."""
        stated = []
        for data in self.data:
            records = [study.record() for (name, _), study in self._studies(plan).items() if name == data]
            settings, commits = records[0]["settings"], dict.fromkeys(c for r in records for c in commits_of(r))
            added = f"{settings['synthetic_per_class']} synthetic images per class"
            stated.append(
                f"{plan.data[data].title}: {in_words(settings['classifier'])}; {added}; commit {', '.join(commits)}."
            )
        each = f"An arm has one generator per seed, and each generator {plan.classifiers} classifier(s), averaged."
        return f"Classifiers on {' On '.join(stated)} {each}"

    def _picture(self, plan: Plan, points: Mapping[str, Sequence[Point]]) -> list[Path]:
        figure = Figure(figsize=(6 * len(points), 4.8), dpi=150, layout="constrained")
        figure.suptitle(self.heading(plan), wrap=True)
        for axes, data in zip(figure.subplots(1, len(points), squeeze=False)[0], points, strict=True):
            plot_curve(axes, points[data], title=f"{plan.data[data].title}, trigger {plan.sizes[self.size]} px")
        return write_picture(figure, plan.results / self.name)


def name_of(data: str, arm: str, real_per_class: int) -> str:
    """What a point of the curve is called in claims."""
    return f"{data}: {arm} @ {real_per_class}"


def points_of(data: str, values: Values) -> list[Point]:
    """Mean and standard deviation over the generators."""
    points = []
    for name, metrics in values.items():
        own, _, place = name.partition(": ")
        arm, _, n = place.partition(" @ ")
        if own == data:
            each = list(metrics[ACCURACY].values())
            points.append(Point(arm, int(n), mean(each), stdev(each) if len(each) > 1 else None, len(each)))
    return points


def read_published(file: Path) -> Published:
    """The accuracies that the paper's text gives (Section 4.4.4), by data set, arm and number of real images."""
    return {(row["data"], row["arm"], int(row["real_per_class"])): float(row["accuracy"]) for row in read_rows(file)}


def table(data: str, points: Sequence[Point], published: Published) -> list[Row]:
    """One line per number of real images, one column per arm, and one for what the paper's text states."""
    arms = dict.fromkeys(point.arm for point in points)
    cells = {(point.arm, point.real_per_class): describe(point) for point in points}
    return [
        {
            "real images per class": str(n),
            **{arm: cells.get((arm, n), "-") for arm in arms},
            "published": ", ".join(
                f"{arm} {value:.2f}" for (own, arm, count), value in published.items() if (own, count) == (data, n)
            )
            or "-",
        }
        for n in sorted({point.real_per_class for point in points})
    ]
