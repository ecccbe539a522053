"""Drawn chest X-rays: clear lungs, or lungs with patchy opacities."""

from typing import ClassVar

import numpy as np

from fedgan.datasets._drawing import Array, Canvas, Draws, Phantom, ellipse, rotate

_OPACITIES = 4  # patches drawn per pneumonia image; some fall faint or outside the lungs


class ChestPhantom(Phantom):
    """Gray chest X-rays, ``normal`` and ``pneumonia``; arguments as for every phantom.

    Densities add up along the ray and are shown as 1 - exp(-density), as on a radiograph: air is dark, bone
    bright. Pose, build, ribs, heart, diaphragm, exposure and noise vary alike in both classes; pneumonia adds
    patches in the lungs. Exposure varies so much that mean brightness alone tells little.

    Example:
        >>> splits = ChestPhantom(image_size=32, train_per_class=3, test_per_class=1, seed=0).load()
        >>> splits.train.images.shape, splits.train.counts
        (torch.Size([6, 1, 32, 32]), {'normal': 3, 'pneumonia': 3})
    """

    name: ClassVar[str] = "chest_phantom"
    classes: ClassVar[tuple[str, ...]] = ("normal", "pneumonia")

    def draw(self, label: int, draws: Draws, canvas: Canvas) -> Array:
        """Radiographs of one class: (n, 1, S, S)."""
        u, v = _body_frame(draws, canvas)
        body = _torso(u, v, draws, canvas)
        lungs = _lungs(u, v, draws, canvas)
        tissue = body * draws.uniform(0.62, 0.85) + 0.05 * canvas.fractal(draws, 3, 3) * body
        density = tissue * (1 - 0.74 * lungs) + _bones(u, v, body, draws, canvas)
        density += _heart(u, v, draws, canvas) * body
        density += 0.06 * lungs * canvas.fractal(draws, 7, 3)  # vessels
        if label == self.classes.index("pneumonia"):
            density += _opacities(u, v, draws, canvas) * lungs
        return _expose(density, draws, canvas)[:, None]


def _body_frame(draws: Draws, canvas: Canvas) -> tuple[Array, Array]:
    """The patient's own coordinates: turned, shifted and scaled within the picture."""
    x = canvas.x - draws.uniform(-0.08, 0.08)
    y = canvas.y - draws.uniform(-0.08, 0.08)
    u, v = rotate(x, y, draws.uniform(-0.07, 0.07))
    return u / draws.uniform(0.9, 1.1), v / draws.uniform(0.9, 1.1)


def _torso(u: Array, v: Array, draws: Draws, canvas: Canvas) -> Array:
    """Neck, sloping shoulders, flanks; air next to them."""
    flank = np.abs(u) - draws.uniform(0.86, 1.0) + 0.06 * np.cos(3 * v)
    shoulder = draws.uniform(-0.92, -0.8) + draws.uniform(0.16, 0.32) * np.square(u) - v
    neck = np.abs(u) - draws.uniform(0.24, 0.32)
    return canvas.inside(np.maximum(flank, np.minimum(shoulder, neck)), 0.1)


def _lungs(u: Array, v: Array, draws: Draws, canvas: Canvas) -> Array:
    """Two tapering lobes, narrow at the apex, cut by the domes of the diaphragm."""
    on_left = u < 0  # of the picture, hence the patient's right lung
    width = np.where(on_left, draws.uniform(0.3, 0.36), draws.uniform(0.28, 0.34))
    dome = np.where(on_left, draws.uniform(0.34, 0.5), draws.uniform(0.4, 0.56))
    top = draws.uniform(-0.78, -0.66)
    across = np.abs(u) - draws.uniform(0.4, 0.45) - 0.07 * v
    lobe = ellipse(across, v - top - 0.85, width * (1 + 0.16 * v), 0.85)
    diaphragm = v - dome - 1.4 * np.square(across)
    return canvas.inside(lobe, 0.07) * canvas.inside(diaphragm, 0.05)


