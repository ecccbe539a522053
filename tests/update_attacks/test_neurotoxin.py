from dataclasses import replace

import numpy as np
import pytest
import torch

from fedgan.core.round import Round
from fedgan.update_attacks.neurotoxin import Neurotoxin, calmest
from tests.helpers.updates import around, client, delta_of

SIZES = {"num_clients": 4, "num_malicious": 1, "clients_per_round": 4}
WIDTH = 4


def moved(index: int, step: list[float]) -> Round:
    """A round whose reference is that of ``around`` after a step of the server."""
    start = around(width=WIDTH, index=index)
    by = torch.tensor(step, dtype=torch.float64)
    reference = {"first": start.reference["first"] + by[:1], "rest": start.reference["rest"] + by[1:]}
    return replace(start, reference={**start.reference, **reference})


def sent(attack: Neurotoxin, round_: Round) -> list[float]:
    trained = client(1, [1.0, 2.0, 3.0, 4.0], round_)
    (update,) = attack.alter([trained], [trained], round_)
    found: list[float] = delta_of(update, round_).round(decimals=9).tolist()
    return found


def test_by_hand() -> None:
    """The step (5, -1, 3, 0.1), half: coordinates 1 and 3. The smallest signed values are the same; see the next."""
    attack = Neurotoxin(keep=0.5)
    attack.watch(around(width=WIDTH))
    round_ = moved(1, [5.0, -1.0, 3.0, 0.1])
    attack.watch(round_)
    assert sent(attack, round_) == [0.0, 2.0, 0.0, 4.0]


def test_a_long_step_down_is_no_calm_one() -> None:
    """By value instead of by absolute value, coordinates 1 and 2 would be kept."""
    mask = calmest({"a": torch.tensor([5.0, -9.0]), "b": torch.tensor([[3.0], [0.1]])}, keep=0.5)
    assert {name: part.tolist() for name, part in mask.items()} == {"a": [0.0, 0.0], "b": [[1.0], [1.0]]}


def test_the_share_is_over_all_tensors_together_and_the_first_of_equals_are_kept() -> None:
    rng = np.random.default_rng(0)
    step = {"a": torch.tensor(rng.normal(size=(30, 10))), "b": torch.tensor(100 * rng.normal(size=700))}
    flat = np.concatenate([np.abs(part.numpy()).ravel() for part in step.values()])
    mask = calmest(step, keep=0.3)
    found = np.concatenate([part.numpy().ravel() for part in mask.values()])
    assert found.sum() == 300
    assert set(np.flatnonzero(found)) == set(np.argsort(flat)[:300])
    assert calmest({"a": torch.zeros(5)}, keep=0.5)["a"].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_in_round_0_it_rests() -> None:
    attack = Neurotoxin()
    attack.watch(around(width=WIDTH))
    assert attack.rests([], [], around(width=WIDTH))
    attack.watch(moved(1, [1.0, 1.0, 1.0, 1.0]))
    assert not attack.rests([], [], around(width=WIDTH))


@pytest.mark.parametrize(
    ("window", "rounds", "line"),
    [
        (
            {},
            1,
            "start must be such that the attack acts after round 0, which has no last step of the server, "
            "in fl.rounds=1; got 0",
        ),
        (
            {"stop": 1},
            5,
            "start must be such that the attack acts after round 0, which has no last step of the server, "
            "in fl.rounds=5; got 0",
        ),
    ],
)
def test_a_window_of_round_0_alone_is_refused(window: dict[str, int], rounds: int, line: str) -> None:
    with pytest.raises(ValueError) as error:
        Neurotoxin(**window).setup(**SIZES, rounds=rounds)  # type: ignore[arg-type]
    assert str(error.value) == line
    Neurotoxin(every=2).setup(**SIZES, rounds=3)


def test_what_it_remembers_is_a_copy_and_can_be_put_back() -> None:
    """The server changes its generator in place."""
    attack, start = Neurotoxin(keep=0.5), around(width=WIDTH)
    attack.watch(start)
    memory = attack.state_dict()
    start.reference["rest"].add_(100.0)
    assert "norm.running_var" not in memory["sent_out"]
    again, round_ = Neurotoxin(keep=0.5), moved(1, [5.0, -1.0, 3.0, 0.1])
    again.load_state_dict(memory)
    again.watch(round_)
    assert sent(again, round_) == [0.0, 2.0, 0.0, 4.0]
    fresh = Neurotoxin()
    fresh.load_state_dict(Neurotoxin().state_dict())
    fresh.watch(round_)
    assert fresh.step is None


def test_in_words() -> None:
    assert str(Neurotoxin()) == "updates of the 95 % calmest coordinates"
