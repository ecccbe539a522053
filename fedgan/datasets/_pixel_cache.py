"""Decoded pixels on disk, so that no image is decoded twice."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedgan.files import keep


def read_pixels(path: Path, key: str, shape: tuple[int, ...]) -> Tensor | None:
    """The images kept under ``key``; None where the file is missing, damaged or someone else's."""
    try:
        with safe_open(path, "pt") as stored:
            about = stored.metadata() or {}
            images: Tensor = stored.get_tensor("images")
    except (OSError, SafetensorError):
        return None
    fits = about.get("key") == key and images.dtype == torch.uint8 and tuple(images.shape) == shape
    return images if fits and about.get("sha256") == _digest(images) else None


def keep_pixels(path: Path, key: str, images: Tensor) -> None:
    """Keep the images under ``key``."""
    about = {"key": key, "sha256": _digest(images)}
    keep(path, lambda draft: save_file({"images": images}, draft, about))


def _digest(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy().data).hexdigest()
