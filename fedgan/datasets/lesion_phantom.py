"""Drawn skin lesions: round and of one color, or ragged and of several."""

from typing import ClassVar

import numpy as np

from fedgan.datasets._drawing import Array, Canvas, Draws, Phantom, ellipse, rotate


def _colors(*rgb: tuple[float, float, float]) -> Array:
    """Red, green, blue in [0, 1]: (k, 3, 1, 1)."""
    return np.array(rgb, dtype=np.float32)[:, :, None, None]


_SKIN = _colors((0.90, 0.74, 0.66), (0.84, 0.62, 0.54), (0.76, 0.58, 0.46), (0.60, 0.42, 0.32))
_MOLE = _colors((0.56, 0.33, 0.22), (0.42, 0.25, 0.17), (0.62, 0.36, 0.30), (0.30, 0.18, 0.14))
_BLACK, _RED = _colors((0.12, 0.08, 0.09), (0.66, 0.24, 0.22))
_GREY_BLUE, _WHITE = _colors((0.40, 0.42, 0.52), (0.80, 0.68, 0.64))
_HAIR = _colors((0.10, 0.07, 0.06))
_REDNESS = _colors((0.3, -1.0, -0.8))
_HAIRS = 4  # at most, per image


class LesionPhantom(Phantom):
    """Dermoscopic pictures in RGB, ``benign`` and ``malignant``; arguments as for every phantom.

    Skin tone, light, hairs, the lesion's place, size and main color vary alike in both classes. A benign one
    has a regular border and one color; a malignant one an irregular, asymmetric border, several colors and
    texture.

    Example:
        >>> splits = LesionPhantom(image_size=32, train_per_class=3, test_per_class=1, seed=0).load()
        >>> splits.train.images.shape, splits.test.counts
        (torch.Size([6, 3, 32, 32]), {'benign': 1, 'malignant': 1})
    """

    name: ClassVar[str] = "lesion_phantom"
    classes: ClassVar[tuple[str, ...]] = ("benign", "malignant")

    def draw(self, label: int, draws: Draws, canvas: Canvas) -> Array:
        """Pictures of one class: (n, 3, S, S)."""
        malignant = label == self.classes.index("malignant")
        picture = _skin(draws, canvas)
        distance = _outline(malignant, draws, canvas)
        cover = canvas.inside(distance, draws.uniform(0.05, 0.16))
        picture = _mix(picture, _pigment(malignant, distance, draws, canvas), cover)
        picture = _mix(picture, _HAIR, _hairs(draws, canvas))
        return _light(picture, draws, canvas)


def _mix(below: Array, above: Array, cover: Array) -> Array:
    """Paint ``above`` over ``below`` (both (n or 1, 3, ...)) where ``cover`` (n, S, S) is 1."""
    painted = above - below
    painted *= cover[:, None]
    painted += below
    return painted


def _blend(palette: Array, draws: Draws) -> Array:
    """A color between two neighbors of a palette: (n, 3, 1, 1)."""
    place = draws.uniform(0, len(palette) - 1)[:, 0, 0]
    first = np.minimum(place.astype(int), len(palette) - 2)
    share = (place - first)[:, None, None, None]
    color: Array = palette[first] * (1 - share) + palette[first + 1] * share
    return color


def _skin(draws: Draws, canvas: Canvas) -> Array:
    """Skin of one tone with blotches and fine grain: (n, 3, S, S)."""
    grain = 1 + 0.02 * canvas.fractal(draws, 3, 2) + 0.022 * canvas.field(draws, 40)
    flush = 0.015 * canvas.fractal(draws, 4, 2)
    return _blend(_SKIN, draws) * grain[:, None] + _REDNESS * flush[:, None]


