"""Figures 3 to 6: sample grids; real images, vanilla, attacked by trigger size, each defense."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torchvision.io import read_image, write_png
from torchvision.utils import make_grid

from experiments.paper.claims import Values
from experiments.paper.plan import NONE, Arm, Plan, vanilla
from experiments.paper.study import classes_of, detectors, provenance
from experiments.paper.tables import OfArms, long_rows
from experiments.paper.verdicts import RULE, Verdict
from experiments.paper.writing import judged, write_csv, write_text
from fedgan.core.files import atomic_write
from fedgan.core.images import ImageSet
from fedgan.reports.writing import write_picture
from fedgan.runs.export import load_generator
from fedgan.runs.load import open_run
from fedgan.scoring.sampling import draw_set

PER_CLASS = 6  # images of each class in a cell
SHOWN, REAL = "shown.png", "real.png"  # in a run's folder: the images of a cell, and real ones, side by side


class Grid(OfArms):
    """One of the paper's pictures: one row per arm or defense, the images of the first seed's run.

    The defense ``none`` stands for real, vanilla and attacked images.
    """

    def arms(self, plan: Plan) -> list[Arm]:
        """Those shown, and vanilla and the attacks, which claims compare them with; each defense unattacked."""
        (data,) = self.data
        shown = [arm for d in self.defenses for arm in (*plan.arms(data, d), Arm(data, d, 0))]
        return list(dict.fromkeys([vanilla(data), *plan.arms(data, NONE), *shown]))

    def weights(self, plan: Plan) -> set[Path]:
        """See ``Artifact``: also of what is drawn and has not been."""
        (data,) = self.data
        drawn = [vanilla(data), *plan.arms(data, NONE)] if self.defenses == (NONE,) else self._defended(plan)
        runs = [plan.folder(arm, plan.seeds[0]) for arm in drawn]
        real = {run for run in runs[:1] if self.defenses == (NONE,) and not (run / REAL).is_file()}
        return super().weights(plan) | real | {run for run in runs if not (run / SHOWN).is_file()}

    def _defended(self, plan: Plan) -> list[Arm]:
        """Those of Figures 5 and 6."""
        return [arm for defense in self.defenses for arm in plan.arms(self.data[0], defense)]

    def write(self, plan: Plan, values: Values, verdicts: Sequence[Verdict]) -> list[Path]:
        """The picture, the metrics behind it, and the verdicts on the claims about it."""
        arms, (data,), heading = self.arms(plan), self.data, self.heading(plan)
        caption = f"{provenance(plan, arms)} {detectors(plan, arms)}"
        shown = f"Images of seed {plan.seeds[0]}, {PER_CLASS} per class, all from the same latents."
        text = write_text(
            plan.results / f"{self.name}.md",
            *(f"# {heading}", f"![{heading}]({self.name}.png)", f"{caption} {shown}"),
            *(*judged(verdicts), RULE),
        )
        metrics = write_csv(
            plan.results / f"{self.name}.csv", long_rows([str(arm) for arm in arms], values, {}, caption)
        )
        picture = self._attacks(plan, data) if self.defenses == (NONE,) else self._defenses(plan, data)
        return [*write_picture(picture, plan.results / self.name), metrics, text]

    def _attacks(self, plan: Plan, data: str) -> Figure:
        """Rows (a) to (e) of Figures 3 and 4."""
        arms = [vanilla(data), *plan.arms(data, NONE)]
        figure = Figure(figsize=(9, 1.1 * (len(arms) + 1) + 0.4), dpi=150, layout="constrained")
        axes = figure.subplots(len(arms) + 1, 1)
        figure.suptitle(self.heading(plan), fontsize=10, wrap=True)
        show(axes[0], first_real_images(plan, data), "real")
        for row, arm in zip(axes[1:], arms, strict=True):
            show(row, draw(plan, arm), str(arm))
        return figure

    def _defenses(self, plan: Plan, data: str) -> Figure:
        """Rows (a) to (d) of Figures 5 and 6, a column a trigger size."""
        sizes = list(plan.sizes)
        figure = Figure(figsize=(4.2 * len(sizes), 1.7 * len(self.defenses) + 0.4), dpi=150, layout="constrained")
        axes = figure.subplots(len(self.defenses), len(sizes), squeeze=False)
        figure.suptitle(self.heading(plan), fontsize=10, wrap=True)
        for row, defense in zip(axes, self.defenses, strict=True):
            for cell, arm in zip(row, plan.arms(data, defense), strict=True):
                show(cell, draw(plan, arm), str(arm), stacked=True)
        return figure


def draw(plan: Plan, arm: Arm) -> ImageSet:
    """The first images of the arm's first run: the latents of every run's evaluation."""
    run = plan.folder(arm, plan.seeds[0])

    def drawn() -> ImageSet:
        release = load_generator(run)
        return draw_set(release.generator, release.spec.classes, PER_CLASS, 0, batch_size=PER_CLASS)

    return first_images(run, SHOWN, drawn)


def first_real_images(plan: Plan, data: str) -> ImageSet:
    """The first test images of a data set."""
    run = plan.folder(vanilla(data), plan.seeds[0])
    return first_images(run, REAL, lambda: open_run(run, plan.data[data].root).splits.test)


def first_images(run: Path, name: str, made: Callable[[], ImageSet]) -> ImageSet:
    """The first ``PER_CLASS`` images of each class, from a file of the run's folder: without weights and data they can
    be shown again.

    Args:
        run: the run's folder.
        name: of the file, which is written if it is not there: square images side by side, class by class.
        made: the images; where a class has fewer than ``PER_CLASS``, fewer of each are taken.
    """
    file, classes = run / name, classes_of(run)
    if not file.is_file():
        images = made()
        chosen = images.first_of_each_class(min(PER_CLASS, *images.counts.values()))
        strip = torch.cat(list(chosen.images), dim=-1)  # (C, H, images * W)
        atomic_write(file, lambda path: write_png(strip, str(path)))
    strip = read_image(str(file))
    shown = torch.stack(strip.split(strip.shape[1], dim=-1))
    labels = torch.arange(len(classes)).repeat_interleave(len(shown) // len(classes))
    return ImageSet(shown, labels, tuple(classes))


def show(axes: Axes, images: ImageSet, title: str, *, stacked: bool = False) -> None:
    """A few images of each class, side by side or, ``stacked``, one class below the other."""
    rows = [images.of_class(label)[:PER_CLASS] for label in range(len(images.classes))]
    wide = len(rows[0]) if stacked else sum(map(len, rows))
    strip = make_grid(torch.cat(rows), nrow=wide, padding=1, pad_value=255)  # (3, h, w)
    axes.imshow(strip.permute(1, 2, 0).numpy())
    axes.set_title(f"{title}   ({(' above ' if stacked else ', ').join(images.classes)})", fontsize=8, loc="left")
    axes.set_axis_off()
