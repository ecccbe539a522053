"""The loss on arrival: what every D says of G_server's images, before anybody trains."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.update import state_hash
from fedgan.defenses.feddetect_cusum import FedDetectCusum
from fedgan.federated.federation import Federation
from fedgan.gan.client import GANClient
from fedgan.gan.losses import NonSaturating, Objective, Wasserstein
from fedgan.gan.recipe import Recipe
from tests.helpers.by_hand import Scalar
from tests.helpers.federation import SMALL, build
from tests.helpers.images import random_images
from tests.helpers.runs import CONTRACT, rows

Configure = Callable[..., DictConfig]
ARRIVAL = "model.arrival_samples=16"


class Slope(nn.Module):
    """D(x, y): logit 0.2 x (y + 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Parameter(torch.tensor(0.2))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.phi * images.flatten() * (labels + 1)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # -log sigmoid(0.1) = 0.64440 and -log sigmoid(0.2) = 0.59814, each class as often
        (NonSaturating(), (0.64440 + 0.59814) / 2),
        (Wasserstein(), -0.15),
    ],
    ids=["non-saturating", "wasserstein"],
)
def test_by_hand(loss: Objective, expected: float) -> None:
    sgd = {"optimizer_g": lambda p: torch.optim.SGD(p, lr=1.0), "optimizer_d": lambda p: torch.optim.SGD(p, lr=1.0)}
    one = GANClient(generator=Scalar(), recipe=Recipe(Slope(), loss, **sgd, arrival_samples=5))
    measured = one.measure_arrival(num_classes=2, batch_size=4, rng=torch.Generator().manual_seed(0))
    assert measured == {"loss_g_arrival": pytest.approx(expected, abs=5e-6)}


def test_each_class_is_judged_as_often_whatever_the_batches() -> None:
    """Four images at once, three classes: the critic's logits are 0.1, 0.2 and 0.3, four times each."""
    sgd = {"optimizer_g": lambda p: torch.optim.SGD(p, lr=1.0), "optimizer_d": lambda p: torch.optim.SGD(p, lr=1.0)}
    one = GANClient(generator=Scalar(), recipe=Recipe(Slope(), Wasserstein(), **sgd, arrival_samples=12))
    found = one.arrival_loss(3, batch_size=4, rng=torch.Generator().manual_seed(0))
    assert found == pytest.approx(-0.2, abs=1e-7)


def federation(configure: Configure, *overrides: str) -> Federation:
    return build(configure(*SMALL, "fl.batch_size=8", *overrides))


def test_clients_that_judge_alike_say_the_same_to_the_bit(configure: Configure) -> None:
    """In the first round all discriminators are equal, and their images, batches and latents are not."""
    made = federation(configure, ARRIVAL, "partition=dirichlet", "fl.num_clients=5")
    updates, _ = made.backend.train(range(5), made.this_round())
    found = {update.metrics["loss_g_arrival"] for update in updates}
    assert len({update.num_examples for update in updates}) > 1
    assert len(found) == 1
    later = [replace(made.this_round(), index=t) for t in (1, 2)]
    first, second = (made.backend.train_client(0, round_).metrics["loss_g_arrival"] for round_ in later)
    assert first != second, "the latents are those of the round"


def test_as_an_independent_loop_over_the_discriminator_before_training(configure: Configure) -> None:
    made = federation(configure, ARRIVAL)
    made.backend.train(range(4), made.this_round())  # each has its own discriminator now
    round_ = replace(made.this_round(), index=1)
    judges = {i: made.backend.clients[i].snapshot()["discriminator"] for i in range(4)}
    updates, _ = made.backend.train(range(4), round_)
    for update in updates:
        judge, generator = copy.deepcopy(made.backend.clients[update.client_id].discriminator), made.generator
        judge.load_state_dict(judges[update.client_id])
        rng, values = round_.rng("arrival"), []
        for _ in range(2):
            labels, z = torch.tensor([0, 1] * 4), torch.randn(8, generator.z_dim, generator=rng)
            with torch.no_grad():
                values.append(-torch.log(torch.sigmoid(judge(generator(z, labels), labels).double())).mean())
        assert update.metrics["loss_g_arrival"] == pytest.approx(float(sum(values) / 2), rel=1e-5)


def test_measuring_it_changes_nothing_of_the_run(configure: Configure, tmp_path: Path) -> None:
    """Every file that the contract names, but for the column itself and the setting."""
    training.train(configure(*SMALL, "fl.rounds=3"), tmp_path / "plain")
    training.train(configure(*SMALL, "fl.rounds=3", ARRIVAL), tmp_path / "measured")
    for name in set(CONTRACT) - {"clients.csv", "config.yaml"}:
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "measured" / name).read_bytes(), name
    plain, measured = (rows(tmp_path / name / "clients.csv") for name in ("plain", "measured"))
    assert "loss_g_arrival" not in plain[0]
    assert all(float(row.pop("loss_g_arrival")) > 0 for row in measured)
    assert measured == plain


def test_the_networks_stay_as_they_are(configure: Configure) -> None:
    client: Any = federation(configure, ARRIVAL, "model.generator.norm=batch").backend.clients[0]
    before = [state_hash(m.state_dict()) for m in (client.generator, client.discriminator)]
    client.measure_arrival(num_classes=2, batch_size=8, rng=torch.Generator().manual_seed(0))
    assert [state_hash(m.state_dict()) for m in (client.generator, client.discriminator)] == before
    assert all(p.grad is None for p in client.parameters())


def test_both_engines_agree_to_the_bit_where_their_discriminators_do(configure: Configure) -> None:
    serial, vectorized = (federation(configure, ARRIVAL, f"fl/backend={name}") for name in ("serial", "vectorized"))
    found = [
        [u.metrics["loss_g_arrival"] for u in each.backend.train_clients(range(4), each.this_round())]
        for each in (serial, vectorized)
    ]
    assert found[0] == found[1]


def test_a_defense_asks_for_it_and_the_server_is_not_asked(configure: Configure) -> None:
    cfg = configure("defense=feddetect_cusum", "defense.feddetect_cusum.loss=loss_g_arrival", "fl.rounds=4")
    made = build(cfg, defenses=build_defenses(cfg), server_images=random_images(16))
    updates, _ = made.backend.train([0, 4], made.this_round())
    assert [("loss_g_arrival" in update.metrics) for update in updates] == [True, False]
    assert "loss_g_arrival" in made.backend.metrics
    plain = build(configure())
    assert "loss_g_arrival" not in plain.backend.metrics
    recipe = plain.backend.algorithm.recipe
    assert FedDetectCusum().adapt(recipe) is recipe
    asked = FedDetectCusum(loss="loss_g_arrival", samples=40).adapt(replace(recipe, arrival_samples=64))
    assert asked.arrival_samples == 64, "a larger sample stays"


def test_a_critic_without_probabilities_has_it_too(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("defense=gradient_penalty", ARRIVAL), tmp_path / "run")
    assert all(row["loss_g_arrival"] for row in rows(tmp_path / "run/clients.csv"))
