"""The rule by which claims of the paper are judged, on numbers small enough to check by hand."""

import pytest

from experiments.reproduction.artefact import EXPERIMENTS
from experiments.reproduction.command import NAMES
from experiments.reproduction.plan import DEFENSES, NONE, SIZES, Arm
from experiments.reproduction.verdicts import KINDS, Claim, Values, expand, interval, judge, paired, read_claims

CURVES = ("real only", "vanilla", "attacked", "feddetect")
# Three seeds: mean difference 2, standard deviation 1; t(0.975, 2) = 4.3027, so the interval is 2 ± 2.484.
ARMS = {
    "a": {"x": {0: 3.0, 1: 5.0, 2: 7.0}, "y": {0: 1.0}},
    "b": {"x": {0: 2.0, 1: 3.0, 2: 4.0}},
    "near": {"x": {0: 3.01, 1: 4.99, 2: 7.0}},
    "far": {"x": {0: 13.01, 1: 14.99, 2: 17.0}},
}


def test_the_interval_is_students() -> None:
    low, high = interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "arms", "than", "margin", "verdict"),
    [
        ("higher", "a", "b", 0.0, "not shown"),  # 2 ± 2.48
        ("higher", "far", "a", 0.0, "shown"),  # 10 ± 0.025
        ("higher", "a", "far", 0.0, "reversed"),
        ("lower", "a", "far", 0.0, "shown"),
        ("lower", "far", "a", 0.0, "reversed"),
        ("lower", "a", "b", 0.0, "not shown"),
        ("at_most", "near", "a", 0.1, "shown"),  # 0 ± 0.025
        ("at_most", "near", "a", 0.01, "not shown"),
        ("at_most", "far", "a", 0.1, "reversed"),
        ("at_most", "a", "far", 0.1, "shown"),  # better than that is no failure
        ("at_most", "a", "b", 4.0, "not shown"),  # 2 ± 2.48 does not lie below 4
        ("at_most", "a", "b", 4.5, "shown"),
        ("at_least", "near", "a", 0.1, "shown"),
        ("at_least", "far", "a", 0.1, "shown"),
        ("at_least", "a", "far", 0.1, "reversed"),
        ("at_least", "b", "a", 4.5, "shown"),
        ("at_least", "b", "a", 4.0, "not shown"),
    ],
)
def test_each_verdict(kind: str, arms: str, than: str, margin: float, verdict: str) -> None:
    assert judge(Claim("says", "x", (arms,), kind, than=(than,), margin=margin), ARMS).verdict == verdict


def test_arms_are_averaged_within_a_seed() -> None:
    verdict = judge(Claim("says", "x", ("a", "b"), "higher", than=("b",)), ARMS)
    (comparison,) = verdict.comparisons
    assert comparison.difference == pytest.approx(1.0)
    assert comparison.seeds == 3


@pytest.mark.parametrize(
    ("arms", "than", "rather", "verdict"),
    [
        ("near", "a", "far", "shown"),
        ("near", "far", "a", "reversed"),
        ("b", "far", "a", "reversed"),  # beyond the one, away from the other
        ("a", "near", "near", "not shown"),
        ("a", "near", "nobody", "not judged"),
    ],
)
def test_nearer_is_about_distances(arms: str, than: str, rather: str, verdict: str) -> None:
    claim = Claim("says", "x", (arms,), "nearer", than=(than,), rather_than=(rather,))
    assert judge(claim, ARMS).verdict == verdict


def test_nearer_of_each() -> None:
    """10 and 10 away from b's 2 ± 1, and at once with a and far."""
    claim = Claim("says", "x", ("near", "near"), "nearer", than=("a",), rather_than=("far", "b"), each=True)
    verdict = judge(claim, ARMS)
    assert [round(each.difference, 1) for each in verdict.comparisons] == [-10.0, -2.0]
    assert verdict.verdict == "not shown", "the second interval holds 0"


def test_a_claim_that_says_rather_than_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="rather_than must be given with kind nearer and no other"):
        Claim("says", "x", ("a",), "lower", than=("b",), rather_than=("far",))
    with pytest.raises(ValueError, match="rather_than"):
        Claim("says", "x", ("a",), "nearer", than=("b",))


def test_sides_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="each must be 0, 1 or 3 arms on a side of this claim"):
        judge(Claim("says", "x", ("a", "b"), "higher", than=("a", "b", "far"), each=True), ARMS)


def test_a_number_to_compare_with() -> None:
    (comparison,) = judge(Claim("says", "x", ("b",), "higher", value=1.0), ARMS).comparisons
    assert comparison.difference == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("arms", "than", "verdict", "comparisons"),
    [
        (("far", "a"), ("b",), "not shown", 2),  # one shows it, one does not
        (("far", "far"), ("a", "near"), "shown", 2),
        (("a",), ("far", "far"), "reversed", 2),
        (("far",), ("a", "nobody"), "not judged", 1),
    ],
)
def test_each_arm_alone(arms: tuple[str, ...], than: tuple[str, ...], verdict: str, comparisons: int) -> None:
    """The mean would show it: the trigger that is strongest beats every other, not their mean."""
    found = judge(Claim("says", "x", arms, "higher", than=than, each=True), ARMS)
    assert (found.verdict, len(found.comparisons)) == (verdict, comparisons)


def test_arms_by_pattern() -> None:
    curve = {
        f"d: {arm} @ {n}": {"x": {0: base + n, 1: base + n}} for arm, base in (("p", 1), ("q", 0)) for n in (1, 50, 500)
    }
    low = judge(Claim("says", "x", ("d: p @ ?", "d: p @ ??"), "higher", than=("d: q @ ?", "d: q @ ??")), curve)
    assert low.comparisons[0].difference == 1.0
    high = judge(Claim("says", "x", ("d: p @ [345]00",), "higher", than=("d: q @ ?",)), curve)
    assert high.comparisons[0].difference == 500.0
    none = judge(Claim("says", "x", ("d: p @ 9*",), "higher", than=("d: q @ ?",)), curve)
    assert none.verdict == "not judged"


@pytest.mark.parametrize(
    ("figure", "than", "seeds"), [("y", "a", [1]), ("y", "b", []), ("z", "a", []), ("x", "no", [])]
)
def test_no_verdict_without_two_seeds(figure: str, than: str, seeds: list[int]) -> None:
    verdict = judge(Claim("says", figure, ("a",), "higher", than=(than,)), ARMS)
    assert verdict.verdict == "not judged"
    assert [each.seeds for each in verdict.comparisons] == seeds


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of higher, lower, at_most, at_least, nearer; got 'more'"):
        Claim("says", "x", ("a",), "more")


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_speaks_of_arms_that_there_are(name: str) -> None:
    claims = read_claims(EXPERIMENTS / name / "claims.yaml")
    assert claims
    arms = [str(Arm("isic", defense, size)) for defense in (NONE, *DEFENSES) for size in (0, *SIZES)]
    if name == "figure7":
        numbers = (0, 1, 10, 50, 100, 200, 300, 400, 500)
        arms = [f"{data}: {arm} @ {n}" for data in ("isic", "chestx") for arm in CURVES for n in numbers]
    known: Values = {arm: {} for arm in arms}
    for each in claims:
        assert each.kind in KINDS
        assert each.says
        assert (each.margin > 0) == (each.kind in ("at_most", "at_least"))
        if each.each:
            assert paired(*(expand(side, known) for side in (each.arms, each.than, each.rather_than)))
        for arm in (*each.arms, *each.than, *each.rather_than):
            assert expand((arm,), known)
            assert set(expand((arm,), known)) <= set(known), arm
