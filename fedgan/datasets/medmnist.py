"""MedMNIST's .npz files, of any of its sizes."""

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.npyio import NpzFile
from pydantic import SkipValidation
from torch import Tensor
from torch.nn.functional import interpolate

from fedgan.core.arguments import Allowed, Count, PathText, checked
from fedgan.core.images import ImageSet, Splits
from fedgan.core.words import counted
from fedgan.datasets.reading.classes import class_names
from fedgan.datasets.reading.division import copies_note, refuse_emptied, train_apart
from fedgan.datasets.reading.splitting import first_copies

NpzFilePath = Annotated[PathText, Allowed("set to a MedMNIST .npz file")]
_AT_ONCE = 1024  # images resized together, to bound the memory


@checked
class MedMNIST:
    """A MedMNIST file (https://medmnist.com) with images and labels for train, val and test; val joins train.

    The arrays are ``train_images``, ``train_labels`` and so on: images uint8, (N, H, W) gray or (N, H, W, 3)
    RGB, resized with an antialiased bicubic filter; labels integers, (N,) or (N, 1). Pickled objects are never
    loaded. Training images that equal a test image in every pixel are left out.

    Args:
        name: what the data set is called in reports.
        file: the .npz file; ``~`` is expanded.
        image_size: height and width in pixels, at least 1.
        classes: the classes' names in the order of their labels; None: the labels themselves.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        *,
        name: str = "medmnist",
        file: NpzFilePath,
        image_size: Count,
        classes: SkipValidation[list[str]] | None = None,
    ) -> None:
        self.name = name
        self.file = Path(file).expanduser()
        self.image_size = image_size
        self.classes = None if classes is None else class_names(classes)

    def load(self) -> Splits:
        """Read and resize all images.

        Raises:
            ValueError: in one line, for a file that is missing, no .npz, damaged or not laid out as above.
        """
        arrays = self._read()
        parts = {split: self._labeled(arrays, split) for split in ("train", "val", "test")}
        classes = self._class_names([labels for _, labels in parts.values()])
        if len({images.shape[1:] for images, _ in parts.values()}) > 1:
            raise self._error("the splits' images must have one size and color")
        pool, pool_labels = (torch.cat(pair) for pair in zip(parts["train"], parts["val"], strict=True))
        test, test_labels = parts["test"]
        labels, copies = torch.cat([pool_labels, test_labels]).numpy(), first_copies(pool, test)
        is_test = np.arange(len(labels)) >= len(pool)
        kept, left_out = train_apart(copies, copies, is_test)
        refuse_emptied(labels, classes, ~is_test, kept, f"dataset.file {str(self.file)!r}")
        if left_out:
            pool, pool_labels = pool[kept], pool_labels[kept]
        return Splits(
            self.name,
            ImageSet(_resize(pool, self.image_size), pool_labels, classes),
            ImageSet(_resize(test, self.image_size), test_labels, classes),
            left_out=left_out,
            notes=tuple(copies_note(copies, kept, is_test.nonzero()[0])),
        )

    def _error(self, problem: str) -> ValueError:
        return ValueError(f"dataset.file {str(self.file)!r}: {' '.join(problem.split())}")

    def _read(self) -> dict[str, npt.NDArray[np.generic]]:
        """The six arrays by key."""
        keys = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("images", "labels")]
        if not self.file.is_file():
            raise self._error("it is a folder" if self.file.is_dir() else "there is no such file")
        try:
            stored = np.load(self.file, allow_pickle=False)
        except Exception as error:  # numpy, zipfile and tokenize each have their own for damaged bytes
            raise self._error(f"not an .npz file: {error}") from error
        if not isinstance(stored, NpzFile):
            raise self._error("not an .npz file but a single array")
        with stored:
            missing = [key for key in keys if key not in stored]
            if missing:
                raise self._error(f"lacks {missing}; it has {sorted(stored)}")
            return {key: self._array(stored, key) for key in keys}

    def _array(self, stored: NpzFile, key: str) -> npt.NDArray[np.generic]:
        try:
            array: npt.NDArray[np.generic] = stored[key]
        except Exception as error:  # zipfile, zlib and numpy each have their own for damaged bytes
            pickled = "Object arrays" in str(error)
            reason = "holds pickled objects, which are refused" if pickled else f"cannot be read: {error}"
            raise self._error(f"{key} {reason}") from error
        if not isinstance(array, np.ndarray):  # numpy hands out the bytes of a member that is no array
            raise self._error(f"{key} is no array")
        return array

    def _labeled(self, arrays: dict[str, npt.NDArray[np.generic]], split: str) -> tuple[Tensor, Tensor]:
        """One split's images, (N, C, H, W) uint8, and labels, (N,) int64."""
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        gray, rgb = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
        if images.dtype != np.uint8 or not (gray or rgb) or images.size == 0:
            found = f"{images.dtype} {images.shape}"
            raise self._error(f"{split}_images must be uint8, (N, H, W) or (N, H, W, 3); got {found}")
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise self._error(f"{split}_labels must give one label per image; got {labels.shape}: multi-label data")
        if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(images) or labels.ndim not in (1, 2):
            found = f"{labels.dtype} {labels.shape}"
            raise self._error(f"{split}_labels must be integers, ({len(images)},) or ({len(images)}, 1); got {found}")
        planes = images[:, None] if gray else images.transpose(0, 3, 1, 2)
        return torch.from_numpy(planes), torch.from_numpy(labels.reshape(-1).astype(np.int64))

    def _class_names(self, labels: list[Tensor]) -> tuple[str, ...]:
        present = np.unique(torch.cat(labels).numpy()).tolist()
        if self.classes is None:
            if present != list(range(len(present))):
                raise self._error(f"labels must be 0, 1, 2 and so on without gaps; got {present[:20]}")
            return tuple(str(label) for label in present)
        if present[0] < 0 or present[-1] >= len(self.classes):
            raise ValueError(
                f"dataset.classes must name each label from {present[0]} to {present[-1]}, counted from 0; "
                f"got {counted(len(self.classes), 'name')}"
            )
        return self.classes


def _resize(images: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) squashed or enlarged to (N, C, size, size).

    Example:
        >>> _resize(torch.full((2, 3, 28, 28), 7, dtype=torch.uint8), 32).float().mean().item()
        7.0
    """
    if tuple(images.shape[-2:]) == (size, size):
        return images.contiguous()
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    return torch.cat([interpolate(part, (size, size), mode="bicubic", antialias=True) for part in parts])