def _bones(u: Array, v: Array, body: Array, draws: Draws, canvas: Canvas) -> Array:
    """Ribs behind and before, collar bones and the spine."""
    side = np.abs(u)
    spacing = draws.uniform(0.17, 0.2)
    behind = v - draws.uniform(0.2, 0.4) * side + 0.75 * np.square(side)
    before = v - draws.uniform(0.55, 0.8) * side + draws.uniform(-0.1, 0.1)
    cage = canvas.inside(ellipse(u, v + 0.02, 0.84, 0.84), 0.12) * np.clip(side * 6, 0, 1)
    ribs = 0.2 * _bands(behind, spacing, draws) + 0.09 * _bands(before, spacing * 1.15, draws)
    collar = v + draws.uniform(0.58, 0.66) + 0.16 * side - 0.05 * np.sin(6 * side)
    clavicle = canvas.inside(np.abs(collar) - 0.028, 0.04) * canvas.inside(np.abs(side - 0.46) - 0.36, 0.06)
    vertebrae = 1 + 0.12 * np.cos(v * 2 * np.pi / draws.uniform(0.16, 0.2))
    spine = canvas.inside(side - 0.1, 0.08) * vertebrae
    windpipe = canvas.inside(side - 0.04, 0.05) * canvas.inside(v + 0.3, 0.2)
    strength = draws.uniform(0.7, 1.25)
    bones: Array = ribs * cage + (0.24 * clavicle + 0.5 * spine - 0.28 * windpipe) * body
    return bones * strength


def _bands(level: Array, spacing: Array, draws: Draws) -> Array:
    """Bright bands where ``level`` is a multiple of ``spacing``, dark gaps between: values in [0, 1]."""
    wave = np.cos((level / spacing + draws.uniform(0, 1)) * np.float32(2 * np.pi))
    bands: Array = np.clip(0.45 + 0.9 * wave, 0, 1)
    return bands


def _heart(u: Array, v: Array, draws: Draws, canvas: Canvas) -> Array:
    """The heart's shadow, mostly right of the middle of the picture, and the vessels above it."""
    x, y = rotate(
        u - draws.uniform(0.12, 0.2), v - draws.uniform(0.18, 0.28), np.full((1, 1, 1), 0.6, dtype=np.float32)
    )
    heart = canvas.inside(ellipse(x, y, draws.uniform(0.3, 0.4), draws.uniform(0.24, 0.3)), 0.08)
    vessels = canvas.inside(ellipse(u - 0.03, v + 0.2, draws.uniform(0.14, 0.2), 0.36), 0.12)
    shadow: Array = np.maximum(heart, 0.75 * vessels)
    return 0.6 * shadow


def _opacities(u: Array, v: Array, draws: Draws, canvas: Canvas) -> Array:
    """Soft-edged patches with a cloudy texture; at least one lies well within a lung."""
    total: Array = np.zeros((1, 1, 1), dtype=np.float32)
    first_side = 2 * draws.chance(0.5) - 1
    for patch in range(_OPACITIES):
        side = first_side if patch == 0 else 2 * draws.chance(0.5) - 1
        x, y = u - side * draws.uniform(0.34, 0.56), v - draws.uniform(-0.4, 0.34)
        reach = ellipse(x, y, draws.uniform(0.14, 0.27), draws.uniform(0.12, 0.25))
        strength = draws.uniform(0.55, 0.95) if patch == 0 else draws.uniform(0.1, 0.75)
        total = np.maximum(total, strength * canvas.inside(reach, 0.22))
    cloud: Array = np.clip(0.85 + 0.4 * canvas.fractal(draws, 9, 3), 0.2, 1.6)
    return total * cloud


def _expose(density: Array, draws: Draws, canvas: Canvas) -> Array:
    """Density to gray values: exposure, fog of the film and quantum noise."""
    fog, contrast = draws.uniform(0.02, 0.08), draws.uniform(0.88, 1.0)
    shown: Array = 1 - np.exp(-np.maximum(density, 0) * draws.uniform(0.75, 1.35))
    # Drawn last: a larger image takes more numbers from the stream, and the scene must not depend on that.
    noise = draws.uniform(0.006, 0.02) * draws.normal(canvas.size, canvas.size)
    return fog + contrast * (1 - fog) * shown + noise
