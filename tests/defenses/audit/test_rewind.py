"""The audit sets the generator back: by hand, and in a federation."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file

from fedgan.config import training
from fedgan.core.round import Round
from fedgan.core.update import State
from fedgan.defenses.audit.generator_audit import GeneratorAudit
from tests.helpers.runs import rows

SENT = -1.0  # what the generator of each round's start is taken to hold; that of its end holds the round's index


def ready(rewind: int, rounds: int = 10, *, acts: bool = True) -> GeneratorAudit:
    audit = GeneratorAudit(rewind=rewind, acts=acts)
    audit.setup(num_clients=4, clients_per_round=4, rounds=rounds)
    return audit


def finished(audit: GeneratorAudit, index: int, *, caught: bool = False) -> float:
    """What the generator holds after a round in which somebody was newly flagged, or nobody."""
    audit.caught = caught
    state: State = {"w": torch.tensor([float(index)])}
    return float(audit.finish(state, Round(index, {"w": torch.tensor([SENT])}, frozenset({"w"}), num_clients=4))["w"])


def test_nothing_is_set_back_without_rewind_nor_by_an_audit_that_only_looks() -> None:
    for audit in (ready(0), ready(3, acts=False)):
        assert [finished(audit, t, caught=t == 5) for t in range(10)] == list(range(10))
        assert audit.past == []
    assert "rewound" not in ready(0).receipt()


def test_the_last_generator_is_one_of_some_rounds_before() -> None:
    audit = ready(3)
    assert [finished(audit, t) for t in range(9)] == list(range(9))
    assert audit.receipt()["rewound"] == 0
    assert finished(audit, 9) == 6
    assert audit.receipt()["rewound"] == 3


def test_where_somebody_is_caught_the_generator_is_set_back_and_later_no_further_than_that() -> None:
    audit = ready(3)
    after = [finished(audit, t, caught=t in (5, 7)) for t in range(9)]
    assert after == [0, 1, 2, 3, 4, 2, 6, 2, 8], "in round 7 what was set back to in round 5, two rounds before"
    assert finished(audit, 9) == 2, "two rounds before"


def test_at_the_start_the_generator_is_set_back_to_the_first_one() -> None:
    audit = ready(3)
    assert [finished(audit, t, caught=t == 1) for t in range(2)] == [0, SENT]
    assert audit.receipt()["rewound"] == 2


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_it_goes_on_where_it_was(stop: int) -> None:
    once, first, second = (ready(3) for _ in range(3))
    for t in range(stop):
        finished(once, t, caught=t == 3)
        finished(first, t, caught=t == 3)
    second.load_state_dict(first.state_dict())
    rest = [[finished(audit, t, caught=t == 5) for t in range(stop, 10)] for audit in (once, second)]
    assert rest[0] == rest[1]


def test_what_is_kept_is_a_copy() -> None:
    audit, state = ready(2, rounds=3), {"w": torch.zeros(1)}
    audit.finish(state, Round(0, {"w": torch.ones(1)}, frozenset({"w"}), num_clients=4))
    state["w"] += 7
    assert [finished(audit, t) for t in (1, 2)] == [1, 0]


def test_a_client_that_stays_flagged_is_caught_once() -> None:
    audit, caught = ready(3), []
    for score in (0.0, 99.0, 99.0):
        for view in audit.views:
            audit.recent[view] = {i: [score * (i == 2)] * 3 for i in range(4)}
        audit._flag(range(4))
        caught.append(audit.caught)
    assert caught == [False, True, False]


def test_fewer_rounds_than_are_set_back_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^fl.rounds must be above 8, the rounds to be set back \(rewind\); got 8$"):
        ready(8, rounds=8)
    ready(8, rounds=9)


def test_a_run_ends_with_the_generator_of_two_rounds_before(
    configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    audit = ("defense=generator_audit", "defense.generator_audit.images_per_class=4", "attack=none", "fl.malicious=0")
    training.train(configure(*audit, "fl.rounds=3"), tmp_path / "short")
    training.train(configure(*audit, "fl.rounds=5", "defense.generator_audit.rewind=2"), tmp_path / "long")
    short, long = (load_file(tmp_path / run / "generator.safetensors") for run in ("short", "long"))
    assert short.keys() == long.keys()
    for name, tensor in short.items():
        torch.testing.assert_close(long[name], tensor)
    rewound = [row["value"] for row in rows(tmp_path / "long/receipts.csv") if row["measure"] == "rewound"]
    assert list(map(float, rewound)) == [0, 0, 0, 0, 2]
