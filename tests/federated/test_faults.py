"""Each fault is injected, survived or refused, and recorded in events.csv."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from fedgan.config import training
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, state_hash
from fedgan.federated.faults import DIVERGING, Tolerance, fault_of
from fedgan.federated.federation import Federation
from fedgan.federated.serial import SerialBackend
from fedgan.gan.client import GANClient
from tests.helpers.federation import FEDDETECT, build, fit, sabotage, spoil
from tests.helpers.runs import events, rows

Configure = Callable[..., DictConfig]
GOOD = {"p": torch.zeros(2, 3), "n": torch.tensor(4)}


def update(state: Mapping[str, Tensor], **metrics: float) -> ClientUpdate:
    return ClientUpdate(0, 8, state, {"loss_g": 0.5, "loss_d": 1.0} | metrics)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (update(GOOD, loss_g=float("nan")), "loss_g is nan"),
        (update(GOOD, loss_d=float("inf")), "loss_d is inf"),
        (update({"p": GOOD["p"]}), "n is missing"),
        (update({**GOOD, "q": torch.zeros(1)}), "q does not belong there"),
        (update({**GOOD, "p": torch.zeros(3, 2)}), "p is torch.float32 (3, 2), not torch.float32 (2, 3)"),
        (update({**GOOD, "p": torch.zeros(2, 3).double()}), "p is torch.float64 (2, 3), not torch.float32 (2, 3)"),
        (update({**GOOD, "p": torch.full((2, 3), float("nan"))}), "p is not finite"),
        (update({**GOOD, "p": torch.full((2, 3), -float("inf"))}), "p is not finite"),
    ],
)
def test_what_is_wrong_with_an_update(bad: ClientUpdate, reason: str) -> None:
    assert fault_of(bad, GOOD) == reason


def test_a_negative_variance_is_a_fault() -> None:
    """A scaled BatchNorm has one: variance 1, trained to 0.9, scaled by 25 gives 1 + 25 (-0.1) = -1.5."""
    expected, sent = ({"norm.running_var": torch.tensor([value])} for value in (1.0, -1.5))
    assert fault_of(update(sent), expected) == "norm.running_var is negative"
    assert fault_of(update({"norm.running_var": torch.zeros(1)}), expected) is None


def test_a_good_update_has_no_fault() -> None:
    assert fault_of(update(GOOD), GOOD) is None


def collapse(trained: ClientUpdate) -> ClientUpdate:
    raise RuntimeError("the network\nis gone")


@pytest.mark.parametrize(
    ("how", "kind", "detail"),
    [(spoil, "bad_update", "is not finite"), (collapse, "raised", "RuntimeError: the network is gone")],
)
def test_a_bad_client_is_left_out_and_the_rest_continues(
    how: Callable[..., Any],
    kind: str,
    detail: str,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sabotage(monkeypatch, lambda backend, round_, i: round_.index == 1 and i == 2, how)
    cfg = configure("fl.rounds=3", *FEDDETECT)
    training.train(cfg, tmp_path / "run")
    (event,) = events(tmp_path / "run")
    assert (event["round"], event["client"], event["kind"]) == ("1", "2", kind)
    assert detail in event["detail"]
    assert event["action"] == "left out; its state is put back"
    clients = rows(tmp_path / "run" / "clients.csv")
    assert [row["client"] for row in clients if row["round"] == "1"] == ["0", "1", "3"]
    assert sum(float(row["weight"]) for row in clients if row["round"] == "1") == pytest.approx(1.0)
    assert [row["client"] for row in clients if row["round"] == "2"] == ["0", "1", "2", "3"]


def test_its_discriminator_and_moments_are_put_back(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = build(configure())
    seen: dict[int, list[str]] = {}

    def remember(one: SerialBackend, round_: Round, i: int) -> bool:
        seen.setdefault(i, []).append(state_hash(one.clients[i].discriminator.state_dict()))
        return round_.index == 1 and i == 2

    sabotage(monkeypatch, remember, spoil)
    fit(federation, tmp_path, rounds=2)
    after = [state_hash(client.discriminator.state_dict()) for client in federation.backend.clients]
    assert after[2] == seen[2][0] != seen[2][1]  # as it was after round 0, and not as round 1 had left it
    assert after[0] == seen[0][1]
    steps = [client.optimizer_d.state_dict()["state"][0]["step"].item() for client in federation.backend.clients]
    assert steps == [4, 4, 2, 4]


def test_the_aggregate_is_that_of_the_rest(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, i: i == 2, spoil)
    federation, plain = build(configure()), build(configure())
    fit(federation, tmp_path, rounds=1)
    monkeypatch.undo()
    trained = [plain.backend.train_client(i, plain.this_round()) for i in (0, 1, 3)]
    states = [{name: tensor.clone() for name, tensor in update.state.items()} for update in trained]
    for name, tensor in federation.generator.state_dict().items():
        if tensor.is_floating_point():
            mean = torch.stack([state[name].double() for state in states]).mean(0).float()
            torch.testing.assert_close(tensor, mean, rtol=1e-5, atol=1e-7)


def test_a_run_whose_updates_are_all_bad_stops_with_its_last_checkpoint(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, i: round_.index == 1, spoil)
    reasons = "; ".join(
        rf"round 1, client {i}: bad_update \([\w.]+ is not finite\); left out[^;]*; [^;]*" for i in range(4)
    )
    with pytest.raises(ValueError, match=rf"round 1 was tried 2 times and given up: 0 of 4 updates .* \({reasons}\)$"):
        training.train(configure("fl.rounds=3", "fl.max_retries=1"), tmp_path / "run")
    folder = tmp_path / "run"
    assert [file.name for file in (folder / "checkpoints").glob("*.ckpt")] == ["round_0000.ckpt"]
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    assert not (folder / "generator.safetensors").exists()
    kinds = [event["kind"] for event in events(folder)]
    assert kinds == [*["bad_update"] * 4, "too_few_clients"] * 2


def test_a_run_that_breaks_off_between_rounds_tells_no_event_twice(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, i: round_.index == 0 and i == 2, spoil)
    original = Federation.participants

    def participants(self: Federation) -> list[int]:
        if self.round == 1:
            raise RuntimeError("between the rounds")
        return original(self)

    monkeypatch.setattr(Federation, "participants", participants)
    with pytest.raises(RuntimeError, match="between the rounds"):
        training.train(configure(), tmp_path / "run")
    assert [(event["round"], event["client"]) for event in events(tmp_path / "run")] == [("0", "2")]


def test_what_is_done_about_a_round_with_too_few_is_said_of_each_try(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, i: i == 2, spoil)
    federation = build(configure("fl.min_clients=4", "fl.max_retries=2"))
    with pytest.raises(ValueError, match="^round 0 was tried 3 times and given up: 3 of 4 updates can be used, "):
        fit(federation, tmp_path, rounds=1)
    tries = [event.action for event in federation.events if event.kind == "too_few_clients"]
    assert tries == ["the round is repeated", "the round is repeated", "the run stops"]


def test_an_update_that_its_attacker_has_spoiled_is_left_out(configure: Configure, tmp_path: Path) -> None:
    """Scaled so far that nothing finite is left: a fault as a client's own is."""
    settings = ("attack=none", "update_attack=scaling", "update_attack.factor=1e300", "fl.malicious=[1]")
    federation = build(configure(*settings))
    fit(federation, tmp_path, rounds=1)
    assert [update.client_id for update in federation.updates] == [0, 2, 3]
    (event,) = federation.events
    assert (event.client, event.kind, event.action) == (1, "bad_update", "left out of this round")
    assert event.detail.endswith("is not finite")


