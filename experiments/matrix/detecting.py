"""An attack's own detector on the images of runs in which nobody attacks: its false alarms there."""

import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate

from experiments.paper.runs import composed
from fedgan.core.checks import check
from fedgan.core.precision import repeatable
from fedgan.metrics.base import Metric, Reference
from fedgan.runs.export import load_generator
from fedgan.runs.load import open_run
from fedgan.scoring.sampling import draw_images, draw_set
from fedgan.scoring.scorer import Scorer

_DEVICE = "cpu"


def seen_in(run: Path, controls: Sequence[Path], metric: str, root: str | None) -> list[dict[str, float]]:
    """What a metric that knows the run's trigger makes of each control; empty where it cannot be computed.

    Args:
        run: an attacked one; its real images, trigger and latents are used.
        controls: runs on the same images, with the same federation and model.
        metric: its name in conf/metrics, with its settings there.
        root: where the images are now; None: where the run found them.

    Raises:
        ValueError: in one line, if the images are not found, or others.
    """
    opened, evaluation = open_run(run, root), settings_of(run)["evaluation"]
    scorer = Scorer({metric: detector_of(metric)}, opened.splits.classes)
    with repeatable(_DEVICE):
        scorer.prepare(Reference(opened.splits, opened.trigger, opened.seed, torch.device(_DEVICE)))
        return [_values(scorer, control, evaluation) for control in controls]


def detector_of(metric: str) -> Metric:
    """A metric with its settings in conf/metrics."""
    made: Metric = instantiate(composed("config", [f"metrics=[{metric}]"]).metrics[metric], _convert_="all")
    return made


@cache
def column_of(metric: str) -> str:
    """What a metric's value is called.

    Example:
        >>> column_of("each_part"), column_of("frechet")
        ('parts_emission', 'frechet_classifier')
    """
    return detector_of(metric).names[0]


def _values(scorer: Scorer, control: Path, evaluation: dict[str, Any]) -> dict[str, float]:
    generator = load_generator(control).generator
    images = draw_set(generator, scorer.classes, evaluation["samples_per_class"], evaluation["latent_seed"])
    return scorer.score(images, partial(draw_images, generator))


def settings_of(run: Path) -> dict[str, Any]:
    """A run's config.yaml."""
    return dict(yaml.safe_load((run / "config.yaml").read_text()))


def check_same(run: Path, other: Path, parts: Sequence[str]) -> None:
    """Refuse a run on other images, or with other settings; who is malicious may differ.

    Args:
        run: what ``other`` is compared with.
        other: the one to be refused.
        parts: of the settings, such as ``fl``.

    Raises:
        ValueError: in one line.
    """
    data = [json.loads((each / "run.json").read_text())["dataset"] for each in (run, other)]
    same = all(data[0][part]["sha256"] == data[1][part]["sha256"] for part in ("train", "test"))
    check(same, str(other), f"a run on the images of {run}", "others")
    settings = [settings_of(each) for each in (run, other)]
    for part in parts:
        left, right = ({k: v for k, v in each[part].items() if k != "malicious"} for each in settings)
        check(left == right, str(other), f"a run with the {part} of {run}", "another")
