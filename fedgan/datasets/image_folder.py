"""A folder of images, whose classes are its folders or stand in a CSV file: ISIC, the chest X-rays, or one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.core.arguments import Allowed, Channels, Count, Fraction, PathText, Seed, checked
from fedgan.core.checks import check
from fedgan.core.files import cache_dir as cache_folder
from fedgan.core.images import ImageSet, Splits
from fedgan.datasets.reading.classes import class_members
from fedgan.datasets.reading.columns import GivenColumns, columns_by_role
from fedgan.datasets.reading.decoding import VERSION as DECODER_VERSION
from fedgan.datasets.reading.decoding import WHITE, decode_all
from fedgan.datasets.reading.division import Division, divide
from fedgan.datasets.reading.folders import list_folders
from fedgan.datasets.reading.groups import PatternText, Role, compiled, group_by, numbered
from fedgan.datasets.reading.labels import list_labels
from fedgan.datasets.reading.listing import Listing
from fedgan.datasets.reading.pixel_cache import Pixels, content_key, keep_pixels, read_pixels
from fedgan.datasets.reading.splitting import first_copies


@checked
class ImageFolder:
    """Images in ``root/{train,test}/<class>/`` (``val/`` joins train), in ``root/<class>/``, or as a CSV file says.

    Folders of splits may be spelled train, training, test, testing, val, valid or validation, in any case; such a name
    is never a class. With ``labels`` the images may lie anywhere below ``root``.

    Each image is decoded once: the first frame of an animation, turned as its EXIF data say, 16 bits scaled to 8, what
    is transparent made black, converted to gray or RGB, and squashed to a square.
    The pixels are kept in a cache whose key is the files' content, so that a changed file is noticed. Hidden
    files, files that are no images by suffix, and symbolic links that lead outside ``root`` are left out and counted.

    No group (a patient, a lesion) and no copy of an image, equal in every pixel, lies on both sides of the split. Test
    images are drawn by whole groups; where splits are given, training images whose group or copy is in the test
    set are left out. Copies within one split stay.

    Args:
        name: what the data set is called in reports.
        root: the folder; ``~`` is expanded.
        image_size: height and width in pixels, at least 1.
        channels: 1 (gray) or 3 (RGB).
        classes: the classes' folders (or names in ``labels``) in the order of their labels; or a mapping of each class
            to the folders (or names) that make it; None: all, sorted by name. Others are left out.
        labels: a CSV file with a row for each image, absolute or below ``root``; None: the folders are the classes.
        columns: its columns for ``file``, ``class``, ``split``, ``group`` and ``hospital``; None: those with a usual
            name; False, for the last three: none. For class also a list of columns of which each row has a 1 in one.
        group_pattern: a regular expression for the path below ``root`` (with /); what its first group, or the whole
            of it, matches is the image's group. None: the column's, or none.
        hospital_pattern: likewise the image's hospital, which ``partition=by_group`` can deal by.
        pool_splits: train on all images, those of the test split too, as in the paper (ISIC 3,297,
            ChestX 5,856). The test set then overlaps the training pool: that repeats the paper's setting, but
            it is no honest test of anything trained on the pool.
        test_per_class: test images drawn from each class (paper: ISIC 300, ChestX 234); None: all.
        test_share: share of each class drawn for the test where there are no splits; in (0, 1).
        white: the value, 1 to 65,535, that gray files of 16 bits show as white, such as 4095 for detectors of 12 bits;
            larger ones are clipped to it; None: 65535.
        seed: at least 0; draws the test images.
        cache_dir: where decoded pixels are kept; None: ``$XDG_CACHE_HOME/fedgan`` or ``~/.cache/fedgan``.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        *,
        name: str = "image_folder",
        root: Annotated[PathText, Allowed("the folder that holds the images")],
        image_size: Count,
        channels: Channels,
        classes: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        labels: PathText | None = None,
        columns: GivenColumns | None = None,
        group_pattern: PatternText | None = None,
        hospital_pattern: PatternText | None = None,
        pool_splits: bool = False,
        test_per_class: Count | None = None,
        test_share: Fraction = 0.2,
        white: Annotated[int, Interval(ge=1, le=WHITE)] | None = None,
        seed: Seed,
        cache_dir: PathText | None,
    ) -> None:
        self.white = WHITE if white is None else white
        self.columns = columns_by_role(columns)
        named = {role: column for role, column in self.columns.items() if column is not None}
        check(labels is not None or not named, "columns", "null without labels", named)
        given: dict[Role, str | None] = {"group": group_pattern, "hospital": hospital_pattern}
        self.patterns = {role: compiled(f"{role}_pattern", text) for role, text in given.items() if text is not None}
        for role, pattern in self.patterns.items():
            check(not named.get(role), f"{role}_pattern", f"null with columns.{role}", pattern.pattern)
            self.columns = {**self.columns, role: False}
        self.name, self.channels, self.image_size = name, channels, image_size
        self.root = Path(root).expanduser()
        self.labels = None if labels is None else Path(labels).expanduser()
        self.cache_dir = cache_dir
        self.classes = None if classes is None else class_members(classes)
        self.division = Division(pool_splits, test_share, test_per_class, seed)

    def load(self) -> Splits:
        """Read the pixels, from the cache where it has them, and split them.

        Raises:
            ValueError: in one line, for a folder missing or not laid out as above, or an unreadable image.
        """
        root = _existing_folder(self.root)
        listing = self._list(root)
        pixels = self._read(root, listing)
        labels = torch.tensor([entry.label for entry in listing.entries])
        together = (numbered([getattr(entry, role) for entry in listing.entries]) for role in ("group", "hospital"))
        images = ImageSet(pixels.images, labels, listing.classes, *together)
        extremes = _note_range(pixels.peak, self.white)
        try:
            parts = divide(listing, pixels.copies.numpy(), self.division)
        except ValueError as error:  # images that are all but black may be copies of each other for that reason alone
            raise ValueError("; ".join([str(error), *extremes])) from error
        return Splits(
            self.name,
            train=_part(images, torch.from_numpy(parts.train)),
            test=_part(images, torch.from_numpy(parts.test)),
            pooled=self.division.pool,
            left_out={**listing.left_out, **parts.left_out},
            notes=(*listing.notes, *parts.notes, *extremes),
        )

    def _list(self, root: Path) -> Listing:
        """The images, and their groups."""
        if self.labels is None:
            listing = list_folders(root, self.classes)
        else:
            listing = list_labels(root, root / self.labels, self.columns, self.classes)
        for role, pattern in self.patterns.items():
            listing = group_by(pattern, listing, root, role)
        return listing

    def _read(self, root: Path, listing: Listing) -> Pixels:
        """The files' pixels, decoded or from the cache."""
        files, folder = [entry.file for entry in listing.entries], cache_folder(self.cache_dir)
        if folder is None:
            return self._decode(files)
        settings = (DECODER_VERSION, self.image_size, self.channels, self.white, listing.classes)
        key = content_key(settings, root, files, folder)
        path = folder / f"images-{key[:32]}.safetensors"
        pixels = read_pixels(path, key, (len(files), self.channels, self.image_size, self.image_size))
        if pixels is None:
            pixels = self._decode(files)
            keep_pixels(path, key, pixels)
        return pixels

    def _decode(self, files: Sequence[Path]) -> Pixels:
        images, peak = decode_all(files, self.image_size, self.channels, f"decoding {self.name}", white=self.white)
        return Pixels(images, torch.from_numpy(first_copies(images)), peak)


def _existing_folder(root: Path) -> Path:
    if not root.exists():
        raise ValueError(f"dataset.root must be an existing folder; {str(root)!r} does not exist")
    if not root.is_dir():
        raise ValueError(f"dataset.root must be a folder; {str(root)!r} is a file")
    return root.resolve()


def _part(images: ImageSet, indices: Tensor) -> ImageSet:
    """``images.subset(indices)`` of ascending indices; without a gap they are a view, and nothing is copied."""
    start, stop = int(indices[0]), int(indices[-1]) + 1
    if stop - start > len(indices):
        return images.subset(indices)
    return images.map(lambda tensor: tensor[start:stop])


def _note_range(peak: int | None, white: int) -> list[str]:
    """Where gray files of 16 bits use a small part of the range, as those of detectors of 12 bits do, or pass it."""
    if peak is None or white / 8 <= peak <= white:
        return []
    said = f"the largest value in gray files of 16 bits is {peak:,}, and dataset.white is {white:,}"
    if peak > white:
        return [f"{said}: all values between are shown as white"]
    return [f"{said}, so that they are nearly black; dataset.white={max(peak, 1)} would show that value as white"]
