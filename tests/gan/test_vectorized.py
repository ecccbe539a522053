"""ClientPool trained together against clients trained one after the other, which is the oracle."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning.profilers import SimpleProfiler

from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.images import to_float
from fedgan.core.round import Round
from fedgan.core.update import state_hash
from fedgan.federated.federation import Federation
from fedgan.federated.serial import SerialBackend
from fedgan.gan.vectorized import OwnNorms, Stack, Together, norms_on, stacked
from tests.helpers.federation import DCGAN, FEDDETECT, SMALL, STYLEGAN2, build, fit, sabotage, spoil
from tests.helpers.runs import events, outcome

Configure = Callable[..., DictConfig]
DATA = ("dataset.image_size=32", "dataset.train_per_class=34", "dataset.test_per_class=4", "fl.batch_size=8")


def pair(configure: Configure, *overrides: str) -> tuple[Federation, Federation]:
    """The same federation with either engine."""
    made = []
    for engine in ("serial", "vectorized"):
        cfg = configure(*DATA, *overrides, f"fl/backend={engine}", tiny=False)
        made.append(build(cfg, defenses=build_defenses(cfg)))
    return made[0], made[1]


SETTINGS = (
    *("defense=none", "defense=[horizontal_flip,rotation]", "defense=gradient_penalty", "model.shared_fakes=true"),
    *("fl.proximal.mu=2", "fl.proximal={mu:50,decoupled:true}", "partition=dirichlet", "partition=feature_skew"),
    *("attack=latent_trigger", "update_attack=audit_evasion"),
)
# StyleGAN2 takes ten times as long. In each run of the tests it meets what its own layers decide: second derivatives
# and a loss of the attacker's.
OF_ITS_LAYERS = ("defense=gradient_penalty", "attack=latent_trigger")


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        pytest.param(model, setting, marks=[pytest.mark.slow] * (model is STYLEGAN2 and setting not in OF_ITS_LAYERS))
        for model in (DCGAN, SMALL, STYLEGAN2)
        for setting in SETTINGS
    ],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_as_one_after_the_other(
    model: tuple[str, ...], setting: str, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision, where rounding does not hide anything: every weight, moment, buffer and loss."""
    serial, vectorized = pair(configure, *model, setting, "fl.local_epochs=2")
    for federation in (serial, vectorized):
        federation.double()
        for client in federation.backend.clients:
            client.double()
    for module in ("gan.client", "gan.vectorized", "attacks.latent_trigger"):
        monkeypatch.setattr(f"fedgan.{module}.to_float", lambda images: to_float(images).double())
    torch.set_default_dtype(torch.float64)
    try:
        one = [serial.backend.train_client(i, serial.this_round()) for i in range(4)]
        other = vectorized.backend.train_clients(range(4), vectorized.this_round())
    finally:
        torch.set_default_dtype(torch.float32)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-6)
        for name in mine.state:
            torch.testing.assert_close(mine.state[name], theirs.state[name], rtol=1e-5, atol=1e-8)
    for mine, theirs in zip(serial.backend.clients, vectorized.backend.clients, strict=True):
        states = [client.discriminator.state_dict() for client in (mine, theirs)]
        for name in states[0]:
            torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-5, atol=1e-8)
        for kind in ("optimizer_g", "optimizer_d"):
            moments = [getattr(client, kind).state_dict()["state"] for client in (mine, theirs)]
            assert moments[0].keys() == moments[1].keys()
            for key in moments[0]:
                assert moments[0][key]["step"] == moments[1][key]["step"]
                for name, moment in moments[0][key].items():
                    torch.testing.assert_close(moment, moments[1][key][name], rtol=1e-4, atol=1e-8)


def test_who_has_more_images_takes_its_last_steps_alone(configure: Configure) -> None:
    more = ("fl.num_clients=3", "dataset.train_per_class=37")  # 24, 25 and 25 images
    serial, vectorized = pair(configure, *DCGAN, *more, "fl.batch_size=5")
    assert {serial.backend.steps_of(i) for i in range(3)} == {4, 5}
    one, other = (
        [serial.backend.train_client(i, serial.this_round()) for i in range(3)],
        vectorized.backend.train_clients(range(3), vectorized.this_round()),
    )
    for mine, theirs in zip(one, other, strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-3)


