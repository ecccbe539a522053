"""The audit sets the generator back: what it asks for, by hand, and what is then released, in federations."""

import copy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file

from fedgan.config import training
from fedgan.config.refusals import Interrupted
from fedgan.core.round import Round
from fedgan.core.update import State
from fedgan.defenses.audit.generator_audit import GeneratorAudit
from fedgan.defenses.base import Defense
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from tests.helpers.federation import SMALL, build, fit
from tests.helpers.runs import outcome, resume, rows, signalled

Configure = Callable[..., DictConfig]
AUDIT = ("defense=generator_audit", "defense.generator_audit.images_per_class=4", "attack=none", "fl.malicious=0")


class Back(Defense):
    """Asks for what it is given, by round."""

    def __init__(self, asked: dict[int, int], longest: int) -> None:
        self.asked, self.longest_rewind = asked, longest

    def rewinds(self, round_: Round) -> int:
        return self.asked.get(round_.index, 0)


class Watched(Server):
    """Keeps what each round begins with: the generator and what is released."""

    def __init__(self, defenses: dict[str, Defense]) -> None:
        super().__init__(defenses, Uniform())
        self.begun: list[dict[str, State]] = []
        self.most = 0  # generators that were kept at once

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.begun.append(pl_module.snapshot())
        self.most = max(self.most, len(self.past))


def ready(rewind: int, rounds: int = 10, *, acts: bool = True) -> GeneratorAudit:
    audit = GeneratorAudit(rewind=rewind, acts=acts)
    audit.setup(num_clients=4, clients_per_round=4, rounds=rounds)
    return audit


def asked(audit: GeneratorAudit, caught: tuple[int, ...], rounds: int = 10) -> list[int]:
    """By how many rounds it wants to go back in each round, if somebody is newly flagged in some of them."""
    wanted = []
    for t in range(rounds):
        audit.caught = t in caught
        wanted.append(audit.rewinds(Round(t, {}, frozenset(), num_clients=4)))
    return wanted


def test_the_audit_asks_where_somebody_is_caught_and_after_the_last_round() -> None:
    assert asked(ready(3), caught=()) == [0] * 9 + [3]
    assert asked(ready(3), caught=(1, 5)) == [0, 3, 0, 0, 0, 3, 0, 0, 0, 3]
    for audit in (ready(0), ready(3, acts=False)):
        assert asked(audit, caught=(1, 5)) == [0] * 10
        assert audit.longest_rewind == 0


@pytest.mark.parametrize(
    ("clients", "flagged", "last"), [(4, 0, 3), (4, 1, 0), (7, 2, 3), (7, 3, 0), (8, 2, 3), (8, 3, 0)]
)
def test_nothing_is_set_back_at_the_end_where_nobody_else_could_be_flagged(
    clients: int, flagged: int, last: int
) -> None:
    audit = ready(3)
    audit.flagged, audit.caught = dict.fromkeys(range(flagged), 9.0), False
    assert [audit.rewinds(Round(t, {}, frozenset(), num_clients=clients)) for t in (8, 9)] == [0, last]
    audit.caught = True
    assert audit.rewinds(Round(9, {}, frozenset(), num_clients=clients)) == 3, "in the last round itself"


def test_a_client_that_stays_flagged_is_caught_once() -> None:
    audit, caught = ready(3), []
    for score in (0.0, 99.0, 99.0):
        for view in audit.views:
            audit.recent[view] = {i: [score * (i == 2)] * 3 for i in range(4)}
        audit._flag(range(4))
        caught.append(audit.caught)
    assert caught == [False, True, False]


def test_fewer_rounds_than_are_set_back_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^fl.rounds must be above defense.generator_audit.rewind, which is 8; got 8$"
    ):
        ready(8, rounds=8)
    ready(8, rounds=8, acts=False)
    ready(8, rounds=9)


def same(one: dict[str, State], other: dict[str, State]) -> bool:
    return all(torch.equal(one[each][name], other[each][name]) for each in one for name in one[each])


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["sgd", "fedadam"])
def test_generator_and_what_is_released_are_set_back_to_the_bit(
    ema: float, optimizer: str, configure: Configure, tmp_path: Path
) -> None:
    cfg = configure(*SMALL, "attack=none", "fl.malicious=0", f"model.ema={ema}", f"fl/server_optimizer={optimizer}")
    server = Watched({"back": Back({4: 2, 6: 3, 7: 1}, longest=3)})
    federation = build(cfg)
    fit(federation, tmp_path, 8, server=server)
    begun = [*server.begun, federation.snapshot()]
    assert same(begun[5], begun[3]), "two rounds before the end of round 4"
    assert same(begun[7], begun[5]), "of three rounds two are left: no further than to what it was set back to"
    assert same(begun[8], begun[7]), "what round 7 began with"
    for i in range(6):
        for name in ("generator", "released"):
            assert not same({name: begun[i][name]}, {name: begun[i + 1][name]})
    assert server.most == 3, "as many as are ever wanted"
    assert same(begun[0], dict.fromkeys(begun[0], begun[0]["generator"])), "at the start they are alike"
    assert federation.restored is None
    assert (ema == 0) == same(begun[6], dict.fromkeys(begun[6], begun[6]["generator"]))


