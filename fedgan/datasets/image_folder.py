"""A folder of images, one sub-folder per class: ISIC, the chest X-rays, or one's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from fedgan.checks import check, check_flag, check_int, check_number
from fedgan.data import ImageSet, Splits
from fedgan.datasets._classes import class_names
from fedgan.datasets._decoding import VERSION as DECODER_VERSION
from fedgan.datasets._decoding import decode_all
from fedgan.datasets._pixel_cache import content_key, keep_pixels, read_pixels
from fedgan.files import cache_dir as cache_folder
from fedgan.rng import keyed_generator

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})


class ImageFolder:
    """Images in ``root/{train,test}/<class>/`` (``root/val/`` joins train), or in ``root/<class>/``.

    Each image is decoded once: the first frame of an animation, turned as its EXIF data say, 16 bits scaled to 8, what
    is transparent made black, converted to grey or RGB, and squashed to a square.
    The pixels are kept in a cache whose key is the files' content, so that a changed file is noticed. Hidden
    files, files that are no images by suffix, and symbolic links that lead outside ``root`` are left out.

    Args:
        name: what the data set is called in reports.
        root: the folder; ``~`` is expanded.
        image_size: height and width in pixels, at least 1.
        channels: 1 (grey) or 3 (RGB).
        classes: the classes' folders in the order of their labels; None: all, sorted by name.
        pool_splits: train on all images, those of the test split too, as in the paper (ISIC 3,297,
            ChestX 5,856). The test set then overlaps the training pool: that repeats the paper's setting, but
            it is no honest test of anything trained on the pool.
        test_per_class: test images drawn from each class (paper: ISIC 300, ChestX 234); None: all.
        test_share: share of each class drawn for the test where ``root`` has no train/ and test/; in (0, 1).
        seed: at least 0; draws the test images.
        cache_dir: where decoded pixels are kept; None: ``$XDG_CACHE_HOME/fedgan`` or ``~/.cache/fedgan``.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        *,
        name: str = "image_folder",
        root: str | None,
        image_size: int,
        channels: int,
        classes: list[str] | None = None,
        pool_splits: bool = False,
        test_per_class: int | None = None,
        test_share: float = 0.2,
        seed: int,
        cache_dir: str | None,
    ) -> None:
        check(root is not None, "dataset.root", "the folder that holds the images", root)
        check(type(channels) is int and channels in (1, 3), "dataset.channels", "1 (grey) or 3 (RGB)", channels)
        check_flag("dataset.pool_splits", pool_splits)
        check_number("dataset.test_share", test_share, low=0, high=1, low_allowed=False, high_allowed=False)
        check_int("dataset.seed", seed, low=0)
        check_int("dataset.image_size", image_size, low=1)
        if test_per_class is not None:
            check_int("dataset.test_per_class", test_per_class, low=1)
        self.name, self.channels, self.image_size, self.seed = name, channels, image_size, seed
        self.root = Path(str(root)).expanduser()
        self.classes = None if classes is None else class_names(classes)
        self.pool_splits, self.test_share, self.test_per_class = pool_splits, test_share, test_per_class
        self.cache_dir = None if cache_dir is None else str(cache_dir)  # YAML reads a folder named 2026 as a number

    def load(self) -> Splits:
        """Read the pixels, from the cache where it has them, and split them.

        Raises:
            ValueError: in one line, for a folder missing or not laid out as above, or an unreadable image.
        """
        root = _existing_folder(self.root)
        folders = _split_folders(root)
        classes = _classes(folders, self.classes)
        listing = [  # (split, label, file)
            (split, label, file)
            for split, folder in folders.items()
            for label, name in enumerate(classes)
            for file in _images(folder / name, root, required=split != "val")
        ]
        images = self._pixels(root, classes, [file for _, _, file in listing])
        labels = torch.tensor([label for _, label, _ in listing])
        everything = ImageSet(images, labels, classes)
        train, test = self._indices([split for split, _, _ in listing], everything)
        return Splits(self.name, _part(everything, train), _part(everything, test))

    def _pixels(self, root: Path, classes: tuple[str, ...], files: list[Path]) -> Tensor:
        """The files' pixels, (N, C, S, S), decoded or from the cache."""
        folder = cache_folder(self.cache_dir)
        settings = (DECODER_VERSION, self.image_size, self.channels, classes)
        key = content_key(settings, root, files, folder)
        path = folder / f"images-{key[:32]}.safetensors"
        images = read_pixels(path, key, (len(files), self.channels, self.image_size, self.image_size))
        if images is None:
            images = decode_all(files, self.image_size, self.channels, f"decoding {self.name}")
            keep_pixels(path, key, images)
        return images

    def _indices(self, splits: list[str], images: ImageSet) -> tuple[Tensor, Tensor]:
        """Which images train and which test: two ascending index tensors."""
        if "all" in splits:
            is_test = self._drawn(images.labels, images.classes, lambda count: _share(self.test_share, count))
        else:
            is_test = torch.tensor([split == "test" for split in splits])
        train = torch.arange(len(splits)) if self.pool_splits else (~is_test).nonzero().flatten()
        test = is_test.nonzero().flatten()
        if self.test_per_class is not None:
            wanted = self.test_per_class
            test = test[self._drawn(images.labels[test], images.classes, lambda _: wanted)]
        return train, test

    def _drawn(self, labels: Tensor, classes: tuple[str, ...], how_many: Callable[[int], int]) -> Tensor:
        """A mask of ``how_many(count)`` random images of each class."""
        mask = torch.zeros(len(labels), dtype=torch.bool)
        for label, name in enumerate(classes):
            members = (labels == label).nonzero().flatten()
            wanted = how_many(len(members))
            if wanted > len(members):
                raise ValueError(
                    f"dataset.test_per_class must be at most {len(members)}, the test images of {name!r}; got {wanted}"
                )
            order = torch.randperm(len(members), generator=keyed_generator(self.seed, "test images", name))
            mask[members[order[:wanted]]] = True
        return mask


