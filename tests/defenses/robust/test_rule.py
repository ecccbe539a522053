"""How many malicious clients a rule tolerates, and how its weights meet those of other defenses."""

from collections.abc import Sequence

import pytest

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.rule import Condition, WeightRule
from tests.helpers.rules import TOY, round_of, served, updates_of


class Given(WeightRule):
    """Rates clients as it was told to."""

    condition = Condition(2, 1)

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self.rates = rates

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[float]:
        return self.rates


@pytest.mark.parametrize(
    ("condition", "tolerated"),
    [
        (Condition(2, 1), (1, 3, 7, 31)),
        (Condition(2, 3), (0, 2, 6, 30)),
        (Condition(4, 3), (0, 1, 3, 15)),
        (Condition(2, 1, at_least=10), (0, 0, 7, 31)),
    ],
    ids=["median", "krum", "bulyan", "multi_metrics"],
)
def test_how_many_are_tolerated(condition: Condition, tolerated: tuple[int, ...]) -> None:
    assert tuple(condition.tolerates(n) for n in (4, 8, 16, 64)) == tolerated
    for n, most in zip((4, 8, 16, 64), tolerated, strict=True):
        assert most == 0 or condition.least(most) <= n
        assert condition.least(most + 1) > n


def test_weights_do_not_believe_what_clients_state() -> None:
    """In the toy, client 4 states a million images; Flower's Multi-Krum and others would give it nearly all."""
    weights = served(Given([1.0, 1.0, 0.0, 0.0, 2.0]), updates_of(TOY), round_of(5))[1].weights
    assert weights == {0: 0.25, 1: 0.25, 2: 0.0, 3: 0.0, 4: 0.5}


def test_who_was_dropped_before_stays_dropped() -> None:
    before = {0: 0.0, 1: 0.9, 2: 0.1}
    decision = Given([1.0, 1.0, 1.0]).reweight(updates_of(TOY[:3]), before, round_of(3))
    assert decision.weights == {0: 0.0, 1: 0.5, 2: 0.5}
    assert not decision.flagged


def test_where_nobody_would_be_left_weights_stay() -> None:
    before = {0: 0.0, 1: 0.9, 2: 0.1}
    decision = Given([1.0, 0.0, 0.0]).reweight(updates_of(TOY[:3]), before, round_of(3))
    assert decision.weights == before
    assert not decision.flagged


def test_who_is_dropped_is_flagged_by_id() -> None:
    equal = dict.fromkeys((2, 5, 7), 1 / 3)
    decision = Given([1.0, 0.0, 1.0]).reweight(updates_of(TOY[:3], ids=(2, 5, 7)), equal, round_of(8))
    assert decision.flagged == {5}


def test_a_round_with_too_few_updates_stops_the_run_and_names_the_setting() -> None:
    rule = Given([1.0, 1.0])
    rule.setup(num_clients=3, clients_per_round=3, rounds=2)
    least = "fl.min_clients must be at least 3 for Given to tolerate 1 malicious client"
    said = rf"{least} \(N >= 2 f \+ 1; 2 tolerate 0\); got 2"
    with pytest.raises(ValueError, match=f"^{said}$"):
        rule.check_present(updates_of(TOY[:2]))
