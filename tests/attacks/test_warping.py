"""WaNet: the warp against scipy, and the mistakes that such code is known for."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from fedgan.attacks.warping import Warping, draw_flow, warp
from tests.helpers.images import random_images, smooth_images


def test_a_ramp_by_hand() -> None:
    ramp = (10.0 * torch.arange(8, dtype=torch.float64)).expand(1, 1, 8, 8)
    right = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(8, 8, 2)
    expected = [2.1875, 12.1875, 22.1875, 32.1875, 42.1875, 52.1875, 62.1875, 70.0]
    for row in warp(ramp, right, strength=0.5)[0, 0].tolist():
        assert row == pytest.approx(expected)


def test_the_last_axis_is_x_then_y() -> None:
    """A ramp downwards moves with y alone."""
    ramp = (10.0 * torch.arange(8, dtype=torch.float64))[:, None].expand(1, 1, 8, 8)
    flows = [torch.tensor(each, dtype=torch.float64).expand(8, 8, 2) for each in ((1.0, 0.0), (0.0, 1.0))]
    assert torch.allclose(warp(ramp, flows[0], 0.5), ramp)
    assert warp(ramp, flows[1], 0.5)[0, 0, 0, 0].item() == pytest.approx(2.1875)


@pytest.mark.parametrize("channels", [1, 3])
def test_scipys_interpolation_gives_the_same(channels: int) -> None:
    images, trigger = random_images(3, channels=channels), Warping(strength=2.0).trigger(channels, 32, seed=3)
    flow, grid = trigger.flow.numpy(), np.mgrid[0:32, 0:32]
    # 1 in the flow is strength / 32 of half the image's side between centers, 31 / 2 pixels
    rows, columns = (grid[i] + 2.0 / 32 * flow[..., 1 - i] * 31 / 2 for i in (0, 1))
    places = [rows.clip(0, 31), columns.clip(0, 31)]
    expected = [[map_coordinates(c.astype(float), places, order=1) for c in image] for image in images.images.numpy()]
    assert np.abs(trigger.apply(images.images).numpy() - np.array(expected)).max() <= 0.5 + 1e-9


def test_no_strength_is_the_identity_and_no_transposition() -> None:
    """A grid in the other order of axes would turn every image over its diagonal."""
    images = random_images(2).images.double()
    assert torch.allclose(warp(images, draw_flow(32, 4, torch.Generator()), strength=0.0), images)


@pytest.mark.parametrize("size", [32, 64])
def test_the_displacement_is_about_three_eighths_of_the_strength_whatever_the_size(size: int) -> None:
    """Half at the control points; less between them, where opposite ones meet."""
    flows = [draw_flow(size, 4, torch.Generator().manual_seed(seed)) for seed in range(20)]
    moved = torch.stack(flows).abs().mean() * 2.0 / size * (size - 1) / 2
    assert float(moved) == pytest.approx(0.75, rel=0.05)


def test_one_field_for_a_run_and_another_for_another_seed() -> None:
    first, again, other = (Warping(strength=1.0).trigger(1, 32, seed).flow for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_chunk_of_a_large_set_is_changed_like_the_image_alone() -> None:
    images, trigger = smooth_images(300, 3).images, Warping(strength=2.0).trigger(3, 32, seed=0)
    assert torch.equal(trigger.apply(images)[290:291], trigger.apply(images[290:291]))


@pytest.mark.parametrize("settings", [{"strength": 0}, {"strength": 1.0, "points": 1}])
def test_refusals(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="^(strength|points) must be a"):
        Warping(**settings)  # type: ignore[arg-type]
