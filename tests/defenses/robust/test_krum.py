"""Krum's scores and choices by hand and against loops."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fedgan.defenses.robust.krum import Krum, krum_scores
from tests.helpers.rules import TOY, parameters_of, round_of, served, step, updates_of


def slow_scores(deltas: np.ndarray, f: int) -> list[float]:
    """As the paper has it, one client after the other."""
    scores = []
    for i, x in enumerate(deltas):
        squares = sorted(float(((x - y) ** 2).sum()) for j, y in enumerate(deltas) if j != i)
        scores.append(sum(squares[: len(deltas) - f - 2]))
    return scores


def test_the_toys_scores_by_hand() -> None:
    """Not n - f - 1 distances nor unsquared ones (FLPoison picks client 3), nor a client as its own neighbor."""
    squared = cdist(TOY, TOY, "sqeuclidean")
    assert krum_scores(squared, neighbors=2).round(9).tolist() == [3.0, 2.0, 6.0, 3.0, 326.0]


@pytest.mark.parametrize(("count", "f"), [(5, 1), (8, 2), (16, 6)])
def test_loops_agree(count: int, f: int) -> None:
    deltas = np.random.default_rng(count).normal(size=(count, 7))
    scores = slow_scores(deltas, f)
    np.testing.assert_allclose(krum_scores(cdist(deltas, deltas, "sqeuclidean"), neighbors=count - f - 2), scores)
    np.testing.assert_allclose(step(Krum(num_malicious=f, selected=1), deltas), deltas[int(np.argmin(scores))])
    best = sorted(range(count), key=lambda i: scores[i])[: count - f]
    np.testing.assert_allclose(step(Krum(num_malicious=f), deltas), deltas[best].mean(axis=0))


def test_krum_passes_one_client_and_flags_the_others() -> None:
    state, decision = served(Krum(selected=1), updates_of(TOY), round_of(5))
    assert parameters_of(state).tolist() == [1.0, 0.0]
    assert decision.weights == {0: 0.0, 1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0}
    assert decision.flagged == {0, 2, 3, 4}
    assert decision.flag_counts == {0: 1, 1: 0, 2: 1, 3: 1, 4: 1}


def test_multi_krum_means_the_best_with_equal_weights() -> None:
    """The toy with m = 3: clients 1, 0 and 3; client 0 comes before 3 of the same score."""
    state, decision = served(Krum(selected=3), updates_of(TOY), round_of(5))
    np.testing.assert_allclose(parameters_of(state), [2 / 3, 1 / 3])
    assert {i for i, weight in decision.weights.items() if weight} == {0, 1, 3}
    two = served(Krum(selected=2), updates_of(TOY), round_of(5))[1]
    assert {i for i, weight in two.weights.items() if weight} == {0, 1}


def test_by_default_all_but_f_are_selected() -> None:
    assert served(Krum(), updates_of(TOY), round_of(5))[1].flagged == {4}


def test_where_updates_are_lost_fewer_are_selected() -> None:
    rule = Krum(selected=6)
    rule.setup(num_clients=7, clients_per_round=7, rounds=2)
    assert served(rule, updates_of(TOY), round_of(7))[1].flagged == {4}


def test_more_than_the_honest_cannot_be_selected() -> None:
    with pytest.raises(ValueError, match=r"^selected must be at most 4, the round's clients less num_malicious=1, or"):
        Krum(selected=5).setup(num_clients=8, clients_per_round=5, rounds=2)
    Krum(selected=4).setup(num_clients=8, clients_per_round=5, rounds=2)
