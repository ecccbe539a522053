"""Mean images kept: the penalty and its gradient by hand, what it does to the mean image, and whom it leaves alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from fedgan.config import training
from fedgan.core.rng import keyed_generator
from fedgan.core.update import ClientUpdate, state_hash
from fedgan.defenses.audit import views
from fedgan.gan.added_loss import AddedGradients
from fedgan.update_attacks.audit_evasion import AuditEvasion, MeanImageLoss, class_means
from tests.helpers.by_hand import Line
from tests.helpers.federation import SMALL, TINY, build
from tests.helpers.runs import outcome, resume, rows

Configure = Callable[..., DictConfig]
EVASION = "update_attack=audit_evasion"
ONE = ("fl.malicious=[2]", "fl.local_epochs=4")


def test_the_penalty_and_its_gradient_by_hand() -> None:
    """With d = w - w_received and m_y class y's mean latent: mean_y (d . m_y)^2, gradient 2 mean_y (d . m_y) m_y."""
    line, rng = Line(), keyed_generator(7, "z")
    sgd = torch.optim.SGD(line.parameters(), lr=0.1)
    added = AddedGradients(MeanImageLoss(weight=5.0, samples=4), line, sgd, 3, rng)
    latents = torch.randn(12, 2, generator=keyed_generator(7, "z")).double().numpy()
    means = latents.reshape(3, 4, 2).mean(axis=1)
    received, game = np.array([0.5, -1.0]), np.array([1.0, 2.0])
    line.weight.grad = torch.tensor(game, dtype=torch.float32)
    sgd.step()  # from where it was received: there is nothing to pull back
    moved = received - 0.1 * game
    assert line.weight.detach().numpy() == pytest.approx(moved, rel=1e-6)
    along = means @ (moved - received)
    line.weight.grad = torch.tensor(game, dtype=torch.float32)
    sgd.step()
    penalty = 2 * (along[:, None] * means).mean(axis=0)
    assert line.weight.detach().numpy() == pytest.approx(moved - 0.1 * (game + 5.0 * penalty), rel=1e-5)
    assert added.report() == {
        "steps": 1.0,
        "error_first": 0.0,
        "error_last": pytest.approx((along**2).mean(), rel=1e-5),
    }


def test_classes_are_compared_one_by_one() -> None:
    """What one class gains and the other loses does not cancel out."""
    images = torch.tensor([1.0, 1.0, -1.0, -1.0]).reshape(4, 1, 1, 1)
    assert class_means(images, 2).flatten().tolist() == [1.0, -1.0]
    assert float(class_means(images, 2).square().mean()) == 1.0


@pytest.mark.parametrize("size", [16, 64, 128, 256])
def test_means_have_the_resolution_of_the_audit(size: int) -> None:
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    seen = views.reduced(images).unflatten(0, (2, 2)).mean(dim=1)
    torch.testing.assert_close(class_means(images, 2), seen.double(), rtol=0, atol=1e-6)
    if size > views.LARGEST:
        assert class_means(images, 2).shape == adaptive_avg_pool2d(images[:2], views.LARGEST).shape


