"""The rule by which claims of the paper are judged, on numbers small enough to check by hand."""

from math import log
from typing import Any, get_args

import pytest

from experiments.paper import NAMES, PAPER
from experiments.paper.claims import Claim, Kind, Values, claims_of, expand, paired, read_claims
from experiments.paper.inference import interval
from experiments.paper.plan import CENTRALIZED, DEFENSES, NONE, SIZES, Arm
from experiments.paper.verdicts import RULE, Comparison, Verdict, judge, judge_all
from experiments.paper.writing import counted, judged, verdict_rows

CURVES = ("real only", "vanilla", "attacked", "feddetect", "generator_audit", "centralized")
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
        ("at_most", "a", "b", 4.0, "not shown"),  # 2 ± 2.48 is not below 4
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
    assert verdict.verdict == "not shown", "the second interval contains 0"


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
    ("metric", "than", "seeds"), [("y", "a", [1]), ("y", "b", []), ("z", "a", []), ("x", "no", [])]
)
def test_no_verdict_without_two_seeds(metric: str, than: str, seeds: list[int]) -> None:
    verdict = judge(Claim("says", metric, ("a",), "higher", than=(than,)), ARMS)
    assert verdict.verdict == "not judged"
    assert [each.seeds for each in verdict.comparisons] == seeds


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="higher, lower, at_most, at_least, nearer, succeeds; got 'more'"):
        Claim("says", "x", ("a",), "more")


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_speaks_of_arms_that_there_are(name: str) -> None:
    claims = read_claims(PAPER / name / "claims.yaml")
    assert claims
    arms = [str(Arm("isic", defense, size)) for defense in (NONE, CENTRALIZED, *DEFENSES) for size in (0, *SIZES)]
    if name == "figure7":
        numbers = (0, 1, 10, 50, 100, 200, 300, 400, 500)
        arms = [f"{data}: {arm} @ {n}" for data in ("isic", "chestx") for arm in CURVES for n in numbers]
    known: Values = {arm: {} for arm in arms}
    for each in claims:
        assert each.kind in get_args(Kind)
        assert each.says
        assert (each.margin > 0) == (each.kind in ("at_most", "at_least", "succeeds"))
        if each.each:
            assert paired(*(expand(side, known) for side in (each.arms, each.than, each.rather_than)))
        for arm in (*each.arms, *each.than, *each.rather_than):
            assert expand((arm,), known)
            assert set(expand((arm,), known)) <= set(known), arm


# Claims that count successes


def federations(outcomes: list[float], control: float = 0.0) -> Values:
    """An arm with these emissions, and its own control, by seed."""
    return {"a": {"x": dict(enumerate(outcomes)), "control_x": dict.fromkeys(range(len(outcomes)), control)}}


STOPPED = Claim("stopped in most", "x", ("a",), "succeeds", than=("a",), than_metric="control_x", margin=0.05)


@pytest.mark.parametrize(
    ("failures", "seeds", "verdict"),
    [
        (0, 10, "shown"),
        (1, 10, "shown"),  # Clopper-Pearson 0.555 to 0.997
        (2, 10, "not shown"),  # 0.444 to 0.975
        (8, 10, "not shown"),
        (9, 10, "reversed"),
        (0, 9, "not judged"),  # 0.664 to 1: too few seeds, whatever came out
        (0, 3, "not judged"),
    ],
)
def test_a4_successes_are_counted_over_ten_seeds_at_least(failures: int, seeds: int, verdict: str) -> None:
    found = judge(STOPPED, federations([0.82] * failures + [0.0] * (seeds - failures)))
    assert found.verdict == verdict
    assert found.comparisons[0].successes == seeds - failures
    assert (found.p is None) == (verdict == "not judged")


def test_a4_three_of_three_are_reported_with_their_interval_and_not_judged() -> None:
    """0.025 ** (1 / 3) = 0.292: a chance of success of 0.3 is compatible with three of three."""
    (row,) = verdict_rows([judge(STOPPED, federations([0.0, 0.0, 0.01]))])
    assert (row["verdict"], row["difference"], row["95 % interval"]) == ("not judged", "3 of 3 succeed", "0.292 to 1")
    assert (row["p"], row["p after Holm"], row["seeds"]) == ("-", "-", "3")


def test_a4_each_success_is_decided_against_its_own_control() -> None:
    """In seed 0 both are high (no failure), in seed 1 only the attacked one; their means would hide both."""
    values = {"a": {"x": {0: 0.9, 1: 0.3, 2: 0.05}, "control_x": {0: 0.9, 1: 0.0, 2: 0.0}}}
    (comparison,) = judge(STOPPED, values).comparisons
    assert (comparison.successes, comparison.seeds) == (2, 3), "the third is on the margin: at most"


