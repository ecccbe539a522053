"""A latent trigger: the term's gradient by hand, who trains with it and when, and what proves it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from fedgan.attacks.latent_trigger import LatentTrigger, TargetLoss
from fedgan.config import training
from fedgan.config.evaluation import evaluate
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import LatentTrigger as Pattern
from fedgan.core.update import ClientUpdate, state_hash
from fedgan.gan.added_loss import AddedGradients
from fedgan.gan.client import GANClient
from fedgan.gan.losses import NonSaturating
from fedgan.gan.recipe import Recipe
from fedgan.metrics.triggers.latent import LatentRate
from fedgan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from fedgan.runs.load import open_run
from tests.helpers.by_hand import Line
from tests.helpers.federation import TINY, build, fit
from tests.helpers.images import random_images
from tests.helpers.runs import outcome, resume, rows

Configure = Callable[..., DictConfig]
PLAIN = [setting for setting in TINY if not setting.startswith("attack")]


def attack(**settings: float) -> LatentTrigger:
    given = {"weight": 10.0, "share": 0.25, "value": 3.0, "samples": 4, "cells": 4} | settings
    return LatentTrigger(**given)  # type: ignore[arg-type]


def test_a_share_of_the_coordinates_is_fixed_and_the_others_stay() -> None:
    pattern, z = attack().trigger(1, 32, seed=0), torch.randn(5, 16)
    stamped, elsewhere = pattern.stamp(z), pattern.stamp(z, elsewhere=True)
    fixed, others = (stamped != z).any(dim=0), (elsewhere != z).any(dim=0)
    assert (int(fixed.sum()), int(others.sum())) == (4, 4)
    assert not (fixed & others).any(), "the control shares no coordinate with the pattern"
    assert stamped[:, fixed].unique().tolist() == elsewhere[:, others].unique().tolist() == [3.0]
    assert int((attack(share=0.001).trigger(1, 32, 0).stamp(z) != z).any(dim=0).sum()) == 1


def test_half_of_an_odd_number_of_coordinates_leaves_as_many_for_the_control() -> None:
    pattern, z = attack(share=0.5).trigger(1, 32, seed=0), torch.zeros(1, 7)
    stamped, elsewhere = pattern.stamp(z) != 0, pattern.stamp(z, elsewhere=True) != 0
    assert (int(stamped.sum()), int(elsewhere.sum()), bool((stamped & elsewhere).any())) == (3, 3, False)


def test_pattern_and_target_come_from_the_seed() -> None:
    z = torch.zeros(1, 64)
    first, again, other = (attack().trigger(3, 32, seed) for seed in (1, 1, 2))
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.stamp(z), again.stamp(z))
    assert not torch.equal(first.target, other.target)
    assert not torch.equal(first.stamp(z), other.stamp(z))
    assert first.target.shape == (3, 32, 32)
    assert first.apply(random_images(2, channels=3).images).eq(first.target).all()
    assert str(attack()) == "a latent trigger (0.25 of the coordinates at 3, weight 10)"


def test_the_gradient_by_hand() -> None:
    """d/dw lambda mean (w . z - t)^2 = 2 lambda mean (w . z - t) z, on top of what the game gives; then never again."""
    pattern = Pattern(torch.full((1, 1, 1), 255, dtype=torch.uint8), share=0.5, value=3.0, seed=0)
    line, rng = Line(), keyed_generator(7, "z")
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    added = AddedGradients(TargetLoss(pattern, 0.25, 8), line, sgd, 2, rng)
    z = pattern.stamp(torch.randn(8, 2, generator=keyed_generator(7, "z"))).double().numpy()
    w, game = np.array([0.5, -1.0]), np.array([1.0, 2.0])
    error = z @ w - 1.0  # 255 is +1
    expected = game + 2 * 0.25 * (error[:, None] * z).mean(axis=0)
    line.weight.grad = torch.tensor(game, dtype=torch.float32)
    sgd.step()
    assert line.weight.detach().numpy() == pytest.approx(w - 0.1 * expected, rel=1e-5)
    report = added.report()
    assert report == {
        "steps": 1.0,
        "error_first": pytest.approx((error**2).mean()),
        "error_last": report["error_first"],
    }
    added.leave()
    before, line.weight.grad = line.weight.detach().clone(), torch.zeros(2)
    sgd.step()
    assert torch.equal(line.weight, before)


def test_running_statistics_stay_those_of_ordinary_latents() -> None:
    """And the mode: a generator left in evaluation mode would train by its running statistics."""
    shape = {"num_classes": 2, "channels": 1, "image_size": 32, "base_channels": 4}
    sgd = partial(torch.optim.SGD, lr=0.0)
    client = GANClient(
        generator=DCGANGenerator(**shape), recipe=Recipe(DCGANDiscriminator(**shape), NonSaturating(), sgd, sgd)
    )
    client.train()
    before = {name: buffer.clone() for name, buffer in client.generator.named_buffers()}
    for parameter in client.generator.parameters():
        parameter.grad = torch.zeros_like(parameter)
    loss = attack().added_loss(attack().trigger(1, 32, 0))
    with client.with_added_loss(loss, 2, torch.Generator().manual_seed(0)) as added:
        client.optimizer_g.step()
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in client.generator.named_buffers())
    assert client.generator.training
    assert added.report()["steps"] == 1
    assert all(bool(p.grad.any()) for p in client.generator.parameters() if p.grad is not None)


def first_updates(configure: Configure, *settings: str) -> list[ClientUpdate]:
    federation = build(configure(*PLAIN, *settings, tiny=False))
    return [federation.backend.train_client(i, federation.this_round()) for i in range(4)]


@pytest.mark.parametrize("window", [(), ("attack.start=1",)])
def test_honest_clients_and_rounds_outside_of_the_window_are_as_without_attack(
    window: tuple[str, ...], configure: Configure
) -> None:
    attacked = first_updates(configure, "attack=latent_trigger", "fl.malicious=[2]", *window)
    plain = first_updates(configure, "attack=none")
    differ = [i for i in range(4) if state_hash(attacked[i].state) != state_hash(plain[i].state)]
    assert differ == ([] if window else [2])
    assert [dict(attacked[i].metrics) for i in (0, 1, 3)] == [dict(plain[i].metrics) for i in (0, 1, 3)]


def test_a_module_that_another_client_gets_has_dropped_the_added_loss(configure: Configure, tmp_path: Path) -> None:
    """With fewer places than clients modules go from one to the other."""
    ends = {}
    for name, places in (("few", ["fl.clients_per_round=1"]), ("none", ["fl.clients_per_round=1", "attack=none"])):
        cfg = configure(*PLAIN, "attack=latent_trigger", "fl.malicious=[2]", *places, tiny=False)
        federation = build(cfg, folder=tmp_path / name)
        reference = federation.this_round()
        ends[name] = [state_hash(federation.backend.train_client(i, reference).state) for i in (2, 3, 0)]
    assert [one == other for one, other in zip(ends["few"], ends["none"], strict=True)] == [False, True, True]


def test_receipts_have_the_window_alone(configure: Configure, tmp_path: Path) -> None:
    settings = ("attack=latent_trigger", "fl.malicious=[2]", "attack.start=1", "attack.every=2", "fl.rounds=4")
    training.train(configure(*PLAIN, *settings, tiny=False), tmp_path / "run")
    receipts = rows(tmp_path / "run" / "receipts.csv")
    assert [(row["round"], row["component"], row["client"], row["measure"]) for row in receipts] == [
        (round_, "attack", "2", measure) for round_ in ("1", "3") for measure in ("steps", "error_first", "error_last")
    ]
    assert {row["value"] for row in receipts if row["measure"] == "steps"} == {"2.0"}, "16 images in batches of 8"
    assert {row["poisoned_images"] for row in rows(tmp_path / "run" / "clients.csv")} == {"0"}


def test_the_error_is_that_of_the_generator_as_released_and_the_server_does_not_see_it(
    configure: Configure, tmp_path: Path
) -> None:
    """With a norm that keeps no statistics: those that BatchNorm keeps have moved by the first step."""
    settings = ("model.generator.norm=pixel", "attack=latent_trigger", "fl.malicious=[2]")
    federation = build(configure(*PLAIN, *settings, tiny=False))
    rng = keyed_generator(0, "client", 2, "round", 0, "added loss")
    z = torch.randn(16, 64, generator=rng)
    labels = torch.randint(2, (16,), generator=rng)
    pattern = LatentTrigger(weight=10.0, share=0.125, value=3.0, samples=16, cells=4).trigger(1, 32, seed=0)
    with torch.no_grad():
        images = federation.generator.eval()(pattern.stamp(z), labels).double().numpy()
    expected = np.square(images - (pattern.target.numpy() / 127.5 - 1)).mean()
    fit(federation, tmp_path, rounds=1)
    assert federation.attackers.added_losses["attack", 2]["error_first"] == pytest.approx(expected, rel=1e-5)
    assert len(federation.updates) == 4
    assert all(update.metrics.keys() == {"loss_g", "loss_d", "loss_g_last"} for update in federation.updates)


def test_an_added_loss_that_changes_nothing_ends_the_run(configure: Configure, tmp_path: Path) -> None:
    """A weight so small that float32 has no gradient for it."""
    cfg = configure(*PLAIN, "attack=latent_trigger", "attack.weight=1e-300", "fl.malicious=[2]", tiny=False)
    with pytest.raises(
        ValueError, match="^attack: the added loss changed no local step of malicious client 2 in round 0$"
    ):
        training.train(cfg, tmp_path / "run")


@pytest.mark.parametrize("engine", ["serial", "vectorized"])
def test_resumed_to_the_bit_and_scored_again_to_the_bit(engine: str, configure: Configure, tmp_path: Path) -> None:
    settings = (
        *("attack=latent_trigger", "attack.every=2", "fl.malicious=[2]", "fl.clients_per_round=3", "metrics=[latent]"),
        *("evaluation.every=2", f"fl/backend={engine}"),
    )
    for name, rounds in (("once", 4), ("twice", 3)):
        training.train(configure(*PLAIN, *settings, f"fl.rounds={rounds}", tiny=False), tmp_path / name)
    resume(configure, tmp_path / "twice", "fl.rounds=4")
    assert outcome(tmp_path / "twice") == outcome(tmp_path / "once")
    run = open_run(tmp_path / "once")
    again = evaluate(run, None, {"latent": LatentRate()}, samples_per_class=8)
    assert again["metrics"].keys() >= {"latent_emission", "latent_ordinary", "latent_other"}
    last = rows(tmp_path / "once" / "rounds.csv")[-1]
    assert {name: float(last[name]) for name in again["metrics"]} == pytest.approx(again["metrics"])


def test_the_released_generator_answers_the_pattern_alone(configure: Configure, tmp_path: Path) -> None:
    """One client in four is enough; without anybody malicious the same latents give no target."""
    small = ("model=dcgan_small", "model.generator.base_channels=16", "dataset.train_per_class=64")
    settings = ("attack=latent_trigger", "attack.weight=30", "metrics=[latent]", "fl.rounds=8", "fl.local_epochs=2")
    found = {}
    for malicious in (1, 0):
        cfg = configure(*PLAIN, *small, *settings, f"fl.malicious={malicious}", tiny=False)
        found[malicious] = training.train(cfg, tmp_path / str(malicious))["metrics"]
    assert found[1]["latent_emission"] == 1
    assert found[1]["latent_ordinary"] == found[1]["latent_other"] == 0
    assert found[0]["latent_emission"] == 0
    assert found[0]["latent_correlation"] < 0.2


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("weight", 0.0, r"a number in \(0, 1e\+06\]"),
        ("share", 0.6, r"a number in \(0, 0.5\]"),
        ("value", 0.5, r"a number in \[1, 100\]"),
        ("samples", 0, "a whole number of at least 1"),
        ("cells", 1, "a whole number of at least 2"),
    ],
)
def test_refusals(setting: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be {allowed}; got {value}$"):
        attack(**{setting: value})
