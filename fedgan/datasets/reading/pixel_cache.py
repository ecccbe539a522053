"""Decoded pixels on disk, so that no image is decoded twice."""

import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedgan.core.files import keep
from fedgan.datasets.reading.decoding import in_threads

_CHUNK = 1 << 24  # bytes that one thread checks at a time
_SETTLED = 2.0  # seconds; file systems' clocks tick at most that slowly (FAT)


@dataclass(frozen=True)
class Pixels:
    """Decoded images, and what is as costly to find out as they are.

    Attributes:
        images: uint8, (N, C, S, S).
        copies: for each image the place of the first one with the same pixels: int64, (N,).
        peak: the largest value in any gray file of 16 bits; None if there is no such file.
    """

    images: Tensor
    copies: Tensor
    peak: int | None


def content_key(settings: object, root: Path, files: Sequence[Path], folder: Path) -> str:
    """SHA-256 over settings, the files' paths below ``root`` and their bytes.

    The bytes are read again only where a file's path, size, inode or time of change is new, as in git's index. That
    includes the time that no program can set (ctime): an edit that keeps size and date is noticed too. Files changed
    within the last two seconds are always read, since the next change might fall on the same tick of the clock.

    Args:
        settings: whatever else shall change the key, by its ``repr``.
        root: above all files.
        files: in the order of the images.
        folder: where the key is noted.
    """
    above = len(os.fsencode(root))
    names = [os.fsencode(file)[above:] for file in files]
    stats = [file.stat() for file in files]  # before reading: a change meanwhile is a new time next time
    stamps = [(stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]
    note = folder / f"files-{_sha256(settings, names, stamps)[:32]}.key"
    if known := _noted(note):
        return known
    key = _sha256(settings, names, list(in_threads(_file_digest, files)))
    if max(max(stat.st_mtime, stat.st_ctime) for stat in stats) < time.time() - _SETTLED:
        _note(note, key)
    return key


def read_pixels(path: Path, key: str, shape: tuple[int, ...]) -> Pixels | None:
    """What is kept under ``key``, mapped into memory; None where the file is missing, damaged or someone else's.

    Whoever writes into the images writes into a copy of the page: the file stays as it is.
    """
    try:
        with safe_open(path, "pt") as stored:
            about = stored.metadata() or {}
            if about.get("key") != key:
                return None
            pixels = Pixels(stored.get_tensor("images"), stored.get_tensor("copies"), json.loads(about["peak"]))
    except (OSError, SafetensorError, LookupError, ValueError):
        return None
    fits = pixels.images.dtype == torch.uint8 and tuple(pixels.images.shape) == shape
    fits = fits and pixels.copies.dtype == torch.int64 and tuple(pixels.copies.shape) == shape[:1]
    return pixels if fits and about.get("crc32") == _checksums(pixels) else None


def keep_pixels(path: Path, key: str, pixels: Pixels) -> None:
    """Keep them under ``key``."""
    about = {"key": key, "crc32": _checksums(pixels), "peak": json.dumps(pixels.peak)}
    keep(path, lambda draft: save_file({"images": pixels.images, "copies": pixels.copies}, draft, about))


def _checksums(pixels: Pixels) -> str:
    """CRC-32 by chunk: against a disk's damage, not against an attacker; five times as fast as SHA-256."""
    parts = [tensor.contiguous().numpy().data.cast("B") for tensor in (pixels.images, pixels.copies)]
    chunks = [part[start : start + _CHUNK] for part in parts for start in range(0, len(part), _CHUNK)]
    return " ".join(f"{crc:08x}" for crc in in_threads(zlib.crc32, chunks))


def _note(note: Path, key: str) -> None:
    def write(draft: Path) -> None:
        draft.write_text(key)

    keep(note, write)


def _noted(note: Path) -> str | None:
    try:
        text = note.read_text(errors="replace")
    except OSError:
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