def test_a4_a_federation_that_fails_now_and_then_is_no_longer_shown_to_succeed() -> None:
    """One failure in six of size 0.82: the mean of three seeds without one was 'at most 0.05 more: shown'."""
    lucky = federations([0.0, 0.001, 0.0])
    at_most = Claim("stopped", "x", ("a",), "at_most", than=("a",), than_metric="control_x", margin=0.05)
    assert judge(at_most, lucky).verdict == "shown"
    assert judge(STOPPED, lucky).verdict == "not judged"


def test_a4_the_claimed_share_is_a_setting() -> None:
    most = federations([0.82] + [0.0] * 19)  # 19 of 20: 0.751 to 0.999
    claims = [Claim("says", "x", ("a",), "succeeds", margin=0.05, share=share) for share in (0.7, 0.8, 0.9995)]
    assert [judge(claim, most).verdict for claim in claims] == ["shown", "not shown", "reversed"]
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"^share must be a number in \(0, 1\); got"):
            Claim("says", "x", ("a",), "succeeds", share=share)
    with pytest.raises(ValueError, match="^share must be given with kind succeeds and no other; got 0.9$"):
        Claim("says", "x", ("a",), "at_most", share=0.9)


# Claims in words, and from a file


@pytest.mark.parametrize(
    ("settings", "how", "compared_with"),
    [
        ({"kind": "higher", "than": ("b", "c", "b")}, "higher", "b, c"),
        ({"kind": "lower", "value": 0.5}, "lower", "0.5"),
        ({"kind": "at_most", "margin": 0.1, "than": ("a",), "than_metric": "y"}, "at most + 0.1", "y of a"),
        ({"kind": "at_least", "margin": 0.1, "than": ("b",)}, "at least - 0.1", "b"),
        ({"kind": "at_least", "than": ("b",)}, "at least", "b"),
        ({"kind": "nearer", "than": ("b",), "rather_than": ("c", "d")}, "nearer", "b rather than c, d"),
        ({"kind": "higher", "than": ("b",), "each": True}, "each higher", "b"),
        ({"kind": "succeeds", "share": 0.8}, "at most, in more than 80 % of the federations", "0"),
    ],
)
def test_a_claim_in_words(settings: dict[str, Any], how: str, compared_with: str) -> None:
    claim = Claim("says", "x", ("a",), **settings)
    assert (claim.how, claim.compared_with) == (how, compared_with)


def test_claims_of_an_entry_as_yaml_has_it() -> None:
    entry = {
        "says": "FedDetect wins",
        "metric": "x",
        "arms": ["FedDetect 16"],
        "kind": "lower",
        "than": ["FedDetect 0"],
    }
    own = Claim("FedDetect wins", "x", ("FedDetect 16",), "lower", than=("FedDetect 0",))
    assert claims_of(entry) == [own]
    mean = Claim("Not in the paper: B wins", "x", ("B 16",), "lower", than=("B 0",))
    assert claims_of({**entry, "also_for": ["B"]}) == [own, mean]


# p values, and Holm's correction over the claims of a table or figure


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind != "nearer"])
@pytest.mark.parametrize("shift", [-1.0, -0.06, -0.049, 0.0, 0.03, 0.049, 0.06, 1.0])
def test_a4_p_is_below_5_percent_exactly_where_something_is_shown_or_reversed(kind: str, shift: float) -> None:
    noise = [0.01, -0.02, 0.0, 0.03, -0.01, 0.02, -0.03, 0.0, 0.01, -0.01, 0.004]
    claim = Claim("says", "x", ("a",), kind, than=("a",), than_metric="control_x", margin=0.05)
    found = judge(claim, federations([shift + each for each in noise]))
    assert found.p is not None
    assert (found.p < 0.05) == (found.verdict in ("shown", "reversed"))
    (comparison,) = found.comparisons
    assert comparison.low is not None
    assert comparison.high is not None
    outside = not comparison.low <= claim.bound <= comparison.high
    assert (found.p < 0.05) == outside, "the interval says the same"


def test_a4_p_of_a_t_test_by_hand() -> None:
    """Differences 1, 2, 3: t = 2 / (1 / sqrt 3), two degrees of freedom; p = 1 - t / sqrt(t^2 + 2) = 0.0742."""
    (row,) = verdict_rows(judge_all([Claim("says", "x", ("a",), "higher", than=("b",))], ARMS))
    assert judge(Claim("says", "x", ("a",), "higher", than=("b",)), ARMS).p == pytest.approx(1 - 12**0.5 / 14**0.5)
    assert (row["p"], row["p after Holm"]) == ("0.074", "0.074")


