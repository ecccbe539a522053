"""Backdoor attacks on federated GANs for medical images, and the defenses against them."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedgan.reports.run import Run

__version__ = "0.1.0"


def load(folder: str | PathLike[str], *, trust: Sequence[str] = ()) -> Run:
    """Open a run's folder: its tables, records and generator.

    Args:
        folder: the run's; finished, stopped or still going.
        trust: packages besides fedgan whose classes the run may name, such as ``["my_lab"]``.

    Raises:
        ValueError: in one line, if this is no run's folder.

    ``run = fedgan.load("outputs/train/2026-01-31_12-00-00")``, then ``run.clients`` (a pandas frame),
    ``run.summary["metrics"]``, ``run.draw(per_class=8, seed=1).images``.
    """
    from pathlib import Path

    from fedgan.reports.run import Run  # here, so that `import fedgan` does not wait for torch

    return Run(Path(folder).expanduser(), trust)
