"""From an image file to pixels: whatever Pillow reads, as bytes of one size."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

VERSION = "1"  # raise it whenever the same file would give other pixels: it is part of the cache's key
# By content, not by suffix: Pillow has decoders for dozens of formats, and one of them starts Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_MAX_PIXELS = 89_478_485  # Pillow's own threshold for suspecting a decompression bomb


def decode_image(file: Path, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    """One image file as uint8, (C, S, S); of an animation the first frame.

    Raises:
        ValueError: in one line that names the file, if it is damaged, no image, or suspiciously large.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {_MAX_PIXELS:,}")
            image.draft(None, (2 * image_size, 2 * image_size))  # JPEG: skip detail that the resizing would drop
            plain = _plain(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
            small = plain.resize((image_size, image_size), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's plug-ins raise whatever the damaged bytes lead them into
        reason = " ".join(str(error).split())
        raise ValueError(f"dataset.root: cannot read the image {str(file)!r}: {reason}") from error
    planes = np.asarray(small).reshape(image_size, image_size, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


def _plain(image: Image.Image) -> Image.Image:
    """Eight bits (65,535 becomes 255) and no transparency (it becomes black, as around a radiograph)."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("integer pixels beyond 16 bits")
        return Image.fromarray((wide / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return image
