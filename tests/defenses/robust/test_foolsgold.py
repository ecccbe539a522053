"""Algorithm 1 by hand and against loops, and a memory that belongs to ids."""

import numpy as np
import pytest

from fedgan.defenses.robust.foolsgold import FoolsGold, foolsgold_weights
from tests.helpers.rules import round_of, served, updates_of


def weights_of(deltas: object) -> list[float]:
    rows = np.asarray(deltas, dtype=float)
    return list(served(FoolsGold(), updates_of(rows), round_of(*rows.shape))[1].weights.values())


def slow_weights(h: np.ndarray) -> np.ndarray:
    n = len(h)
    c = np.array(
        [
            [0.0 if i == j else h[i] @ h[j] / np.linalg.norm(h[i]) / np.linalg.norm(h[j]) for j in range(n)]
            for i in range(n)
        ]
    )
    v = [max(c[i]) for i in range(n)]
    for i in range(n):
        for j in range(n):
            if v[j] > v[i]:
                c[i, j] *= v[i] / v[j]
    a = np.array([1 - max(c[i]) for i in range(n)])
    a = np.minimum(np.clip(a / max(a), 1e-300, 1), 0.99)
    return np.clip(np.log(a / (1 - a)) + 0.5, 0, 1)


def test_sybils_lose_all_by_hand() -> None:
    assert weights_of([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, -0.8]]) == [0.0, 0.0, 0.5, 0.5]


def test_a_lone_attacker_among_honest_clients_that_are_alike_gets_all() -> None:
    """What its .yaml warns of."""
    assert weights_of([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [-0.2, 1.0]]) == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("seed", range(5))
def test_loops_agree(seed: int) -> None:
    h = np.random.default_rng(seed).normal(0.3, 1.0, size=(6, 4))
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    expected = slow_weights(h)
    assert 0 < len(set(expected)) <= 6
    np.testing.assert_allclose(foolsgold_weights(unit @ unit.T), expected, atol=1e-9)


def test_all_one_are_all_sybils_and_then_nobody_is_dropped() -> None:
    decision = served(FoolsGold(), updates_of([[1.0, 2.0]] * 4), round_of(4))[1]
    assert list(decision.weights.values()) == [0.25] * 4
    assert not decision.flagged


def test_the_memory_is_by_id_and_not_by_place() -> None:
    """Client 7 comes in the third place first and in the first place then. Its sum is (2, 0), as client 9's is."""
    rule = FoolsGold()
    served(rule, updates_of([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]], ids=(1, 2, 7)), round_of(10))
    rows = [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]
    decision = served(rule, updates_of(rows, ids=(7, 8, 9)), round_of(10, index=1))[1]
    assert decision.flagged == {7, 9}
    assert decision.weights[8] == 1.0
    assert rule.history[7]["const"].item() == 2.0
    assert sorted(rule.history) == [1, 2, 7, 8, 9]


def test_the_memory_survives_a_checkpoint() -> None:
    rule, resumed = FoolsGold(), FoolsGold()
    served(rule, updates_of([[1.0, 0.0], [1.0, 0.0], [-0.6, 0.8]]), round_of(3))
    resumed.load_state_dict(rule.state_dict())
    rows = [[0.0, 0.1], [0.1, 0.0], [0.0, 0.1]]
    decisions = [served(each, updates_of(rows), round_of(3, index=1))[1] for each in (rule, resumed, FoolsGold())]
    assert decisions[0] == decisions[1]
    assert decisions[0] != decisions[2]
