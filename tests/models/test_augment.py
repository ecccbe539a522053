"""DiffAugment: the same seed gives the same images, gradients pass, and each transform does what it says."""

import pytest
import torch
from torch import Tensor

from fedgan.models.augment import DiffAugment, cut_out, jitter_color, translate

TRANSFORMS = ["color", "translation", "cutout"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(channels: int = 1) -> Tensor:
    return torch.rand(6, channels, 32, 32, generator=seeded(0)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_changes_images_by_the_generator_alone(name: str, channels: int) -> None:
    augment, before = DiffAugment(policy=[name]), images(channels)
    first, again, other = (augment(before, seeded(seed)) for seed in (1, 1, 2))
    assert first.shape == before.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, before)
    assert torch.equal(before, images(channels))  # the input is left alone


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradient_is_the_true_one(name: str) -> None:
    small = images()[:2, :, :8, :8].double().requires_grad_()
    augment = DiffAugment(policy=[name])
    assert torch.autograd.gradcheck(lambda x: augment(x, seeded(3)), small)


def test_no_policy_is_the_identity() -> None:
    assert torch.equal(DiffAugment()(images(), seeded(0)), images())


def test_unknown_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="color, translation or cutout; got flip"):
        DiffAugment(policy=["color", "flip"])


def test_translation_moves_each_image_by_a_whole_offset() -> None:
    before = images()
    after = translate(before, seeded(4), ratio=0.125)
    padded = torch.nn.functional.pad(before, (4, 4, 4, 4))
    offsets = set()
    for i in range(len(before)):
        found = [
            (dy, dx)
            for dy in range(9)
            for dx in range(9)
            if torch.equal(after[i], padded[i, :, dy : dy + 32, dx : dx + 32])
        ]
        assert len(found) == 1
        offsets.update(found)
    assert len(offsets) > 1  # each image has its own


def test_cutout_hides_one_rectangle_and_nothing_else() -> None:
    after = cut_out(torch.ones(50, 1, 32, 32), seeded(5), ratio=0.5)
    hidden = after == 0
    assert (after[~hidden] == 1).all()
    rows, columns = hidden.any(dim=3).sum(dim=2), hidden.any(dim=2).sum(dim=2)
    assert (hidden.sum(dim=(1, 2, 3)) == (rows * columns).squeeze(1)).all()
    assert rows.max() <= 16
    assert rows.min() >= 8  # centred inside, so at least about a quarter of the square is in view


def test_color_is_affine_in_each_image() -> None:
    before = images()
    after = jitter_color(before, seeded(6))
    for old, new in zip(before, after, strict=True):
        shift = (new - old).mean().item()
        gain = (new.std() / old.std()).item()
        torch.testing.assert_close(new, (old - old.mean()) * gain + old.mean() + shift)
        assert abs(shift) <= 0.5
        assert 0.5 <= gain <= 1.5
