"""Both are steps as long as a bound allows: the bounds are looked for by brute force."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedgan.update_attacks._optimized import Optimized, root
from fedgan.update_attacks.min_max import MinMax
from fedgan.update_attacks.min_sum import MinSum
from tests.helpers.updates import around, client, delta_of

Array = NDArray[np.float64]
ROUND = around()
HONEST = [[0.0, 0.0], [4.0, 0.0], [1.0, 1.0]]
OWN = client(1, [70.0, -5.0], ROUND)


def sent(attack: Optimized, deltas: Array | list[list[float]]) -> Array:
    """What the malicious client 1 sends next to honest clients with these deltas."""
    round_ = around(width=len(deltas[0]))
    own = client(1, [9.0] * len(deltas[0]), round_)
    honest = [client(i + 2, list(map(float, delta)), round_) for i, delta in enumerate(deltas)]
    (update,) = attack.alter([own], [own, *honest], round_)
    return delta_of(update, round_).numpy()


@pytest.mark.parametrize("b", [1e8, 3.0, -3.0, -1e8])
def test_the_largest_step_is_exact_also_where_the_textbook_formula_cancels(b: float) -> None:
    """0.25 + 2 b g + 2 g^2 = 1, by decimals of 60 digits."""
    with localcontext(prec=60):
        exact = (-Decimal(b) + (Decimal(b) ** 2 + 2 * Decimal("0.75")).sqrt()) / 2
    found = root(torch.tensor([0.25]).double(), torch.tensor([b]).double(), 2.0, bound=1.0)
    assert found.item() == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "direction", "gamma", "point"),
    [
        (MinMax, "std", 0.7997, (0.0021, -0.1283)),
        (MinMax, "unit", 1.6997, (0.0, 0.0)),
        (MinSum, "std", 1.0911, (-0.6046, -0.2966)),
        (MinSum, "unit", 2.3570, None),
    ],
)
def test_by_hand(kind: type[Optimized], direction: str, gamma: float, point: tuple[float, float] | None) -> None:
    found = sent(kind(direction=direction), HONEST)  # type: ignore[arg-type]
    center = np.array([5 / 3, 1 / 3])
    way = -np.std(HONEST, axis=0, ddof=1) if direction == "std" else -center / np.linalg.norm(center)
    np.testing.assert_allclose(found, center + gamma * way, atol=2e-4)
    if point is not None:
        np.testing.assert_allclose(found, point, atol=1e-4)


def test_the_bound_of_min_sum_is_the_largest_sum_and_not_the_least() -> None:
    """With the least, as in the authors' code, gamma would be 0.4364."""
    least = np.array([5 / 3, 1 / 3]) - 0.4364 * np.std(HONEST, axis=0, ddof=1)
    assert np.linalg.norm(sent(MinSum(), HONEST) - least) > 1


def bounds(kind: type[Optimized], point: Array, deltas: Array) -> tuple[float, float]:
    """What must not exceed what, as the paper has it."""
    squares = ((deltas[:, None] - deltas[None]) ** 2).sum(axis=2)
    own = ((deltas - point) ** 2).sum(axis=1)
    return (own.max(), squares.max()) if kind is MinMax else (own.sum(), squares.sum(axis=1).max())


def scanned(kind: type[Optimized], center: Array, way: Array, deltas: Array) -> float:
    """The largest gamma within the bound, by steps that get finer."""
    gamma, step = 0.0, 64.0
    while step > 1e-9:
        inside, bound = bounds(kind, center + (gamma + step) * way, deltas)
        if inside <= bound:
            gamma += step
        else:
            step /= 2
    return gamma


@pytest.mark.parametrize("kind", [MinMax, MinSum])
@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
@pytest.mark.parametrize("seed", range(5))
def test_no_longer_step_is_within_the_bound(kind: type[Optimized], direction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    deltas = rng.normal(1.0, rng.uniform(0.1, 3), size=(int(rng.integers(2, 9)), 12))
    center = deltas.mean(axis=0)
    ways = {"std": -deltas.std(axis=0, ddof=1), "unit": -center / np.linalg.norm(center), "sign": -np.sign(center)}
    way = ways[direction]
    found = sent(kind(direction=direction), deltas)  # type: ignore[arg-type]
    gamma = float((found - center) @ way / (way @ way))
    assert gamma == pytest.approx(scanned(kind, center, way, deltas), abs=1e-6)
    inside, bound = bounds(kind, found, deltas)
    assert inside == pytest.approx(bound, rel=1e-9), "neither broken by 0.01 nor left unused"


def test_a_step_may_be_longer_than_twenty() -> None:
    """A search that halves its step from 10 cannot pass 20, one that stops at 5 cannot pass 5."""
    deltas = np.array([[0.0, 100.0], [0.0, -100.0], [0.3, 0.0]])  # the unit step is along the first coordinate
    assert sent(MinMax(direction="unit"), deltas)[0] == pytest.approx(0.1 - 173.3, abs=0.2)
    assert sent(MinSum(direction="unit"), deltas)[0] == pytest.approx(0.1 - 100.0, abs=0.2)


@pytest.mark.parametrize("kind", [MinMax, MinSum])
@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
def test_equal_and_zero_updates_give_their_mean(kind: type[Optimized], direction: str) -> None:
    attack = kind(direction=direction)  # type: ignore[arg-type]
    np.testing.assert_allclose(sent(attack, [[1.0, 2.0]] * 3), [1.0, 2.0], atol=1e-6)
    assert sent(attack, [[0.0, 0.0]] * 3).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", [MinMax, MinSum])
def test_who_knows_only_their_own_collude_on_these(kind: type[Optimized]) -> None:
    own = [client(i, delta, ROUND) for i, delta in enumerate(HONEST)]
    found = [delta_of(update, ROUND).numpy() for update in kind(knowledge="own").alter(own, own, ROUND)]
    for each in found:
        np.testing.assert_allclose(each, sent(kind(), HONEST), atol=1e-12)


@pytest.mark.parametrize("kind", [MinMax, MinSum])
def test_it_rests_where_one_update_has_no_distances_and_refuses_where_all_rounds_are_so(kind: type[Optimized]) -> None:
    assert kind().rests([OWN], [OWN, client(0, [1.0, 1.0], ROUND)], ROUND)
    assert not kind().rests([OWN], [OWN, client(0, [1.0, 1.0], ROUND), client(2, [1.0, 2.0], ROUND)], ROUND)
    with pytest.raises(ValueError, match="^knowledge must be all with fewer than 2 malicious clients"):
        kind(knowledge="own").setup(num_clients=4, num_malicious=1, clients_per_round=4, rounds=2)
    with pytest.raises(ValueError, match="^fl.clients_per_round must be at least 3"):
        kind().setup(num_clients=4, num_malicious=1, clients_per_round=2, rounds=2)
    with pytest.raises(ValueError, match="^fl.num_clients must be at least 3, so that the attack has two updates"):
        kind().setup(num_clients=2, num_malicious=1, clients_per_round=2, rounds=2)


def test_in_words() -> None:
    assert (str(MinMax()), str(MinSum(direction="sign"))) == ("Min-Max along std", "Min-Sum along sign")
