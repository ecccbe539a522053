"""What holds for each option of conf/attack, without a run."""

from itertools import product
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import Tensor

from fedgan.attacks.base import Attack
from fedgan.attacks.frequency import Frequency
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.attacks.trigger_attack import TriggerAttack
from fedgan.config.refusals import CONF
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Patch, Trigger
from tests.helpers.images import random_images

NAMES = sorted(file.stem for file in (CONF / "attack").glob("*.yaml") if file.stem != "none")
REQUIRED = {  # what the classes leave to whoever makes one
    "blended": {"alpha": 0.2, "cells": 8},
    "class_trigger": {"size": 4, "classes": [1]},
    "distributed": {"size": 4, "parts": 2},
    "frequency": {"alpha": 0.15},
    "latent_trigger": {"weight": 10.0, "share": 0.125, "value": 3.0, "samples": 16, "cells": 4},
    "noise_patch": {"size": 4},
    "random_location": {"size": 4},
    "random_patch": {"size": 4},
    "sinusoidal": {"amplitude": 20.0, "cycles": 6},
    "warping": {"strength": 2.0},
    "white_square": {"size": 4},
}


def attack_of(name: str, **settings: Any) -> Attack:
    """From Python: its settings are the class's own where none is given."""
    kind = get_object(OmegaConf.load(CONF / "attack" / f"{name}.yaml")["_target_"])
    attack: Attack = kind(**(REQUIRED.get(name, {}) | settings))
    return attack


def changed(attack: Attack) -> int:
    """How many of 24 images, 12 of each class, are others or have another label."""
    images = random_images(24)
    poisoned = attack.poison(images, attack.trigger(1, 32, 0), torch.Generator())
    pixels = (poisoned.images != images.images).flatten(1).any(dim=1)
    return int((pixels | (poisoned.labels != images.labels)).sum())


@pytest.mark.parametrize("name", [*NAMES, "none"])
def test_it_acts_in_the_rounds_that_were_set_and_by_default_in_all(name: str) -> None:
    """From 2 on and before 9, every third one."""
    attack = attack_of(name, start=2, stop=9, every=3)
    assert [t for t in range(12) if attack.window.covers(t)] == [2, 5, 8]
    assert [t for t in range(5) if attack_of(name).window.covers(t)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"latent_trigger"}))
def test_the_share_of_images_is_the_one_that_was_set_and_by_default_all(name: str) -> None:
    candidates = 12 if name == "class_trigger" else 24  # images of one of the two classes
    assert changed(attack_of(name, poison_share=0.25)) == candidates // 4
    assert changed(attack_of(name)) == candidates


def test_a_trigger_attack_that_leaves_the_settings_to_the_base_class_marks_all_images_in_all_rounds() -> None:
    class NoSettings(TriggerAttack):
        def trigger(self, channels: int, image_size: int, seed: int) -> Trigger:
            return Patch(torch.full((channels, 2, 2), 255, dtype=torch.uint8), top=0, left=0)

    assert [t for t in range(5) if NoSettings().window.covers(t)] == [0, 1, 2, 3, 4]
    assert changed(NoSettings()) == 24


def test_where_no_image_is_a_candidate_all_stay() -> None:
    """Some triggers cannot be put on no image: a Fourier transform of nothing fails."""

    class OfNoClass(Frequency):
        def candidates(self, images: ImageSet) -> Tensor:
            return torch.arange(0)

    assert changed(OfNoClass(alpha=0.15)) == 0


@pytest.mark.parametrize("pattern", [torch.ones(1, 4, 4), torch.ones(1, 4, 3, dtype=torch.uint8)])
def test_a_pattern_that_is_no_square_of_bytes_is_refused(pattern: Tensor) -> None:
    class Odd(PatchAttack):
        def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
            return pattern

    with pytest.raises(
        ValueError, match=r"^pattern must be uint8 of shape \(1, 4, 4\); got torch\.\w+ of \(1, 4, \d\)$"
    ):
        Odd(size=4).trigger(1, 32, 0)


@pytest.mark.parametrize("name", ["class_trigger", "distributed", "noise_patch", "random_patch", "white_square"])
def test_a_patch_is_at_the_place_that_was_set(name: str) -> None:
    """4 x 4 pixels of 32 x 32, three from the top and from the left; by default a pixel from the last corner."""
    patch = attack_of(name, margin=3, position="top_left").trigger(1, 32, 0)
    assert (patch.top, patch.left) == (3, 3)  # type: ignore[union-attr]
    corner = attack_of(name).trigger(1, 32, 0)
    assert (corner.top, corner.left) == (27, 27)  # type: ignore[union-attr]


def test_in_the_center_an_odd_pixel_is_left_below_and_at_the_right() -> None:
    """5 x 5 white pixels of 32 x 32 black ones: 13 before and 14 behind."""
    patch = attack_of("white_square", size=5, position="center").trigger(1, 32, 0)
    assert patch is not None
    rows, columns = patch.apply(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))[0, 0].nonzero().T
    assert (rows.unique().tolist(), columns.unique().tolist()) == ([13, 14, 15, 16, 17],) * 2


@pytest.mark.parametrize(
    ("name", "look"),
    [
        *product(("class_trigger", "distributed"), ("white_square", "random_patch", "noise_patch")),
        *product(("random_location",), ("random_patch", "noise_patch")),
    ],
)
def test_a_look_is_the_trigger_of_the_attack_of_that_name(name: str, look: str) -> None:
    """From the same seed."""
    borrowed, own = (attack.trigger(3, 32, 5) for attack in (attack_of(name, look=look), attack_of(look)))
    assert torch.equal(borrowed.pattern, own.pattern)  # type: ignore[union-attr]


def test_who_changes_images_or_what_is_learned_acts() -> None:
    acting = {
        name: (attack_of(name).poisons, attack_of(name).acts) for name in ("label_flip", "latent_trigger", "none")
    }
    assert acting == {"label_flip": (True, True), "latent_trigger": (False, True), "none": (False, False)}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("blended", "template"),
        ("class_trigger", "emission"),
        ("distributed", "each_part"),
        ("frequency", "amplitude"),
        ("latent_trigger", "latent"),
        ("random_location", "anywhere"),
        ("sinusoidal", "spectrum"),
        ("warping", "learned"),
    ],
)
def test_a_trigger_names_the_metric_that_looks_for_it(name: str, metric: str) -> None:
    trigger = attack_of(name).trigger(1, 32, 0)
    assert trigger is not None
    assert trigger.metric == metric
    assert (CONF / "metrics" / f"{metric}.yaml").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blended", "a blended key image (alpha 0.2)"),
        ("class_trigger", "class_trigger of 4 x 4 pixels at the bottom right for 1"),
        ("distributed", "distributed of 4 x 4 pixels at the bottom right in 2 parts"),
        ("frequency", "foreign low frequencies (alpha 0.15, beta 0.1)"),
        ("label_flip", "labels turned around"),
        ("latent_trigger", "a latent trigger (0.125 of the coordinates at 3, weight 10)"),
        ("random_location", "random_patch of 4 x 4 pixels anywhere"),
        ("warping", "a warp of strength 2"),
    ],
)
def test_an_attack_in_words(name: str, words: str) -> None:
    assert str(attack_of(name)) == words
