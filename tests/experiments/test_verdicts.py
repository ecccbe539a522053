"""The rule by which claims of the paper are judged, on numbers small enough to check by hand."""

import pytest

from experiments.reproduction.artefact import EXPERIMENTS
from experiments.reproduction.command import NAMES
from experiments.reproduction.plan import DEFENSES, NONE, SIZES, Arm
from experiments.reproduction.verdicts import KINDS, Claim, interval, judge, read_claims

# Three seeds: mean difference 2, standard deviation 1; t(0.975, 2) = 4.3027, so the interval is 2 ± 2.484.
ARMS = {
    "a": {"x": {0: 3.0, 1: 5.0, 2: 7.0}, "y": {0: 1.0}},
    "b": {"x": {0: 2.0, 1: 3.0, 2: 4.0}},
    "near": {"x": {0: 3.01, 1: 4.99, 2: 7.0}},
    "far": {"x": {0: 13.01, 1: 14.99, 2: 17.0}},
}


def claim(kind: str, arms: str = "a", than: str = "b", **more: object) -> Claim:
    return Claim("says", "x", tuple(arms), kind, than=(than,), **more)  # type: ignore[arg-type]


def test_the_interval_is_students() -> None:
    low, high = interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "arms", "than", "margin", "verdict"),
    [
        ("higher", "a", "b", 0.0, "not shown"),  # 2 ± 2.48
        ("higher", "far", "a", 0.0, "shown"),
        ("higher", "a", "far", 0.0, "reversed"),
        ("lower", "a", "far", 0.0, "shown"),
        ("lower", "far", "a", 0.0, "reversed"),
        ("lower", "a", "b", 0.0, "not shown"),
        ("equal", "near", "a", 0.1, "shown"),  # 0 ± 0.025
        ("equal", "near", "a", 0.01, "not shown"),
        ("equal", "far", "a", 0.1, "reversed"),
        ("equal", "a", "far", 0.1, "reversed"),
        ("equal", "a", "b", 4.0, "not shown"),  # 2 ± 2.48 does not lie within ± 4
        ("equal", "a", "b", 4.5, "shown"),
    ],
)
def test_each_verdict(kind: str, arms: str, than: str, margin: float, verdict: str) -> None:
    assert judge(Claim("says", "x", (arms,), kind, than=(than,), margin=margin), ARMS).verdict == verdict


def test_a_relative_margin_is_a_share_of_the_other_side() -> None:
    half = Claim("says", "x", ("b",), "equal", than=("a",), margin=0.5, relative=True)  # 5 on average: 2.5
    assert judge(half, ARMS).verdict == "not shown"
    assert judge(Claim("says", "x", ("b",), "equal", than=("a",), margin=0.9, relative=True), ARMS).verdict == "shown"


def test_arms_are_averaged_within_a_seed() -> None:
    verdict = judge(Claim("says", "x", ("a", "b"), "higher", than=("b",)), ARMS)
    assert verdict.difference == pytest.approx(1.0)
    assert verdict.seeds == 3


def test_a_number_to_compare_with() -> None:
    verdict = judge(Claim("says", "x", ("b",), "higher", value=1.0), ARMS)
    assert verdict.difference == pytest.approx(2.0)


@pytest.mark.parametrize(("figure", "than", "seeds"), [("y", "a", 1), ("y", "b", 0), ("z", "a", 0), ("x", "nobody", 0)])
def test_no_verdict_without_two_seeds(figure: str, than: str, seeds: int) -> None:
    verdict = judge(Claim("says", figure, ("a",), "higher", than=(than,)), ARMS)
    assert (verdict.verdict, verdict.low, verdict.high, verdict.seeds) == ("not shown", None, None, seeds)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of higher, lower, equal; got 'more'"):
        Claim("says", "x", ("a",), "more")


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_speaks_of_arms_that_there_are(name: str) -> None:
    claims = read_claims(EXPERIMENTS / name / "claims.yaml")
    assert claims
    known = {str(Arm("isic", defense, size)) for defense in (NONE, *DEFENSES) for size in (0, *SIZES)}
    for each in claims:
        assert each.kind in KINDS
        assert each.says
        assert (each.margin > 0) == (each.kind == "equal")
        if name != "figure7":
            assert set(each.arms) | set(each.than) <= known
