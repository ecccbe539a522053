"""The README's picture: real images, what four federations paint from the same latents, and what the audit found.

python -m experiments.arms preset=chestx_small 'overrides=["dataset.root=PATH"]' hydra.run.dir=FOLDER
python -m experiments.story FOLDER docs/pictures/story.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fedgan import load
from fedgan.core.files import atomic_write
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Patch, Trigger
from fedgan.reports.run import Run
from fedgan.runs.folder import FLAGGED, MAPS
from fedgan.runs.load import open_run

EACH = 4  # images of a class
ARMS = {
    "vanilla": "trained without attack",
    "attack": "one client poisoned",
    "feddetect": "poisoned + FedDetect",
    "generator_audit": "poisoned + generator audit",
}
MARK = "#d62728"
WIDTH, ROW, HEAD = 9.2, 0.9, 0.3  # inches: of the figure, of a row of images, above what the audit found


def main() -> None:
    """Draw it from the first seed's runs."""
    parser = argparse.ArgumentParser("python -m experiments.story", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of a study that experiments.arms has left")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    asked = parser.parse_args()
    try:
        figure = draw(
            {name: load(next(iter(sorted(asked.folder.glob(f"{name}-seed_*"))), asked.folder)) for name in ARMS}
        )
    except ValueError as error:
        sys.exit(f"error: {error}")
    atomic_write(asked.picture, lambda file: figure.savefig(file, dpi=110, metadata={"Software": None}))
    print(asked.picture)


def draw(runs: dict[str, Run]) -> Figure:
    """A row of real test images, then one for each run; the trigger's place is framed where it was attacked.

    Below them, in a run with a picture of its malicious client, what the audit has found of it.
    """
    opened = open_run(runs["attack"].folder)
    rows: list[tuple[str, ImageSet, Trigger | None]] = [("real", opened.splits.test, None)]
    for name, run in runs.items():
        emission = run.summary["metrics"]["emission"]
        title = f"{ARMS[name]}\n{emission:.0%} carry the trigger"
        rows.append((title, run.draw(EACH, seed=0), opened.trigger if name == "attack" else None))
    evidence = [Image.open(file) for run in runs.values() for file in pictures_of_malicious(run)][:1]
    heights = [ROW * len(rows), *(HEAD + WIDTH * picture.height / picture.width for picture in evidence)]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor="white")
    above, *below = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights).flat
    axes = above.subplots(len(rows), EACH * len(opened.splits.classes), squeeze=False)
    for line, (title, images, trigger) in zip(axes, rows, strict=True):
        _row(line, images, trigger)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=10, labelpad=8)
    for label, name in enumerate(opened.splits.classes):
        axes[0][label * EACH].set_title(name.lower(), loc="left", fontsize=10)
    for part, picture in zip(below, evidence, strict=True):
        _found(part.subplots(), picture)
    return figure


def pictures_of_malicious(run: Run) -> list[Path]:
    """What defenses have left of a run's malicious clients, whom they flagged."""
    files = (run.folder.glob(f"{MAPS}/*/{FLAGGED}{client}.png") for client in run.record["malicious"])
    return sorted(file for found in files for file in found)


def _found(axis: Axes, picture: Image.Image) -> None:
    axis.imshow(np.asarray(picture))
    axis.set_title("what the audit saw of the poisoned client", loc="left", fontsize=10)
    axis.set_axis_off()


def _row(line: "np.ndarray[tuple[int], np.dtype[np.object_]]", images: ImageSet, trigger: Trigger | None) -> None:
    """The first images of every class, in a row."""
    chosen = [image for label in range(len(images.classes)) for image in images.of_class(label)[:EACH]]
    for axis, image in zip(line, chosen, strict=True):
        _image(axis, image.permute(1, 2, 0).squeeze().numpy(), trigger)


def _image(axis: Axes, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", trigger: Trigger | None) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if isinstance(trigger, Patch):
        side = trigger.pattern.shape[-1]
        corner = (trigger.left - 1, trigger.top - 1)
        axis.add_patch(Rectangle(corner, side + 1, side + 1, fill=False, edgecolor=MARK, linewidth=1.2))


if __name__ == "__main__":
    main()
