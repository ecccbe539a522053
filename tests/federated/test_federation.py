"""The round: who takes part, what travels, and that it does what a plain loop would do."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from pytorch_lightning import Trainer
from pytorch_lightning.profilers import SimpleProfiler

from fedgan.config.building.defenses import build_defenses
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import State, state_hash, weighted_mean
from fedgan.defenses.base import Aggregate, Decision, Defense
from fedgan.federated import messages
from fedgan.federated.faults import Tolerance
from fedgan.federated.federation import Federation, draw_participants
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from fedgan.update_attacks.base import UpdateAttack
from tests.helpers.federation import FEDDETECT, build, fit
from tests.helpers.images import random_images

Configure = Callable[..., DictConfig]


def test_two_rounds_equal_a_plain_loop(configure: Configure, tmp_path: Path) -> None:
    """Procedure A and B written out by hand, with Eq. 3 in place of the server's optimizer."""
    cfg = configure()
    federation, plain = build(cfg), build(cfg)
    fit(federation, tmp_path)

    state: State = plain.generator.state_dict()
    for t in range(2):
        states = []
        for i, client in enumerate(plain.backend.clients):
            client.generator.load_state_dict(state)
            rng = keyed_generator(cfg.seed, "client", i, "round", t)
            client.train_locally(plain.backend.data[i].at(0), epochs=1, batch_size=8, rng=rng)
            states.append(copy.deepcopy(client.generator.state_dict()))
        state = weighted_mean(states, [0.25] * 4)
    for name, tensor in federation.generator.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-6, atol=1e-7)


def test_a_round_is_an_epoch_and_a_step_of_the_server(configure: Configure, tmp_path: Path) -> None:
    trainer = fit(build(configure()), tmp_path, rounds=3)
    assert (trainer.current_epoch, trainer.global_step) == (3, 3)


def test_every_round_moves_the_global_generator(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure())
    start = state_hash(federation.generator.state_dict())
    fit(federation, tmp_path, rounds=1)
    assert state_hash(federation.generator.state_dict()) != start


def test_discriminators_stay_and_live_on(configure: Configure, tmp_path: Path) -> None:
    """They start equal, drift apart, and nothing of them is in an update."""
    federation = build(configure())
    hashes = [state_hash(client.discriminator.state_dict()) for client in federation.backend.clients]
    assert len(set(hashes)) == 1
    fit(federation, tmp_path, rounds=1)
    after = [state_hash(client.discriminator.state_dict()) for client in federation.backend.clients]
    assert len({*hashes, *after}) == 5
    steps = [client.optimizer_d.state_dict()["state"][0]["step"].item() for client in federation.backend.clients]
    assert steps == [2] * 4
    names = set(federation.generator.state_dict())
    assert all(set(update.state) == names for update in federation.updates)


def test_clients_may_be_trained_in_any_order(configure: Configure) -> None:
    """The same rounds' updates, whoever comes first."""
    straight, backward = build(configure()), build(configure())
    ids = range(4)
    first = {i: straight.backend.train_client(i, straight.this_round()) for i in ids}
    second = {i: backward.backend.train_client(i, backward.this_round()) for i in reversed(ids)}
    assert all(state_hash(first[i].state) == state_hash(second[i].state) for i in ids)
    assert all(first[i].metrics == second[i].metrics for i in ids)


def test_benign_updates_of_the_first_round_are_the_same_with_and_without_an_attack(configure: Configure) -> None:
    attacked, control = build(configure()), build(configure("fl.malicious=0"))
    (malicious,) = attacked.attackers.ids
    for i in range(4):
        one, other = (each.backend.train_client(i, each.this_round()) for each in (attacked, control))
        same = state_hash(one.state) == state_hash(other.state)
        assert same is (i != malicious)


def test_a_seed_decides_everything(configure: Configure, tmp_path: Path) -> None:
    def outcome(*overrides: str, ambient: int) -> str:
        torch.manual_seed(ambient)
        federation = build(configure(*overrides))
        fit(federation, tmp_path, rounds=1)
        return state_hash(federation.generator.state_dict())

    assert outcome(ambient=1) == outcome(ambient=2)
    assert outcome(ambient=1) != outcome("seed=1", ambient=1)