def _outline(malignant: bool, draws: Draws, canvas: Canvas) -> Array:
    """Signed distance to the lesion's border, negative inside: (n, S, S)."""
    across, down = canvas.x - draws.uniform(-0.15, 0.15), canvas.y - draws.uniform(-0.15, 0.15)
    x, y = rotate(across, down, draws.uniform(0, np.pi))
    radius = draws.uniform(0.34, 0.54)
    if malignant:
        radius = 1.15 * radius  # its ragged border loses area: size shall not tell the classes apart
    stretch = draws.uniform(1.0, 1.3)
    distance = ellipse(x, y, radius * stretch, radius / stretch)
    if not malignant:
        return distance + 0.012 * canvas.field(draws, 4)
    # A second lobe next to the first makes it asymmetric; fields of two scales make the border ragged.
    lobe = draws.uniform(0.45, 0.7) * radius
    beside = ellipse(x - draws.uniform(0.5, 0.9) * radius, y + draws.uniform(-0.6, 0.6) * radius, lobe, lobe)
    ragged = draws.uniform(0.09, 0.13) * canvas.fractal(draws, 5, 3)
    outline: Array = np.minimum(distance + 0.06, beside)
    return outline + ragged


def _pigment(malignant: bool, distance: Array, draws: Draws, canvas: Canvas) -> Array:
    """The lesion's colors: (n, 3, S, S)."""
    depth: Array = np.clip(-distance / 0.35, 0, 1)  # 0 at the border, 1 in the middle
    shade = 1 - draws.uniform(0.0, 0.3) * depth + 0.025 * canvas.fractal(draws, 8, 3)
    pigment = _blend(_MOLE, draws) * shade[:, None]
    if not malignant:
        return pigment
    for color, share in ((_RED, 0.75), (_GREY_BLUE, 0.75), (_WHITE, 0.4), (_BLACK, 1.0)):
        patch = canvas.inside(draws.uniform(0.1, 0.7) - canvas.fractal(draws, 3, 3), 0.7)
        strength = draws.uniform(0.7, 0.95) * draws.chance(share)
        pigment = _mix(pigment, color, patch * strength)
    globules = canvas.inside(1.2 - canvas.field(draws, 22), 0.8) * draws.uniform(0.2, 0.7)
    return _mix(pigment, _BLACK, globules)


def _hairs(draws: Draws, canvas: Canvas) -> Array:
    """Thin, bent, dark lines across the picture: their coverage, (n, S, S)."""
    count = draws.uniform(-2.5, _HAIRS + 1)[:, 0, 0]  # nearly half of the pictures show none
    cover = np.zeros((len(count), canvas.size, canvas.size), dtype=np.float32)
    for hair in range(_HAIRS):
        traits = [draws.uniform(-1, 1) for _ in range(7)]  # drawn for all, so that no stream depends on another
        shown = count >= hair + 1
        line = _hair([trait[shown] for trait in traits], canvas)
        cover[shown] = np.maximum(cover[shown], line)
    return cover


def _hair(traits: list[Array], canvas: Canvas) -> Array:
    """One hair per picture, from seven numbers in [-1, 1)."""
    direction, bend, offset, start, length, width, strength = traits
    x, y = rotate(canvas.x, canvas.y, np.pi * direction)
    away = y - 0.9 * offset - 0.5 * bend * np.square(x)
    away /= np.sqrt(1 + np.square(bend * x))  # steepness: the distance across the line, not along y
    along = np.abs(x - 0.6 * start) - (0.8 + 0.4 * length)
    return canvas.stroke(away, 0.02 + 0.008 * width) * canvas.inside(along, 0.2) * (0.65 + 0.2 * strength)


def _light(picture: Array, draws: Draws, canvas: Canvas) -> Array:
    """The lamp: a slope of brightness, darker corners as under a dermatoscope, and sensor noise."""
    slope = canvas.x * draws.uniform(-0.08, 0.08) + canvas.y * draws.uniform(-0.08, 0.08)
    corners = draws.uniform(0.0, 0.22) * np.clip(np.square(canvas.x) + np.square(canvas.y) - 0.6, 0, None)
    light = draws.uniform(0.86, 1.04) * (1 + slope - corners)
    # Drawn last: a larger image takes more numbers from the stream, and the scene must not depend on that.
    noise = draws.uniform(0.004, 0.012) * draws.normal(canvas.size, canvas.size)
    return np.minimum(picture * light[:, None] + noise[:, None], np.float32(0.96))