def test_every_step_of_every_client_is_announced_and_timed(configure: Configure) -> None:
    more = ("fl.num_clients=3", "dataset.train_per_class=37", "fl.local_epochs=2")  # 24, 25 and 25 images
    _, federation = pair(configure, *DCGAN, *more, "fl.batch_size=5")
    steps, profiler = list[int](), SimpleProfiler()
    federation.backend.on_local_step = steps.append
    federation.backend.settle(torch.device("cpu"), profiler)
    federation.backend.train_clients([2, 0, 1], federation.this_round())
    assert {i: steps.count(i) for i in range(3)} == {i: federation.backend.steps_of(i) for i in range(3)}
    assert steps[:6] == [2, 0, 1, 2, 0, 1]
    alone = 2 * 2  # the last step of an epoch of the two that have more images
    counts = {name: len(durations) for name, durations in profiler.recorded_durations.items()}
    assert counts == dict.fromkeys(("data", "D step", "G step"), 2 * 4 + alone)


def test_clients_of_one_batch_size_are_trained_together_and_one_alone_as_ever(configure: Configure) -> None:
    more = ("fl.num_clients=3", "dataset.train_per_class=37")  # 24, 25 and 25 images
    serial, vectorized = pair(configure, *DCGAN, *more, "fl.batch_size=25")
    assert (serial.backend.spreads, vectorized.backend.spreads) == (True, False)
    assert serial.backend.groups([2, 0, 1]) == [[2], [0], [1]]
    assert vectorized.backend.groups([2, 0, 1]) == [[2, 1], [0]]
    (ours,), (theirs,) = (each.backend.train_clients([1], each.this_round()) for each in (vectorized, serial))
    assert state_hash(ours.state) == state_hash(theirs.state), "to the bit"


def test_two_are_trained_together(configure: Configure) -> None:
    steps, (_, federation) = list[int](), pair(configure, *DCGAN)
    federation.backend.on_local_step = steps.append
    federation.backend.train_clients([3, 1], federation.this_round())
    assert steps == [3, 1] * federation.backend.steps_of(1)


def test_losses_are_reported_without_the_graph_that_made_them(configure: Configure) -> None:
    """It would keep every activation of the step in memory."""
    backend = pair(configure, *DCGAN)[1].backend
    clients, batches = (
        [backend.clients[i] for i in range(2)],
        [backend.data[i].at(0).subset(torch.arange(8)) for i in range(2)],
    )
    networks = [[client.generator for client in clients], [client.discriminator for client in clients]]
    with stacked(networks[0]) as generators, stacked(networks[1]) as discriminators:
        losses = Together(clients, generators, discriminators).step(batches, [torch.Generator() for _ in clients])
    assert [each.keys() for each in losses] == [{"loss_d", "loss_g"}] * 2
    assert not any(loss.requires_grad for each in losses for loss in each.values())


def test_norms_without_weights_keep_their_inputs_type() -> None:
    layer, images = torch.nn.InstanceNorm2d(3), torch.randn(2, 3, 4, 4)
    with OwnNorms():
        torch.testing.assert_close(layer(images.double()), layer(images).double(), rtol=1e-4, atol=1e-4)
        assert layer(images.bfloat16()).dtype == torch.bfloat16


def test_modules_get_memory_of_their_own_back(configure: Configure) -> None:
    _, federation = pair(configure, *DCGAN)
    before = [[p.data_ptr() for p in client.generator.parameters()] for client in federation.backend.clients]
    strides = [p.stride() for p in federation.backend.clients[0].generator.parameters()]
    federation.backend.train_clients(range(4), federation.this_round())
    assert [[p.data_ptr() for p in client.generator.parameters()] for client in federation.backend.clients] == before
    assert [p.stride() for p in federation.backend.clients[0].generator.parameters()] == strides


def test_a_stack_is_its_modules() -> None:
    modules = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    x = torch.randn(2, 5, 3)
    expected = torch.stack([module(part) for module, part in zip(modules, x, strict=True)])
    with stacked(modules) as stack:
        assert isinstance(stack, Stack)
        torch.testing.assert_close(stack(x, learns=True), expected)
        stack(x, learns=True).sum().backward()
        stack.hand_out_gradients()
        modules[1].weight.data.zero_()  # as its own optimizer would
        torch.testing.assert_close(stack(x, learns=False)[1], modules[1].bias.expand(5, 2))
    torch.testing.assert_close(modules[0].weight.grad, x[0].sum(0).expand(2, 3))
    assert not modules[1].weight.any()