def test_participants_are_drawn_anew_each_round(configure: Configure, tmp_path: Path) -> None:
    seen: list[list[int]] = []

    class Watch(Server):
        def serve(self, updates: Any, round_: Round) -> Any:
            seen.append([update.client_id for update in updates])
            return super().serve(updates, round_)

    cfg = configure("fl.num_clients=6", "fl.clients_per_round=2", "fl.batch_size=4")
    fit(build(cfg), tmp_path, rounds=5, server=Watch({}, Uniform()))
    assert seen == [draw_participants(6, 2, cfg.seed, t) for t in range(5)]
    assert all(len(ids) == 2 for ids in seen)
    assert len({tuple(ids) for ids in seen}) > 1


def test_local_epochs_and_odd_rests(configure: Configure) -> None:
    federation = build(configure("fl.local_epochs=3", "fl.batch_size=5"))
    assert federation.backend.steps_of(0) == 3 * (16 // 5)
    steps = []
    federation.backend.on_local_step = steps.append
    federation.backend.train_client(2, federation.this_round())
    assert steps == [2] * 9


class Recorded(Defense):
    """Acts in every place where a defense may act."""

    def __init__(self) -> None:
        self.batches: list[torch.Tensor] = []

    def transform_batch(self, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        self.batches.append(images)
        return torch.zeros_like(images)

    def reweight(self, updates: Any, weights: Any, round_: Round) -> Decision:
        return Decision({**dict.fromkeys(weights, 0.0), 1: 1.0}, frozenset({0}))


class Replaced(Defense):
    def aggregate(self, updates: Any, weights: Any, round_: Round) -> Aggregate:
        return Aggregate({name: torch.full_like(tensor, 3) for name, tensor in updates[0].state.items()}, None)


def test_a_defense_changes_batches_and_weights(configure: Configure, tmp_path: Path) -> None:
    defense = Recorded()
    federation = build(configure(), defenses={"recorded": defense})
    server = Server({"recorded": defense}, Uniform())
    fit(federation, tmp_path, rounds=1, server=server)
    assert len(defense.batches) == 4 * 2
    assert all(batch.min() >= -1 and batch.max() <= 1 and batch.dtype == torch.float32 for batch in defense.batches)
    sole = next(update for update in federation.updates if update.client_id == 1)
    for name, tensor in federation.generator.state_dict().items():
        torch.testing.assert_close(tensor, sole.state[name], rtol=1e-6, atol=1e-7)
    undefended = build(configure())
    assert state_hash(undefended.backend.train_client(1, undefended.this_round()).state) != state_hash(sole.state)
    assert server.decision is not None
    assert server.decision.flagged == {0}
    assert server.decision.effective_clients == 1.0


def test_a_defense_may_replace_the_aggregate(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure())
    fit(federation, tmp_path, rounds=1, server=Server({"replaced": Replaced()}, Uniform()))
    for tensor in federation.generator.state_dict().values():
        torch.testing.assert_close(tensor, torch.full_like(tensor, 3), rtol=1e-6, atol=1e-6)


def test_an_attack_may_change_a_malicious_update_and_no_other(configure: Configure, tmp_path: Path) -> None:
    class Zeroing(UpdateAttack):
        def alter(self, own: Any, known: Any, round_: Round) -> Any:
            return [replace(u, state={n: torch.zeros_like(tensor) for n, tensor in u.state.items()}) for u in own]

    federation = build(configure("fl.malicious=[2]"), update_attack=Zeroing())
    fit(federation, tmp_path, rounds=1)
    zero = [all(not tensor.any() for tensor in update.state.values()) for update in federation.updates]
    assert zero == [False, False, True, False]


def test_the_servers_own_round_takes_its_generator_over_and_leaves_the_decision_about_clients(
    configure: Configure, tmp_path: Path
) -> None:
    cfg = configure("fl.rounds=1", "defense=reconstruction")
    federation = build(cfg, defenses=build_defenses(cfg), server_images=random_images(16))
    server = Server({}, Uniform())
    assert federation.fine_tuning_rounds == 0
    fit(federation, tmp_path, rounds=2, server=server)
    assert federation.fine_tuning_rounds == 1
    assert server.decision == Decision({4: 1.0}, frozenset(), {4: 0})
    assert server.last_of_clients == Decision(dict.fromkeys(range(4), 0.25), frozenset(), dict.fromkeys(range(4), 0))
    (own,) = federation.updates
    assert own.client_id == 4
    assert state_hash(federation.generator.state_dict()) == state_hash(own.state)


def test_limits_on_clients_do_not_apply_to_the_server(configure: Configure) -> None:
    """Fine-tuning, it neither drops out nor has to be several."""
    cfg = configure("fl.rounds=1", "fl.dropout=0.999", "fl.min_clients=3")
    federation = build(cfg, server_images=random_images(16))
    updates, events = federation.backend.train([4], federation.this_round())
    assert [update.client_id for update in updates] == [4]
    assert not events


def test_a_loss_that_a_defense_asks_of_clients_is_not_asked_of_the_server(configure: Configure) -> None:
    cfg = configure("fl.rounds=4", *FEDDETECT)
    federation = build(cfg, defenses=build_defenses(cfg), server_images=random_images(16))
    updates, _ = federation.backend.train([0, 4], federation.this_round())
    assert [("loss_g_final" in update.metrics) for update in updates] == [True, False]


def test_what_the_servers_process_has_made_is_taken_over(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in every other of several processes, which has no updates of its own to step with."""
    federation = build(configure())
    made = {name: torch.full_like(tensor, 3) for name, tensor in federation.generator.state_dict().items()}
    offered: list[set[str]] = []
    monkeypatch.setattr(messages, "size", lambda: 2)
    monkeypatch.setattr(messages, "share_fact", lambda fact: fact)
    monkeypatch.setattr(messages, "gather_updates", lambda updates, events, device: (updates, events))
    monkeypatch.setattr(messages, "share_state", lambda state: offered.append(set(state)) or made)
    fit(federation, tmp_path, rounds=1)
    assert offered == [set(made)]
    assert [update.client_id for update in federation.updates] == [0, 2], "1 and 3 live in the other process"
    assert all(torch.equal(tensor, made[name]) for name, tensor in federation.generator.state_dict().items())


def test_no_round_is_the_servers_own_unless_it_was_set(configure: Configure) -> None:
    federation = build(configure())
    assert (federation.fine_tunes, federation.fine_tuning_rounds) == (False, 0)
    assert (federation.fine_tuning_start, federation.backend.own_client) == (None, None)
    cfg = configure("defense=reconstruction")
    later = build(cfg, defenses=build_defenses(cfg), server_images=random_images(16))  # after two rounds
    assert (later.fine_tunes, later.fine_tuning_rounds) == (False, 0)


def test_time_is_taken_and_shows_up_in_the_profile(configure: Configure, tmp_path: Path) -> None:
    federation, profiler = build(configure()), SimpleProfiler()
    start = time.perf_counter()
    fit(federation, tmp_path, rounds=3, profiler=profiler)
    assert 0 < federation.seconds < time.perf_counter() - start
    assert len(profiler.recorded_durations["server"]) == 3
    assert len(profiler.recorded_durations["D step"]) == 3 * 4 * 2


def test_released_generator_is_an_average_that_keeps_less_at_first(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure("model.ema=0.2"))
    name = next(iter(dict(federation.generator.named_parameters())))
    start = federation.released.state_dict()[name].clone()
    expected = None

    class Watch(Server):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
            nonlocal expected
            current = pl_module.generator.state_dict()[name].clone()
            kept = min(0.2, (1 + pl_module.round) / (10 + pl_module.round))
            expected = start if expected is None else expected
            expected = kept * expected + (1 - kept) * current
            # Weights move by some 1e-4 per round: the usual tolerance would not distinguish similar shares.
            torch.testing.assert_close(pl_module.released.state_dict()[name], expected, rtol=1e-6, atol=1e-7)

    fit(federation, tmp_path, rounds=4, server=Watch({}, Uniform()))
    released, current = federation.released.state_dict(), federation.generator.state_dict()
    assert not torch.equal(released[name], current[name])
    counters = [name for name, tensor in current.items() if not tensor.is_floating_point()]
    assert counters
    assert all(torch.equal(released[name], current[name]) for name in counters), "a count is no average"
    without = build(configure())
    assert without.released is without.generator


def test_an_average_that_is_released_has_no_part_in_training(configure: Configure, tmp_path: Path) -> None:
    averaged, plain = build(configure("model.ema=0.2")), build(configure())
    for federation in (averaged, plain):
        fit(federation, tmp_path, rounds=3)
    assert state_hash(averaged.generator.state_dict()) == state_hash(plain.generator.state_dict())


def test_by_default_everybody_takes_part_and_the_generator_itself_is_released(configure: Configure) -> None:
    built = build(configure("fl.clients_per_round=2", "model.ema=0.2", "seed=3"))
    plain = Federation(
        backend=built.backend,
        attackers=built.attackers,
        generator=built.generator,
        server_optimizer=built.server_optimizer,
        tolerance=Tolerance(),
        num_clients=4,
        num_classes=2,
    )
    assert plain.participants() == [0, 1, 2, 3]
    assert (plain.released is plain.generator, plain.ema, plain.seed, plain.fine_tunes) == (True, 0.0, 0, False)


def test_checkpoint_has_what_clients_keep(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure(), folder=tmp_path)
    trainer = fit(federation, tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = build(configure("seed=9"), folder=tmp_path)
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    other.load_state_dict(checkpoint["state_dict"])
    other.on_load_checkpoint(checkpoint)
    for mine, theirs in zip(federation.backend.clients, other.backend.clients, strict=True):
        assert state_hash(mine.discriminator.state_dict()) == state_hash(theirs.discriminator.state_dict())
        for kind in ("optimizer_g", "optimizer_d"):
            mine_state, their_state = (getattr(c, kind).state_dict()["state"] for c in (mine, theirs))
            assert all(torch.equal(mine_state[k]["exp_avg"], their_state[k]["exp_avg"]) for k in mine_state)
    other.backend.clients[0].train_locally(other.backend.data[0].at(0), epochs=1, batch_size=8, rng=torch.Generator())
    steps = [client.optimizer_d.state_dict()["state"][0]["step"].item() for client in other.backend.clients]
    assert steps == [6, 4, 4, 4]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("fl.batch_size=0", "fl.batch_size must be a whole number of at least 1"),
        ("fl.local_epochs=0", "fl.local_epochs must be a whole number of at least 1; got 0"),
        ("fl.clients_per_round=5", "fl.clients_per_round must be a whole number from 1 to 4; got 5"),
        ("fl.clients_per_round=0", "fl.clients_per_round must be a whole number from 1 to 4; got 0"),
        ("model.ema=1.0", "ema must be a number in"),
    ],
)
def test_bad_settings(configure: Configure, override: str, words: str) -> None:
    with pytest.raises((ValueError, InstantiationException), match=words):
        build(configure(override))


@pytest.mark.parametrize("overrides", [("fl.batch_size=1", "fl.clients_per_round=1"), ("fl.batch_size=16",)])
def test_the_bounds_themselves_are_allowed(configure: Configure, overrides: tuple[str, ...]) -> None:
    build(configure(*overrides))


def test_clients_and_images_move_to_the_device_that_they_train_on(configure: Configure) -> None:
    backend = build(configure()).backend
    client = backend.clients[0]
    backend.settle(torch.device("meta"), SimpleProfiler())
    assert {images.images.device.type for images in (client.at(0) for client in backend.data.values())} == {"meta"}
    assert {parameter.device.type for parameter in client.parameters()} == {"meta"}


def test_images_travel_as_bytes(configure: Configure) -> None:
    federation = build(configure())
    sets = [client.at(0) for client in federation.backend.data.values()]
    assert all(isinstance(images, ImageSet) and images.images.dtype == torch.uint8 for images in sets)