def test_clients_drop_out_at_the_stated_rate_and_reproducibly(configure: Configure, tmp_path: Path) -> None:
    def run(name: str, *overrides: str) -> list[dict[str, str]]:
        training.train(configure("fl.rounds=8", "fl.dropout=0.3", "evaluation.every=100", *overrides), tmp_path / name)
        return events(tmp_path / name)

    once, again, other = run("once"), run("again"), run("other", "seed=1")
    assert once == again != other
    dropped = [event for event in once if event["kind"] == "dropped_out"]
    assert 4 <= len(dropped) <= 16  # of 32, 9.6 expected
    clients = rows(tmp_path / "once" / "clients.csv")
    present = {(row["round"], row["client"]) for row in clients}
    repeated = {event["round"] for event in once if event["kind"] == "too_few_clients"}
    assert not {(e["round"], e["client"]) for e in dropped if e["round"] not in repeated} & present
    assert len(present) + len(dropped) >= 32


def test_a_round_with_too_few_clients_is_repeated_from_where_it_began(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once two of four are lost; fl.min_clients=3. The second try trains everybody anew, on other streams."""
    tries: list[int] = []
    before: list[str] = []

    def fails(backend: SerialBackend, round_: Round, i: int) -> bool:
        tries.append(i)
        return len(tries) <= 4 and i in (1, 2)

    original = GANClient.train_locally

    def train_locally(self: GANClient, *args: Any, **kwargs: Any) -> dict[str, float]:
        before.append(state_hash(self.discriminator.state_dict()))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(GANClient, "train_locally", train_locally)
    sabotage(monkeypatch, fails, spoil)
    training.train(configure("fl.rounds=1", "fl.min_clients=3"), tmp_path / "run")
    assert tries == [0, 1, 2, 3] * 2
    assert len(set(before)) == 1, "every discriminator was put back, also those of the good clients"
    recorded = events(tmp_path / "run")
    assert [event["kind"] for event in recorded] == ["bad_update", "bad_update", "too_few_clients"]
    assert (recorded[-1]["detail"], recorded[-1]["action"]) == (
        "2 of 4 updates can be used, fl.min_clients=3",
        "the round is repeated",
    )


@pytest.mark.parametrize(("timeout", "present"), [(3.0, [0, 2, 3]), (6.0, [0, 1, 2, 3])], ids=["late", "just in time"])
def test_a_late_update_is_left_out(
    timeout: float, present: list[int], configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow client takes 6 s."""
    clock = iter(range(10_000))
    monkeypatch.setattr("fedgan.federated.serial.time.perf_counter", lambda: float(next(clock)))
    original = GANClient.train_locally

    def slow(self: GANClient, *args: Any, **kwargs: Any) -> dict[str, float]:
        if self is slow_one:
            for _ in range(5):
                next(clock)
        return original(self, *args, **kwargs)

    federation = build(configure(f"fl.straggler_timeout={timeout}"))
    slow_one = federation.backend.clients[1]
    monkeypatch.setattr(GANClient, "train_locally", slow)
    fit(federation, tmp_path, rounds=1)
    assert [u.client_id for u in federation.updates] == present
    recorded = [(event.client, event.kind, event.detail, event.action) for event in federation.events]
    late = (1, "late", "6.0 s, fl.straggler_timeout=3.0", "left out of this round")
    assert recorded == ([] if 1 in present else [late])


def test_a_generator_whose_output_is_constant_is_reported(configure: Configure, tmp_path: Path) -> None:
    """Rates that kill the generator in the first step."""
    training.train(configure("model.optimizer_g.lr=1000.0", "fl.rounds=1"), tmp_path / "run")
    recorded = {event["kind"]: event for event in rows(tmp_path / "run" / "events.csv")}
    assert "gray levels" in recorded["no_variety"]["detail"]


def test_a_diverging_loss_is_reported_and_not_hidden(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(trained: ClientUpdate) -> ClientUpdate:
        """Beyond the bound for client 3, just at it for client 2."""
        loss = 123.0 if trained.client_id == 3 else DIVERGING
        return ClientUpdate(trained.client_id, 8, trained.state, {**trained.metrics, "loss_g": loss, "loss_d": -loss})

    sabotage(monkeypatch, lambda backend, round_, i: i in (2, 3), grow)
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    diverging = [event for event in events(tmp_path / "run") if event["kind"] == "diverging"]
    assert [(event["client"], event["detail"], event["action"]) for event in diverging] == [
        ("3", "loss_g is 123", "training continues"),
        ("3", "loss_d is -123", "training continues"),
    ]
    assert rows(tmp_path / "run" / "clients.csv")[3]["loss_g"] == "123.0"


def test_out_of_memory_names_what_to_lower(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(trained: ClientUpdate) -> ClientUpdate:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    sabotage(monkeypatch, lambda backend, round_, i: i == 0, exhausted)
    with pytest.raises(ValueError, match=r"lower fl.batch_size, dataset.image_size or the widths .*2 GiB"):
        training.train(configure("fl.rounds=1"), tmp_path / "run")


def test_a_quiet_run_has_an_empty_table(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=8", "evaluation.every=8", "model=dcgan_small"), tmp_path / "run")
    assert (tmp_path / "run" / "events.csv").read_text() == "round,client,kind,detail,action\n"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"dropout": 1.0}, "dropout must be a number in"),
        ({"dropout": "often"}, "dropout"),
        ({"straggler_timeout": 0.0}, "straggler_timeout"),
        ({"min_clients": 0}, "min_clients must be a whole number of at least 1"),
        ({"max_retries": -1}, "max_retries must be a whole number of at least 0"),
    ],
)
def test_bad_settings(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Tolerance(**setting)


def test_more_clients_needed_than_take_part(configure: Configure) -> None:
    with pytest.raises(ValueError, match="fl.min_clients must be a whole number from 1 to 3; got 4"):
        build(configure("fl.clients_per_round=3", "fl.min_clients=4"))