def test_a4_p_against_the_margins_end() -> None:
    """Differences 1, 2, 3 against 4.5: t = 2.5 * sqrt 3."""
    t = 2.5 * 3**0.5
    found = judge(Claim("says", "x", ("a",), "at_most", than=("b",), margin=4.5), ARMS)
    assert found.p == pytest.approx(1 - t / (t**2 + 2) ** 0.5)
    assert found.verdict == "shown"
    mirrored = judge(Claim("says", "x", ("b",), "at_least", than=("a",), margin=4.5), ARMS)
    assert mirrored.p == pytest.approx(found.p)


def test_a4_p_of_each_is_the_largest() -> None:
    alone = [judge(Claim("says", "x", (arm,), "higher", than=("b",)), ARMS).p for arm in ("far", "a")]
    both = judge(Claim("says", "x", ("far", "a"), "higher", than=("b",), each=True), ARMS)
    assert both.p == max(each for each in alone if each is not None)
    assert both.p == alone[1]


def test_a4_each_that_points_to_both_sides_shows_nothing() -> None:
    """far is shown to be higher than a, b (with less noise) lower; together that is no verdict, and no small p."""
    apart = {"up": {"x": {0: 1.0, 1: 1.01}}, "down": {"x": {0: -1.0, 1: -1.01}}, "mid": {"x": {0: 0.0, 1: 0.0}}}
    found = judge(Claim("says", "x", ("up", "down"), "higher", than=("mid",), each=True), apart)
    assert (found.verdict, found.p) == ("not shown", 1.0)


def spread(shift: float) -> dict[int, float]:
    """Four seeds around ``shift``, standard deviation 1."""
    return {seed: shift + each for seed, each in enumerate((-1.2247449, 0.0, 0.0, 1.2247449))}


def test_a4_holm_is_over_the_claims_that_are_judged() -> None:
    """t = 2 * shift, three degrees of freedom: p = 0.0138, 0.0171 and 0.43; a fourth claim has no metric."""
    values: Values = {"a": {"p": spread(2.6), "q": spread(2.4), "r": spread(0.45)}}
    claims = [Claim(each, each, ("a",), "higher") for each in "pqrs"]
    verdicts = judge_all(claims, values)
    assert [v.verdict for v in verdicts] == ["shown", "shown", "not shown", "not judged"]
    raw = [v.p for v in verdicts if v.p is not None]
    assert raw == pytest.approx([0.0138, 0.0172, 0.434], abs=5e-4)
    assert [v.p_holm for v in verdicts] == pytest.approx([3 * raw[0], 3 * raw[0], raw[2], None])
    assert [v.after_holm for v in verdicts] == ["shown", "shown", "not shown", "not judged"]
    more = judge_all([*claims, *(Claim("more", "r", ("a",), "higher") for _ in range(3))], values)
    assert [v.after_holm for v in more[:2]] == ["not shown", "not shown"], "among six claims they no longer stand"
    assert [v.verdict for v in more[:2]] == ["shown", "shown"]


def test_a4_results_say_how_many_claims_they_judge_and_how_many_stand() -> None:
    comparison = (Comparison(1.0, 0.5, 1.5, 3, 0.01),)
    claim = Claim("says", "x", ("a",), "higher")
    verdicts = [
        Verdict(claim, "shown", comparison, 0.001, 0.003),
        Verdict(claim, "shown", comparison, 0.04, 0.08),
        Verdict(claim, "reversed", comparison, 0.03, 0.09),
        Verdict(claim, "not judged", (), None, None),
    ]
    assert counted(verdicts) == (
        "4 claims, 3 of them judged. Nominally, at 5 % each: 2 shown and 1 reversed. "
        "After Holm's correction over the 3: 1 shown and 0 reversed."
    )
    rows = verdict_rows(verdicts)
    assert [(row["verdict"], row["after Holm"]) for row in rows] == [
        ("shown", "shown"),
        ("shown", "not shown"),
        ("reversed", "not shown"),
        ("not judged", "not judged"),
    ]


def test_a4_a_p_value_of_5_percent_is_not_below_it() -> None:
    claim = Claim("says", "x", ("a",), "higher")
    found = [Verdict(claim, "shown", (), p, p).after_holm for p in (0.0499, 0.05)]
    assert found == ["shown", "not shown"]


# Claims made after metrics had been seen, and claims about the rules that are not the paper's


