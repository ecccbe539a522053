"""What is built from the configuration, without a round of training."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fedgan.attacks.base import Attack, PoisonReport
from fedgan.attacks.white_square import WhiteSquare
from fedgan.config.building.algorithm import build_network, is_network
from fedgan.config.building.attackers import build_malicious, in_words
from fedgan.config.building.defenses import single_server_training
from fedgan.config.building.run import build_parts, build_spec, build_trainer
from fedgan.core.checks import placed
from fedgan.core.images import Splits
from fedgan.defenses.base import Defense, ServerTraining
from fedgan.federated.data import ClientData, FederatedData
from fedgan.federated.strategy import FederatedStrategy
from fedgan.runs.export import load_generator, save_generator
from fedgan.scoring.sampling import draw_set
from fedgan.update_attacks.base import UpdateAttack
from fedgan.update_attacks.scaling import Scaling
from tests.helpers.images import random_images

Configure = Callable[..., DictConfig]
SQUARE, SCALED = WhiteSquare(size=8), Scaling(factor=4.0)


@pytest.mark.parametrize(
    ("attack", "update_attack", "malicious", "poisoned", "words"),
    [
        (Attack(), UpdateAttack(), set(), (), "none"),
        (SQUARE, UpdateAttack(), set(), (), "none, the control of white_square of 8 x 8 pixels at the bottom right"),
        (
            SQUARE,
            UpdateAttack(),
            {3, 1},
            ((1, 700, 1000), (3, 600, 1000)),
            "clients 1, 3 of 5: white_square of 8 x 8 pixels at the bottom right on 1,300 of 2,000 images",
        ),
        (Attack(), SCALED, {2}, (), "client 2 of 5: updates scaled by 4"),
        (
            SQUARE,
            SCALED,
            {2},
            ((2, 9, 10),),
            "client 2 of 5: white_square of 8 x 8 pixels at the bottom right on 9 of 10 images and updates scaled by 4",
        ),
    ],
)
def test_who_attacks_and_with_what(
    attack: Attack,
    update_attack: UpdateAttack,
    malicious: set[int],
    poisoned: tuple[tuple[int, int, int], ...],
    words: str,
) -> None:
    reports = tuple(
        PoisonReport(*each, labels_changed=0, share_changed=0.0625, mean_change=9.0, sha256="") for each in poisoned
    )
    clients = (ClientData(random_images(2)),) * 5
    assert in_words(attack, update_attack, FederatedData(clients, frozenset(malicious), None, reports)) == words


@pytest.mark.parametrize(
    ("part", "network"),
    [
        ({"_target_": "fedgan.models.dcgan.DCGANGenerator"}, True),
        ({"_target_": "torch.nn.Linear"}, True),
        ({"_target_": "torch.nn.Linear", "_partial_": True}, False),
        ({"_target_": "torch.optim.SGD"}, False),
        ({"_target_": "torch.no_such.Class"}, False),
        ({"lr": 0.1}, False),
    ],
)
def test_what_a_model_is_made_of(part: dict[str, object], network: bool) -> None:
    model = OmegaConf.create({"part": part, "number": 3, "nothing": None})
    assert is_network(model.part) is network
    assert not is_network(model.number)
    assert not is_network(model.nothing)


def test_weights_are_drawn_from_the_seed_and_the_networks_name_alone() -> None:
    splits = Splits("noise", random_images(4), random_images(4))
    part = OmegaConf.create({"_target_": "fedgan.models.dcgan.DCGANDiscriminator", "base_channels": 4})

    def drawn(seed: int, name: str, ambient: int) -> torch.Tensor:
        torch.manual_seed(ambient)
        network = build_network(part, splits, seed, name)
        assert torch.initial_seed() == ambient, "other draws are left as they were"
        convolutions = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)
        return convolutions[1]

    one = drawn(0, "d", ambient=1)
    assert torch.equal(one, drawn(0, "d", ambient=2))
    assert not torch.equal(one, drawn(1, "d", ambient=1))
    assert not torch.equal(one, drawn(0, "e", ambient=1))


@pytest.mark.parametrize(("devices", "several"), [(1, False), (2, True), (3, True)])
def test_a_strategy_of_our_own_where_there_are_several_processes(
    devices: int, several: bool, configure: Configure, tmp_path: Path
) -> None:
    settings = ("trust=[my_lab]", "defense=reconstruction", "defense.reconstruction.images_per_class=4", "fl.rounds=3")
    cfg = configure(f"trainer.devices={devices}", *settings)
    parts = build_parts(cfg, tmp_path)
    trainer = build_trainer(cfg, tmp_path, parts, [])
    assert isinstance(trainer.strategy, FederatedStrategy) is several
    if several:
        assert (trainer.strategy.folder, trainer.strategy.trust) == (tmp_path, ["my_lab"])
    assert trainer.max_epochs == 3 + parts.server_training.rounds_after > 3
    assert [each for each in trainer.callbacks if each in (parts.server, parts.evaluator, parts.recorder)] == [
        parts.server,
        parts.evaluator,
        parts.recorder,
    ], "in this order: what is recorded has happened before"


def test_what_the_released_generator_is_made_of(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("defense=[median,rotation]", "fl.rounds=7", "model.generator.base_channels=${fl.num_clients}")
    parts = build_parts(cfg, tmp_path)
    spec = build_spec(cfg, parts)
    assert spec.target == cfg.model.generator._target_
    assert "_target_" not in spec.arguments
    assert spec.arguments["base_channels"] == 4
    assert (spec.arguments["num_classes"], spec.arguments["channels"], spec.arguments["image_size"]) == (2, 1, 32)
    assert (spec.classes, spec.rounds, spec.defense) == (("normal", "pneumonia"), 7, "median, rotation")
    assert (spec.dataset, spec.attack, spec.emission) == (parts.splits.name, parts.attack, None)
    assert parts.attack.startswith("client ")
    parts.evaluator.latest = {"emission": 0.25}
    assert build_spec(cfg, parts).emission == 0.25


def test_a_loaded_generator_draws_the_same_images_to_the_bit(configure: Configure, tmp_path: Path) -> None:
    """One gray level in one pixel is another image: ``transfer`` then trains another classifier."""
    cfg = configure("model=dcgan_small", tiny=False)
    parts = build_parts(cfg, tmp_path)
    save_generator(tmp_path, parts.federation.released, build_spec(cfg, parts))
    drawn, again = (
        draw_set(generator.eval(), parts.splits.classes, per_class=256, seed=0).images.int()
        for generator in (parts.federation.released, load_generator(tmp_path).generator)
    )
    assert torch.equal(drawn, again), f"{(drawn != again).sum()} pixels differ"


def test_what_is_off_is_called_none_and_the_record_says_what_is_run(configure: Configure, tmp_path: Path) -> None:
    parts = build_parts(configure("attack=none", "defense=none", "seed=7", "name=mine"), tmp_path)
    assert (parts.attack, parts.defense) == ("none", "none")
    said = {key: parts.recorder.run[key] for key in ("name", "seed", "rounds", "dataset")}
    assert said == {"name": "mine", "seed": 7, "rounds": 2, "dataset": parts.splits.describe()}


def test_without_rounds_of_its_own_the_server_has_images_and_no_client(configure: Configure, tmp_path: Path) -> None:
    """The control of a defense that fine-tunes."""
    settings = ("defense=reconstruction", "defense.reconstruction.images_per_class=4")
    parts = build_parts(configure(*settings, "defense.reconstruction.epochs=0"), tmp_path)
    assert sum(len(client) for client in parts.federated_data.clients) == 2 * 32 - 2 * 4
    assert len(parts.federation.backend.clients) == 4
    assert parts.federation.fine_tuning_start is None


@pytest.mark.parametrize("attack", ["attack", "update_attack"])
def test_an_attack_that_never_acts_is_named_by_its_place(attack: str, configure: Configure) -> None:
    cfg, late = configure(), {"start": 2}
    acting = {
        "attack": (WhiteSquare(size=8, **late), UpdateAttack()),
        "update_attack": (Attack(), Scaling(factor=2.0, **late)),
    }
    with pytest.raises(
        ValueError, match=f"^{attack}.start must be below fl.rounds=2, or the attack never acts; got 2$"
    ):
        build_malicious(cfg, *acting[attack])
    assert build_malicious(cfg, Attack(), UpdateAttack()) == frozenset(), "without any attack nobody is malicious"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("warmup must be at least 0", "defense.x.warmup must be at least 0"),
        ("fl.rounds must be at least 2", "fl.rounds must be at least 2"),
    ],
)
def test_a_components_own_arguments_get_its_place_in_front(said: str, line: str) -> None:
    with pytest.raises(ValueError) as error, placed("defense.x"):
        raise ValueError(said)
    assert str(error.value) == line


def test_at_most_one_defense_has_images_of_its_own() -> None:
    class Tunes(Defense):
        def server_training(self) -> ServerTraining:
            return ServerTraining(8, rounds_after=2)

    assert single_server_training({"idle": Defense()}) == (None, ServerTraining(0))
    assert single_server_training({"idle": Defense(), "a": Tunes()}) == ("a", ServerTraining(8, rounds_after=2))
    assert [each.trains for each in (ServerTraining(8), ServerTraining(8, 1), ServerTraining(8, 0, True))] == [0, 1, 1]
    said = r"^defense must be at most one that sets images apart for the server; got \['a', 'b'\]$"
    with pytest.raises(ValueError, match=said):
        single_server_training({"a": Tunes(), "b": Tunes()})
