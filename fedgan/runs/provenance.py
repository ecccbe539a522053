"""What a result was made with: commit, versions, device, memory."""

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fedgan import __version__

# Seen from this folder: code, settings, versions.
DECISIVE = ("..", "../../conf", "../../experiments", "../../pyproject.toml")
BESIDE = (":(exclude)../../experiments/results", ":(top,exclude)*.md")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "scikit-learn", "numpy")


def git_state() -> dict[str, Any]:
    """Commit of the checkout that fedgan runs from, and whether what a result depends on differs from it.

    Both are None where it is no checkout of fedgan: an installed copy may be within another repository. What a study
    has written (``experiments/results``) makes nothing dirty, nor does a text.
    """
    try:
        if Path(_git("rev-parse", "--show-toplevel")) != Path(__file__).resolve().parents[2]:
            return {"commit": None, "dirty": None}
        commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *DECISIVE, *BESIDE)
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(status)}


def versions() -> dict[str, str]:
    """Python's, fedgan's (also of a checkout that is not installed) and the libraries' versions."""
    libraries = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "fedgan": __version__} | libraries


def device_name(device: torch.device) -> str:
    """A GPU's model, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Bytes: the process's largest resident set (None where the system has none), and torch's most on the GPU."""
    peak: dict[str, int | None] = {"host": _largest_resident_set()}
    if device.type == "cuda":
        peak["device"] = torch.cuda.max_memory_allocated(device)
    return peak


def _largest_resident_set() -> int | None:
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