def _existing_folder(root: Path) -> Path:
    if not root.exists():
        raise ValueError(f"dataset.root must be an existing folder; {str(root)!r} does not exist")
    if not root.is_dir():
        raise ValueError(f"dataset.root must be a folder; {str(root)!r} is a file")
    return root.resolve()


def _split_folders(root: Path) -> dict[str, Path]:
    """The splits' folders by split, or the root itself as ``all``."""
    splits = {split: root / split for split in ("train", "val", "test") if (root / split).is_dir()}
    if "train" in splits and "test" in splits:
        return splits
    if "train" in splits or "test" in splits:
        raise ValueError(f"dataset.root must have both train/ and test/, or neither; {str(root)!r} has {list(splits)}")
    return {"all": root}


def _classes(folders: dict[str, Path], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    inside = (entry for folder in folders.values() for entry in folder.iterdir())
    found = sorted({entry.name for entry in inside if entry.is_dir() and not entry.name.startswith(".")})
    places = " or ".join(repr(str(folder)) for folder in folders.values())
    if not found:
        raise ValueError(f"dataset.root must hold one folder per class; there is none in {places}")
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise ValueError(f"dataset.classes must be among {found}, the folders in {places}; got {missing}")
    return wanted or tuple(found)


def _images(folder: Path, root: Path, required: bool) -> list[Path]:
    """The image files below a class folder, sorted; ``required``: there must be some."""
    files = sorted(_image_files(folder, root), key=lambda file: file.parts)
    if required and not files:
        raise ValueError(
            f"dataset.root: the class folder {str(folder)!r} holds no images ({' '.join(sorted(_SUFFIXES))}; "
            f"links that lead outside dataset.root are not followed)"
        )
    return files


def _image_files(folder: Path, root: Path) -> Iterator[Path]:
    inside = folder.resolve().is_relative_to(root)
    for entry in os.scandir(folder) if folder.is_dir() else ():  # a class may be missing from a split
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _image_files(path, root)
        elif path.suffix.lower() in _SUFFIXES:
            linked = entry.is_symlink() and path.is_file() and path.resolve().is_relative_to(root)
            if linked or (inside and entry.is_file(follow_symlinks=False)):
                yield path


def _share(share: float, count: int) -> int:
    """``share`` of ``count`` images, leaving at least one on either side."""
    if count < 2:
        raise ValueError(f"dataset.root must hold at least 2 images of each class to be split; got {count}")
    return min(max(round(share * count), 1), count - 1)


def _part(images: ImageSet, indices: Tensor) -> ImageSet:
    """``images.subset(indices)`` of ascending indices; without a gap they are a view, and nothing is copied."""
    start, stop = int(indices[0]), int(indices[-1]) + 1
    if stop - start > len(indices):
        return images.subset(indices)
    return ImageSet(images.images[start:stop], images.labels[start:stop], images.classes)
