from dataclasses import replace

import numpy as np
import pytest
import torch

from fedgan.update_attacks.norm_bounded import NormBounded, projected
from tests.helpers.updates import around, client, delta_of

ROUND = around()
HONEST = [client(i, delta, ROUND) for i, delta in ((0, [0.0, 1.0]), (2, [3.0, 0.0]), (3, [0.0, -2.0]), (4, [9.0, 0]))]
OWN = client(1, [3.0, 4.0], ROUND)  # length 5, the median of the honest lengths 1, 3, 2, 9 is 2.5
SIZES = {"num_clients": 5, "num_malicious": 1, "clients_per_round": 5}


@pytest.mark.parametrize(
    ("delta", "radius", "expected"),
    [([3.0, 4.0], 1.0, [0.6, 0.8]), ([3.0, 4.0], 5.0, [3.0, 4.0]), ([0.3, 0.4], 1.0, [0.3, 0.4]), ([0.0], 0.0, [0.0])],
)
def test_the_projection_by_hand(delta: list[float], radius: float, expected: list[float]) -> None:
    found = projected({"w": torch.tensor(delta, dtype=torch.float64)}, radius)
    assert found["w"].numpy() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"factor": 1.0}, [1.5, 2.0]),
        ({}, [1.5, 2.0]),
        ({"factor": 1e300}, [1.5, 2.0]),
        ({"radius": 0.5}, [0.75, 1.0]),
        ({"factor": 0.25}, [0.75, 1.0]),  # 1.25 long: inside
        ({"factor": 1.5, "radius": 2.0}, [3.0, 4.0]),
    ],
)
def test_all_tensors_together_are_as_long_as_an_honest_update(
    settings: dict[str, float], expected: list[float]
) -> None:
    """Each tensor by itself, 3 and 4, would be cut to 2.5."""
    (sent,) = NormBounded(**settings).alter([OWN], [OWN, *HONEST], ROUND)  # type: ignore[arg-type]
    assert delta_of(sent, ROUND).numpy() == pytest.approx(expected)


def test_of_several_those_that_are_short_stay() -> None:
    short = client(5, [0.3, 0.4], ROUND)
    sent = NormBounded(factor=1.0).alter([OWN, short], [OWN, *HONEST, short], ROUND)
    assert delta_of(sent[1], ROUND).numpy() == pytest.approx([0.3, 0.4])
    assert float(delta_of(sent[0], ROUND).norm()) == pytest.approx(2.5)


def test_it_rests_where_nothing_is_too_long() -> None:
    plain, short = NormBounded(factor=1.0), client(1, [0.3, 0.4], ROUND)
    assert plain.rests([short], [short, *HONEST], ROUND)
    assert not plain.rests([OWN], [OWN, *HONEST], ROUND)
    assert not NormBounded().rests([short], [short, *HONEST], ROUND), "it is scaled first"


@pytest.mark.parametrize(
    ("settings", "rests"),
    [
        ({}, True),
        ({"factor": 1.0}, True),
        ({"factor": 1.0, "radius": 3.0}, True),
        ({"factor": 3.0, "radius": 2.0}, False),
        ({"radius": 0.5}, False),
        ({"factor": 0.25}, False),
    ],
)
def test_alone_it_is_its_own_measure(settings: dict[str, float], rests: bool) -> None:
    """Where that leaves its update as it is, it rests, and a federation of such rounds alone is refused."""
    attack = NormBounded(**settings)  # type: ignore[arg-type]
    assert attack.rests([OWN], [OWN], ROUND) == rests
    still = client(1, [0.0, 0.0], ROUND)
    assert attack.rests([still], [still, *HONEST], ROUND), "a zero update has nothing to scale"
    sizes = {**SIZES, "clients_per_round": 1, "rounds": 2}
    if rests:
        with pytest.raises(ValueError, match="^fl.clients_per_round must be at least 2, so that a malicious"):
            attack.setup(**sizes)
    else:
        attack.setup(**sizes)
    NormBounded(knowledge="own").setup(**sizes)


def test_who_knows_nothing_else_takes_the_servers_last_step() -> None:
    attack = NormBounded(knowledge="own")
    attack.watch(replace(ROUND, reference={name: t - 1.2 for name, t in ROUND.reference.items()}))
    assert attack.rests([OWN], [OWN], ROUND), "round 0"
    attack.watch(replace(ROUND, index=1))
    assert not attack.rests([OWN], [OWN], ROUND)
    (sent,) = attack.alter([OWN], [OWN], ROUND)
    assert delta_of(sent, ROUND).numpy() == pytest.approx(np.array([0.6, 0.8]) * 1.2 * 2**0.5)


def test_only_who_needs_it_remembers_the_server() -> None:
    for knowledge, remembers in (("own", True), ("all", False)):
        attack = NormBounded(knowledge=knowledge)  # type: ignore[arg-type]
        attack.watch(ROUND)
        assert (attack.state_dict()["sent_out"] is not None) == remembers
        if remembers:
            with pytest.raises(ValueError, match="^start must be such that the attack acts after round 0"):
                attack.setup(**SIZES, rounds=1)
        else:
            attack.setup(**SIZES, rounds=1)


def test_in_words() -> None:
    assert str(NormBounded()) == "updates scaled by 4 to at most 1 times the honest length"
    assert (
        str(NormBounded(knowledge="own", factor=1)) == "updates scaled by 1 to at most 1 times the server's last step"
    )
