"""What the hospital takes home: a labeled synthetic data set, drawn by a finished run's generator.

python -m fedgan.sample run=outputs/train/2026-01-31_12-00-00 per_class=1000 out=PATH
"""

import csv
import errno
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchvision.io import encode_png

from fedgan.config.next_steps import report_of
from fedgan.config.validate import FinishedRunFolder
from fedgan.core.arguments import Allowed, Count, PathText, Seed, checked, validated
from fedgan.core.files import placed, temporary_for
from fedgan.core.folders import FolderName, check_empty, check_makeable
from fedgan.core.latents import LatentBatch, balanced_latents
from fedgan.runs.allowlist import Packages
from fedgan.runs.export import Release, load_generator
from fedgan.runs.folder import record_of
from fedgan.scoring.sampling import synthesize

MANIFEST = "manifest.csv"
COLUMNS = ("file", "class", "label", "latent_seed", "generator_sha256", "rounds", "attack", "defense", "emission")


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/sample.yaml."""

    run: FinishedRunFolder
    out: Annotated[PathText, Allowed("the folder to write to")]
    per_class: Count
    seed: Seed
    batch_size: Count
    trust: Packages


def main(cfg: DictConfig) -> None:
    """Write the data set and print its folder."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings(**plain)
    out = Path(settings.out).expanduser().resolve()  # through links
    check_empty("out", out)
    check_makeable("out", out)

    run = Path(settings.run).expanduser()
    release = load_generator(run, settings.trust)
    print(f"generator: {release.spec}", file=sys.stderr)
    write_dataset(release, out, per_class=settings.per_class, seed=settings.seed, batch_size=settings.batch_size)
    if record_of(run):  # a generator may have been handed on without its run
        print(report_of([run]), file=sys.stderr)
    print(f"{settings.per_class * len(release.spec.classes)} images and manifest.csv in {out}")


def write_dataset(release: Release, out: Path, *, per_class: int, seed: int, batch_size: int) -> None:
    """One folder of PNGs per class and ``manifest.csv``, which says what the generator was trained under.

    A new folder appears whole or not at all; in one that is there (a mount point, say) what was drawn appears at the
    end, ``manifest.csv`` last. Image i of a class is the same however many are asked for: its latent depends on
    (seed, class, i) alone.

    Args:
        release: the generator.
        out: the folder to make; must be absent or empty.
        per_class: images of each class.
        seed: of the latents.
        batch_size: images drawn at once; has no effect on what is drawn.
    """
    classes = release.spec.classes
    for name in classes:
        validated("run: a class of the generator", FolderName, name)
    request = balanced_latents(len(classes), per_class, seed)
    batches = synthesize(release.generator, request, batch_size)
    there = out.is_dir()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_for(out / out.name if there else out)
    try:
        files = write_images(chain.from_iterable(batches), request, classes, temporary)
        write_manifest(temporary / MANIFEST, release, request, files)
        if there:  # it may be a mount point, which nothing can replace
            for name in (*classes, MANIFEST):
                (temporary / name).replace(out / name)
            temporary.rmdir()
        else:
            temporary.replace(out)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            said = f"out must be a folder that nothing else writes to; {out} has been filled meanwhile"
            raise ValueError(said) from error
        raise placed(error, out) from error


def write_manifest(path: Path, release: Release, request: LatentBatch, files: Sequence[str]) -> None:
    """One row per image: where it is, how to draw it again, and what the generator was trained under."""
    about = release.spec
    under = (about.rounds, about.attack, about.defense, about.emission)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, label, latent_seed in zip(files, request.labels.tolist(), request.latent_seeds, strict=True):
            writer.writerow((name, about.classes[label], label, latent_seed, release.sha256, *under))


def write_images(images: Iterable[Tensor], request: LatentBatch, classes: Sequence[str], folder: Path) -> list[str]:
    """Write each image as ``folder/<class>/<number within the class>.png``; returns the names within ``folder``."""
    names = []
    numbers = [count() for _ in classes]
    for name in classes:
        (folder / name).mkdir(parents=True)
    labels = request.labels.tolist()
    drawn = zip(images, labels, strict=True)
    for image, label in track(drawn, "drawing", total=len(labels), console=Console(stderr=True)):
        names.append(f"{classes[label]}/{next(numbers[label]):06d}.png")
        (folder / names[-1]).write_bytes(encode_png(image).numpy().tobytes())
    return names