def updates_of(configure: Configure, *settings: str) -> tuple[list[ClientUpdate], list[Tensor]]:
    """What four clients train in round 0; how far each one's mean images move, over latents that nobody had."""
    federation = build(configure(*SMALL, *ONE, *settings))
    round_ = federation.this_round()
    trained = [federation.backend.train_client(i, round_) for i in range(4)]
    trained = [ClientUpdate(u.client_id, u.num_examples, dict(u.state), dict(u.metrics)) for u in trained]
    z = torch.randn(2 * 256, 64, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(2).repeat_interleave(256)
    assert round_.renderer is not None
    means = [
        round_.renderer(state, z, labels).unflatten(0, (2, 256)).mean(dim=1)
        for state in (round_.reference, *(update.state for update in trained))
    ]
    return trained, [(each - means[0]).square().mean() for each in means[1:]]


def test_the_mean_image_changes_less_the_more_it_weighs_and_honest_clients_are_as_ever(configure: Configure) -> None:
    free, moved = updates_of(configure, EVASION, "update_attack.weight=0")
    some, less = updates_of(configure, EVASION, "update_attack.weight=100")
    most, least = updates_of(configure, EVASION, "update_attack.weight=10000")
    assert least[2] < less[2] / 4
    assert less[2] < 0.8 * moved[2]
    for i in (0, 1, 3):
        assert state_hash(free[i].state) == state_hash(some[i].state) == state_hash(most[i].state)
        assert dict(free[i].metrics) == dict(some[i].metrics) == dict(most[i].metrics)


def test_weight_0_measures_and_is_to_the_bit_the_run_without(configure: Configure, tmp_path: Path) -> None:
    training.train(configure(*ONE, EVASION, "update_attack.weight=0"), tmp_path / "measured")
    training.train(configure(*ONE), tmp_path / "without")
    measured, without = outcome(tmp_path / "measured"), outcome(tmp_path / "without")
    for name in ("rounds.csv", "clients.csv"):
        assert measured[name] == without[name]
    generators = [load_file(tmp_path / name / "generator.safetensors") for name in ("measured", "without")]
    assert state_hash(generators[0]) == state_hash(generators[1])
    receipts = rows(tmp_path / "measured" / "receipts.csv")
    assert [row["measure"] for row in receipts] == 2 * ["error_first", "error_last"], "no step is to be changed"
    assert all(float(row["value"]) > 0 for row in receipts if row["measure"] == "error_last")


def test_in_the_control_the_trigger_is_looked_for_and_nothing_else_changes(
    configure: Configure, tmp_path: Path
) -> None:
    control = ("fl.malicious=0", "fl.rounds=1", "metrics=[emission]")
    with_it = training.train(configure(*control, EVASION), tmp_path / "with")
    without = training.train(configure(*control), tmp_path / "without")
    assert with_it["metrics"] == without["metrics"]
    assert "emission" in with_it["metrics"]
    assert with_it["generator_sha256"] == without["generator_sha256"]
    assert not rows(tmp_path / "with" / "receipts.csv")


def test_several_malicious_clients_each_have_latents_of_their_own_and_the_window_holds(
    configure: Configure, tmp_path: Path
) -> None:
    several = ("fl.num_clients=5", "fl.malicious=[1,3]", "fl.batch_size=4", "fl.rounds=4")
    training.train(configure(*several, EVASION, "update_attack.start=1", "update_attack.every=2"), tmp_path / "run")
    receipts = rows(tmp_path / "run" / "receipts.csv")
    found = {(row["round"], row["component"], row["client"], row["measure"]) for row in receipts}
    assert found == {
        (t, "update_attack", i, m) for t in "13" for i in "13" for m in ("steps", "error_first", "error_last")
    }
    last = [float(row["value"]) for row in receipts if row["measure"] == "error_last"]
    assert len(set(last)) == 4


def test_next_to_a_latent_trigger_each_draws_from_its_own_stream(configure: Configure, tmp_path: Path) -> None:
    """At the first step of round 0 the latent trigger's error is what it is without the other."""
    plain = [setting for setting in TINY if not setting.startswith("attack")]
    both = (*plain, *SMALL, *ONE, "attack=latent_trigger", "fl.rounds=1")
    for name, more in (("both", (EVASION, "update_attack.weight=1000")), ("one", ())):
        training.train(configure(*both, *more, tiny=False), tmp_path / name)
    two, one = (
        {(row["component"], row["measure"]): row["value"] for row in rows(tmp_path / name / "receipts.csv")}
        for name in ("both", "one")
    )
    assert two.keys() - one.keys() == {("update_attack", m) for m in ("steps", "error_first", "error_last")}
    assert two["attack", "error_first"] == one["attack", "error_first"]
    assert two["attack", "error_last"] != one["attack", "error_last"]


@pytest.mark.parametrize("engine", ["serial", "vectorized"])
def test_resumed_to_the_bit(engine: str, configure: Configure, tmp_path: Path) -> None:
    settings = (*ONE, EVASION, "fl.clients_per_round=3", f"fl/backend={engine}")
    for name, rounds in (("once", 4), ("twice", 3)):
        training.train(configure(*settings, f"fl.rounds={rounds}"), tmp_path / name)
    resume(configure, tmp_path / "twice", "fl.rounds=4")
    assert outcome(tmp_path / "twice") == outcome(tmp_path / "once")


def test_the_server_sees_no_report(configure: Configure, tmp_path: Path) -> None:
    training.train(configure(*ONE, EVASION, "fl.rounds=1"), tmp_path / "run")
    assert not [name for name in rows(tmp_path / "run" / "clients.csv")[0] if "error" in name or "added" in name]


def test_a_single_local_step_has_nothing_to_pull_back_and_ends_the_run(configure: Configure, tmp_path: Path) -> None:
    """It begins at the received generator; a norm without running statistics draws exactly its images."""
    single = ("model.generator.norm=pixel", "fl.batch_size=16", "fl.malicious=[2]")
    message = "^update_attack: the added loss changed no local step of malicious client 2 in round 0$"
    with pytest.raises(ValueError, match=message):
        training.train(configure(*single, EVASION), tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weight": -1.0}, r"weight must be a number in \[0, 1e\+06\]; got -1.0"),
        ({"samples": 0}, "samples must be a whole number of at least 1; got 0"),
    ],
)
def test_refusals(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        AuditEvasion(**settings)  # type: ignore[arg-type]