def test_a4_a_post_hoc_claim_is_marked_wherever_its_verdict_is_shown() -> None:
    marked = judge(Claim("seen before", "x", ("a",), "higher", than=("b",), post_hoc="2026-01-01: why"), ARMS)
    plain = judge(Claim("made before", "x", ("a",), "higher", than=("b",)), ARMS)
    assert [row["claim"] for row in verdict_rows([marked, plain])] == ["seen before †", "made before"]
    text = "\n".join(judged([marked, plain]))
    assert "| seen before † |" in text
    assert "† Post hoc: 2026-01-01: why." in text
    assert "† marks a claim made post hoc" in RULE
    assert "†" not in "\n".join(judged([plain]))


@pytest.mark.parametrize(
    ("name", "metric", "known"),
    [
        ("table2", "log_loss_ratio", "7562ea7: judged on logarithms after the verdicts"),
        ("figure3", "pattern_emission", "0fa0f73: added after Figure 3"),
        ("figure5", "pattern_emission", "0fa0f73: added after Figure 3"),
        ("table3", "weight_of_malicious", "counted by seed"),
        ("table4", "weight_of_malicious", "counted by seed"),
        ("figure6", "emission", "2026-11-2"),
    ],
)
def test_a4_claims_known_to_be_post_hoc_are_marked(name: str, metric: str, known: str) -> None:
    """As `git log -- experiments/paper/NAME/claims.yaml` and sections 10 to 12 of experiments/LOG.md have it."""
    claims = [c for c in read_claims(PAPER / name / "claims.yaml") if c.metric == metric]
    reasons = [c.post_hoc for c in claims if "audit" not in c.says]  # whose claims came before its runs
    assert reasons
    assert all(known in reason for reason in reasons)


def test_a4_reconstruction_is_compared_post_hoc_on_chest_x_rays() -> None:
    claims = read_claims(PAPER / "figure6" / "claims.yaml")
    about = [c for c in claims if "reconstruction takes no effect" in c.says or "outperforms reconstruction" in c.says]
    assert len(about) == 4, "the paper's two, and one for each of the other rules"
    assert all("7562ea7: added after the verdicts" in claim.post_hoc for claim in about)


@pytest.mark.parametrize("name", ["table3", "table4", "figure5", "figure6"])
def test_a1_the_papers_claims_are_of_its_own_rule_and_are_repeated_for_the_other_rules(name: str) -> None:
    claims = read_claims(PAPER / name / "claims.yaml")
    variants = [c for c in claims if any("FedDetect (" in arm for arm in c.arms)]
    published = [c for c in claims if any(arm.startswith("FedDetect ") for arm in c.arms) and c not in variants]
    assert published
    assert len(variants) == 2 * len(published)
    assert all(c.says.startswith("Not in the paper: ") for c in variants)
    for variant in ("FedDetect (code)", "FedDetect (mean)"):
        own = [c for c in variants if c.arms == tuple(f"{variant} {size}" for size in SIZES)]
        assert [(c.metric, c.kind, c.margin) for c in own] == [(c.metric, c.kind, c.margin) for c in published]
        assert all(variant in c.says or "FedDetect" not in c.says for c in own)


@pytest.mark.parametrize(
    ("name", "count"), [("table1", 1), ("table3", 5), ("table4", 5), ("figure5", 3), ("figure6", 2), ("figure7", 4)]
)
def test_claims_about_what_is_not_in_the_paper_are_marked_and_made_before_its_runs(name: str, count: int) -> None:
    """In the words of FedDetect's claims, by the same metric, kind and margin."""
    claims = read_claims(PAPER / name / "claims.yaml")
    own = [c for c in claims if any(word in " ".join((*c.arms, *c.than)) for word in ("audit", "centralized"))]
    assert len(own) == count
    assert all(c.says.startswith("Not in the paper: ") and not c.post_hoc for c in own)
    rules = {(c.metric, c.kind, c.margin, c.each) for c in claims if c not in own}
    alone = {"log_frechet_classifier", "benign_flags"}  # nothing of the kind is claimed of FedDetect
    assert {(c.metric, c.kind, c.margin, c.each) for c in own if c.metric not in alone} <= rules


def test_a_quarter_more_is_about_as_good_and_half_as_much_again_is_not() -> None:
    """The margin of the claim about centralized training, on distances that differ by their factor alone."""
    (claim,) = [c for c in read_claims(PAPER / "table1" / "claims.yaml") if c.than == ("centralized",)]
    noise = (-0.02, 0.0, 0.01, 0.01)

    def verdict(factor: float) -> str:
        sides = {"vanilla": [log(factor) + each for each in noise], "centralized": [0.0] * len(noise)}
        values = {arm: {claim.metric: dict(enumerate(each))} for arm, each in sides.items()}
        return judge(claim, values).verdict

    assert [verdict(factor) for factor in (0.5, 1.0, 1.2, 1.25, 1.3, 1.5)] == [
        *("shown", "shown", "shown", "not shown", "reversed", "reversed")
    ]