def test_receipts_say_how_far_and_that_it_acted(configure: Configure, tmp_path: Path) -> None:
    server = Watched({"back": Back({1: 3}, longest=3), "other": Back({1: 1}, longest=1)})
    seen = []
    server.on_train_epoch_end = lambda *_: seen.append(copy.deepcopy(server.receipts))  # type: ignore[method-assign]
    fit(build(configure("attack=none", "fl.malicious=0")), tmp_path, 2, server=server)
    assert [each["back"] for each in seen] == [{"acted": 0.0, "rewound": 0.0}, {"acted": 1.0, "rewound": 2.0}]
    assert [each["other"]["rewound"] for each in seen] == [0.0, 1.0]
    assert server.rounds_acted == {"back": 1, "other": 1}
    assert server.past == [], "the next round begins with it"


def test_the_one_that_wants_most_is_followed(configure: Configure, tmp_path: Path) -> None:
    server = Watched({"one": Back({2: 1}, longest=2), "other": Back({2: 2}, longest=2)})
    federation = build(configure("attack=none", "fl.malicious=0"))
    fit(federation, tmp_path, 3, server=server)
    assert same(federation.snapshot(), server.begun[1])


@pytest.mark.parametrize("wrong", [3, -1, True, 1.0, None])
def test_a_breach_of_the_contract_stops_the_run(wrong: Any, configure: Configure, tmp_path: Path) -> None:
    server = Watched({"mine": Back({0: wrong}, longest=2)})
    said = rf"^defense.mine: rewinds must return an int from 0 to longest_rewind, which is 2; got {wrong}$"
    with pytest.raises(ValueError, match=said):
        fit(build(configure("attack=none", "fl.malicious=0")), tmp_path, 1, server=server)


def test_servers_that_set_nothing_back_keep_nothing(configure: Configure, tmp_path: Path) -> None:
    server = Watched({"none": Defense()})
    fit(build(configure("attack=none", "fl.malicious=0")), tmp_path, 2, server=server)
    assert server.past == []
    assert server.receipts == {}


def test_a_run_releases_the_generator_of_two_rounds_before(configure: Configure, tmp_path: Path) -> None:
    back = "defense.generator_audit.rewind=2"
    training.train(configure(*AUDIT, *SMALL, "fl.rounds=3"), tmp_path / "short")
    training.train(configure(*AUDIT, *SMALL, "fl.rounds=5", back), tmp_path / "long")
    short, long = (load_file(tmp_path / run / "generator.safetensors") for run in ("short", "long"))
    assert short.keys() == long.keys()
    assert all(torch.equal(long[name], tensor) for name, tensor in short.items())
    rewound = [row["value"] for row in rows(tmp_path / "long/receipts.csv") if row["measure"] == "rewound"]
    assert list(map(float, rewound)) == [0, 0, 0, 0, 2]


def test_a_stopped_run_keeps_what_it_may_be_set_back_to(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*AUDIT, *SMALL, "fl.rounds=5", "defense.generator_audit.rewind=3")
    training.train(configure(*settings), tmp_path / "whole")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGTERM, 14)  # in the fourth round
        with pytest.raises(Interrupted):
            training.train(configure(*settings), tmp_path / "stopped")
    resume(configure, tmp_path / "stopped")
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


@pytest.mark.usefixtures("forked_processes")
def test_with_several_processes_it_is_the_generator_set_back_that_is_fine_tuned(
    configure: Configure, tmp_path: Path
) -> None:
    """The server's own client, of which reconstruction makes use, is trained by the second process."""
    settings = (
        *("defense=[generator_audit,reconstruction]", "attack=none", "fl.malicious=0", *SMALL, "model.ema=0.9"),
        *("fl.num_clients=5", "fl.rounds=4", "dataset.train_per_class=40", "fl.batch_size=4"),
        *("defense.generator_audit.images_per_class=4", "defense.generator_audit.rewind=2"),
        *("defense.reconstruction.images_per_class=8", "defense.reconstruction.epochs=1"),
    )
    hashes = {
        training.train(configure(*settings, f"trainer.devices={count}"), tmp_path / str(count))["generator_sha256"]
        for count in (1, 2)
    }
    assert len(hashes) == 1
