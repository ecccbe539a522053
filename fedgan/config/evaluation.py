"""Score a finished run again, without training, also one made on another machine.

python -m fedgan.evaluate run=outputs/train/2026-01-31_12-00-00 control=outputs/train/2026-01-31_13-00-00
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Predicate
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedgan.config.next_steps import report_of
from fedgan.config.screen import screen
from fedgan.config.validate import FinishedRunFolder
from fedgan.core.arguments import Allowed, Count, PathText, Seed, checked, validated
from fedgan.core.checks import check
from fedgan.core.files import temporary_for, write_json
from fedgan.core.precision import Device, repeatable
from fedgan.metrics.base import Metric, Reference
from fedgan.runs.allowlist import Packages
from fedgan.runs.load import FinishedRun, check_same_data, open_run
from fedgan.runs.provenance import git_state, peak_memory, versions
from fedgan.scoring.sampling import draw_images, draw_set
from fedgan.scoring.scorer import Scorer

FILE_NAME = "evaluation.json"
AtLeastTwo = Annotated[int, Ge(2)]
MARKS = {"run", "generator_sha256", "samples_per_class", "metrics", "absent", "facts"}  # what every evaluation has
SPACE = 100_000  # bytes that have to be free for one


def is_evaluation(file: Path) -> bool:
    """Whether an evaluation has left this file."""
    try:
        content = json.loads(file.read_text()) if file.is_file() else None
    except (OSError, ValueError):  # not to be read, or no JSON
        return False
    return isinstance(content, dict) and content.keys() >= MARKS


def _is_free(out: Path) -> bool:
    return not os.path.lexists(out) or is_evaluation(out)


def _is_in_folder(out: str) -> bool:
    return Path(out).expanduser().parent.is_dir()


OutFile = Annotated[PathText, Predicate(_is_in_folder), Allowed("a file in a folder that exists")]
EvaluationFile = Annotated[Path, Predicate(_is_free), Allowed("a new file, or one that fedgan.evaluate has written")]


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/evaluate.yaml."""

    metrics: object
    run: FinishedRunFolder
    control: FinishedRunFolder | None
    trust: Packages
    root: PathText | None
    samples_per_class: AtLeastTwo
    latent_seed: Seed
    batch_size: Count
    device: Device
    out: OutFile | None


def main(cfg: DictConfig) -> None:
    """Score, show the table, and write the file."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings(**plain)

    metrics = {name: instantiate(part, _convert_="all") for name, part in cfg.metrics.items()}
    run, control = open_runs(settings)
    out = run.folder / FILE_NAME if settings.out is None else Path(settings.out).expanduser()
    check_out(out)
    with repeatable(settings.device):
        evaluation = evaluate(
            run,
            control,
            metrics,
            samples_per_class=settings.samples_per_class,
            latent_seed=settings.latent_seed,
            batch_size=settings.batch_size,
            device=settings.device,
        )
    show(evaluation, run.release.spec.classes)  # first: nothing is lost if it cannot be written after all
    write_json(out, evaluation | {"settings": settings.metrics})
    print(report_of([each.folder for each in (run, control) if each is not None]), file=sys.stderr)
    print(out)


def check_out(out: Path) -> None:
    """Refuse, before anything is scored, a file that cannot be written or that no evaluation has left.

    Raises:
        ValueError: in one line.
    """
    validated("out", EvaluationFile, out)
    trial = temporary_for(out)
    try:
        trial.write_bytes(bytes(SPACE))
    except OSError as error:
        raise ValueError(f"out must be a file that can be written; got {str(out)!r} ({error.strerror})") from error
    finally:
        with suppress(OSError):
            trial.unlink()


def open_runs(settings: Settings) -> tuple[FinishedRun, FinishedRun | None]:
    """The run and its control, which must have the run's test images.

    Their training images may differ, as with ``dataset.pool_splits`` in one of them: both are measured with the run's.
    The control's ``memorized`` is about what the run was trained on, not about its own images.
    """
    run = open_run(Path(settings.run).expanduser(), settings.root, settings.trust)
    if settings.control is None:
        return run, None
    control = open_run(Path(settings.control).expanduser(), settings.root, settings.trust, "control")
    check(not control.attacked, "control", "a run in which nobody attacks (fl.malicious=0)", settings.control)
    check_same_data("control", control, run, ["test"])
    return run, control


def evaluate(
    run: FinishedRun,
    control: FinishedRun | None,
    metrics: Mapping[str, Metric],
    *,
    samples_per_class: int,
    latent_seed: int = 0,
    batch_size: int = 64,
    device: str = "cpu",
) -> dict[str, Any]:
    """Score what the run's generator draws, and next to it what the control's draws, with the run's trigger.

    Args:
        run: whose generator is scored.
        control: an unattacked generator, scored against the run's real images and for the run's trigger; None for none.
        metrics: by name, as they were built.
        samples_per_class: synthetic images of each class.
        latent_seed: of their latents.
        batch_size: images drawn at once.
        device: where heavy arithmetic runs.

    Returns:
        What is written to evaluation.json.
    """
    start = time.perf_counter()
    scorer = Scorer(metrics, run.splits.classes, watch=partial(track, console=Console(stderr=True)))
    on = torch.device(device)
    scorer.prepare(Reference(run.splits, run.trigger, run.seed, on, samples_per_class, run.trained))

    scored: dict[str, Any] = {}
    for prefix, part in (("", run), ("control_", control)):
        if part is not None:
            found = score(part, scorer, samples_per_class, latent_seed, batch_size, device)
            scored |= {f"{prefix}{name}": value for name, value in found.items()}
    return scored | {
        "samples_per_class": samples_per_class,
        "latent_seed": latent_seed,
        "facts": scorer.facts(),
        "git": git_state(),
        "versions": versions(),
        "seconds": round(time.perf_counter() - start, 2),
        "peak_memory_bytes": peak_memory(torch.device(device)),
    }


def score(
    run: FinishedRun, scorer: Scorer, samples_per_class: int, latent_seed: int, batch_size: int, device: str
) -> dict[str, Any]:
    """What one run's generator gets from metrics that are ready; see ``evaluate``."""
    generator = run.release.generator.to(device)
    images = draw_set(generator, run.splits.classes, samples_per_class, latent_seed, batch_size)
    return {
        "run": str(run.folder),
        "generator_sha256": run.release.sha256,
        "metrics": scorer.score(images, partial(draw_images, generator, batch_size=batch_size)),
        "absent": dict(scorer.absent),
    }


def show(evaluation: Mapping[str, Any], classes: Sequence[str]) -> None:
    """The metrics as a table: the mean over classes, each class, and the control's mean."""
    metrics, control = evaluation["metrics"], evaluation.get("control_metrics")
    title = f"{evaluation['samples_per_class']} synthetic images of each class"
    table = Table("metric", "mean", *classes, *(["control"] if control is not None else []), title=title)
    for name in (name for name in metrics if "/" not in name):
        row = [metrics[name], *(metrics[f"{name}/{each}"] for each in classes)]
        table.add_row(name, *map(cell, row), *([cell(control.get(name))] if control is not None else []))
    screen().print(table)


def cell(value: float | None) -> str:
    """A value to four digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"