@pytest.mark.parametrize("kind", ["batch_norm", "instance_norm"])
def test_norms_are_torchs_own_and_as_precise_as_their_weights(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cuDNN is there, torch asks a tensor for its memory format, and vmap refuses to say."""
    layers = {"batch_norm": torch.nn.BatchNorm2d, "instance_norm": partial(torch.nn.InstanceNorm2d, affine=True)}
    compute, with_cudnn = getattr(torch, kind), []

    def watched(*arguments: Any) -> torch.Tensor:
        with_cudnn.append(torch.backends.cudnn.enabled)
        return compute(*arguments)

    monkeypatch.setattr(torch, kind, watched)
    layer, images = layers[kind](3), torch.randn(2, 3, 4, 4)
    expected, before = layer(images), torch.backends.cudnn.enabled
    with OwnNorms():
        torch.testing.assert_close(layer(images), expected)
        assert layer(images.bfloat16()).dtype == torch.float32
        assert layer.double()(images.double()).dtype == torch.float64
        assert torch.backends.cudnn.enabled == before
    assert with_cudnn == [before, False, False, False]
    asked_for: list[torch.device] = []
    monkeypatch.setattr("fedgan.gan.vectorized.norms_on", lambda device: asked_for.append(device) or OwnNorms())
    with stacked([layers[kind](3), layers[kind](3)]) as stack:
        stack(torch.stack([images, images]), learns=True)
    assert not with_cudnn[-1]
    assert asked_for == [torch.device("cpu")]
    assert isinstance(norms_on(torch.device("cuda", 1)), OwnNorms)
    assert not isinstance(norms_on(torch.device("cpu")), OwnNorms)


def test_a_run_repeats_and_resumes_to_the_bit(configure: Configure, tmp_path: Path) -> None:
    settings = ("fl/backend=vectorized", *FEDDETECT, "fl.rounds=4")
    training.train(configure(*settings), tmp_path / "straight")
    run = tmp_path / "run"
    training.train(configure(*settings, "fl.rounds=2"), run)
    training.train(configure(*settings, f"resume={run}"), run)
    assert outcome(run) == outcome(tmp_path / "straight")


def test_what_goes_wrong_with_one_is_left_out_alone(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SerialBackend._sent_back

    def sent_back(self: SerialBackend, client_id: int, metrics: Any, round_: Round, attempt: int) -> object:
        update = original(self, client_id, metrics, round_, attempt)
        return spoil(update) if client_id == 2 and round_.index == 1 else update

    monkeypatch.setattr(SerialBackend, "_sent_back", sent_back)
    training.train(configure("fl/backend=vectorized", "fl.rounds=3"), tmp_path / "run")
    (event,) = events(tmp_path / "run")
    assert (event["round"], event["client"], event["kind"]) == ("1", "2", "bad_update")


def test_a5_one_client_that_raises_costs_the_others_nothing(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round is trained one by one: the others' updates are those of the serial engine, to the bit."""
    serial, vectorized = pair(configure, *DCGAN)

    def fails(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        raise RuntimeError("a damaged image")

    for federation in (serial, vectorized):
        federation.backend.clients[2].transform_batch = fails
        federation.backend.seed = 5
    (together, events), (alone, _) = (each.backend.train(range(4), each.this_round()) for each in (vectorized, serial))
    assert [update.client_id for update in together] == [0, 1, 3]
    assert [state_hash(u.state) for u in together] == [state_hash(u.state) for u in alone]
    assert [(event.client, event.kind) for event in events] == [(None, "raised"), (2, "raised")]
    assert "one after the other" in events[0].action


def test_clients_that_all_fail_are_reported_one_by_one(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, federation = pair(configure, *DCGAN, "fl.dropout=0.4", "fl.max_retries=0")
    sabotage(monkeypatch, lambda backend, round_, i: True, spoil)
    monkeypatch.setattr("fedgan.gan.algorithm.GAN.train_together", lambda *_, **__: 1 / 0)
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        fit(federation, tmp_path, rounds=1)
    kinds = [(event.client, event.kind) for event in federation.events]
    assert {client for client, kind in kinds if kind in ("bad_update", "dropped_out")} == {0, 1, 2, 3}
