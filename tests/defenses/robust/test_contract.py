"""What is true of every robust rule."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fedgan.defenses.base import Defense
from fedgan.defenses.robust.bucketing import Bucketing
from fedgan.defenses.robust.bulyan import Bulyan
from fedgan.defenses.robust.centered_clipping import CenteredClipping
from fedgan.defenses.robust.dnc import DnC
from fedgan.defenses.robust.flame import Flame
from fedgan.defenses.robust.foolsgold import FoolsGold
from fedgan.defenses.robust.geometric_median import GeometricMedian
from fedgan.defenses.robust.krum import Krum
from fedgan.defenses.robust.median import Median
from fedgan.defenses.robust.multi_metrics import MultiMetrics
from fedgan.defenses.robust.norm_clipping import NormClipping
from fedgan.defenses.robust.robust_learning_rate import RobustLearningRate
from fedgan.defenses.robust.rule import RobustRule
from fedgan.defenses.robust.trimmed_mean import TrimmedMean
from tests.helpers.rules import parameters_of, round_of, served, state_of, updates_of

Make = Callable[[], Defense]
RULES: dict[str, Make] = {
    "bucketing": Bucketing,
    "bulyan": Bulyan,
    "centered_clipping": CenteredClipping,
    "dnc": DnC,
    "flame": lambda: Flame(noise=0),
    "foolsgold": FoolsGold,
    "geometric_median": GeometricMedian,
    "krum": lambda: Krum(selected=1),
    "median": Median,
    "multi_krum": Krum,
    "multi_metrics": MultiMetrics,
    "norm_clipping": NormClipping,
    "robust_learning_rate": RobustLearningRate,
    "trimmed_mean": TrimmedMean,
}
# The fewest clients of a round with one malicious client.
LEAST = dict.fromkeys(RULES, 3) | {"bucketing": 5, "bulyan": 7, "krum": 5, "multi_krum": 5, "multi_metrics": 10}
LEAST["norm_clipping"] = 2
DROPPING = ("dnc", "flame", "foolsgold", "krum", "multi_krum", "multi_metrics")
N = 12


@pytest.fixture(params=sorted(RULES))
def make(request: pytest.FixtureRequest) -> Make:
    return RULES[request.param]


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    """A division by zero is a warning of numpy's."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error", RuntimeWarning)
        yield


def drawn(seed: int = 0, size: int = 9) -> np.ndarray:
    """Updates with a common direction; the last client's stands out."""
    rng = np.random.default_rng(seed)
    deltas = rng.normal(size=size) + 0.7 * rng.normal(size=(N, size))
    deltas[-1] *= -8
    return deltas


def test_identical_updates_come_out_as_they_are(make: Make) -> None:
    deltas = np.tile([1.0, -2.0, 3.0], (N, 1))
    state, decision = served(make(), updates_of(deltas), round_of(N, 3))
    np.testing.assert_allclose(parameters_of(state), [1.0, -2.0, 3.0], rtol=1e-9)
    assert not decision.flagged


def test_a_shift_of_all_states_shifts_the_aggregate_and_changes_no_verdict(make: Make) -> None:
    deltas, rules = drawn(), (make(), make())
    for t in range(2):
        first, shifted = (
            served(rule, updates_of(deltas, origin=origin), round_of(N, 9, origin=origin, index=t))
            for rule, origin in zip(rules, (0.0, 5.0 + t), strict=True)
        )
        np.testing.assert_allclose(parameters_of(shifted[0]) - 5.0 - t, parameters_of(first[0]), atol=1e-8)
        assert shifted[1].flagged == first[1].flagged
        assert shifted[1].weights == pytest.approx(first[1].weights, abs=1e-8)
        deltas = deltas + 0.1


@pytest.mark.parametrize("name", sorted(set(RULES) - {"bucketing", "bulyan"}))
def test_permuted_ids_permute_the_weights(name: str) -> None:
    """Apart from bucketing, which draws by place, and Bulyan: of its last three, two are as near to each other."""
    deltas, order = drawn(), np.random.default_rng(1).permutation(N)
    first = served(RULES[name](), updates_of(deltas), round_of(N, 9))
    moved = served(RULES[name](), updates_of(deltas[order]), round_of(N, 9))
    if name != "norm_clipping":  # there the default weights decide, and whose images these are has changed
        np.testing.assert_allclose(parameters_of(moved[0]), parameters_of(first[0]), atol=1e-9)
        assert [moved[1].weights.get(i) for i in range(N)] == pytest.approx([first[1].weights.get(j) for j in order])
    assert moved[1].flagged == {int(np.flatnonzero(order == i)[0]) for i in first[1].flagged}


def test_buffers_have_no_say_in_the_verdict(make: Make) -> None:
    deltas = drawn()
    plain = served(make(), updates_of(deltas), round_of(N, 9))
    loud = updates_of(deltas, variances=[10.0 ** (i - 3) for i in range(N)], counts=[10**i for i in range(N)])
    changed = served(make(), loud, round_of(N, 9))
    np.testing.assert_allclose(parameters_of(changed[0]), parameters_of(plain[0]), atol=1e-12)
    assert changed[1].weights == pytest.approx(plain[1].weights, abs=1e-12)
    assert changed[1].flagged == plain[1].flagged


@pytest.mark.parametrize("name", DROPPING)
def test_who_is_dropped_leaves_no_trace_in_buffers(name: str) -> None:
    deltas = drawn()
    if name == "foolsgold":
        deltas[-1] = deltas[-2] = 1.0  # two sybils
    flagged = served(RULES[name](), updates_of(deltas), round_of(N, 9))[1].flagged
    assert N - 1 in flagged
    variances = [1e9 if i in flagged else 2.0 for i in range(N)]
    counts = [10**9 if i in flagged else 7 for i in range(N)]
    state, decision = served(RULES[name](), updates_of(deltas, variances=variances, counts=counts), round_of(N, 9))
    assert decision.flagged == flagged
    assert {i for i, weight in decision.weights.items() if weight == 0} == flagged
    assert state["noise_const"].item() == pytest.approx(2.0)
    assert state["num_batches_tracked"].item() == 7


@pytest.mark.parametrize("name", ["bulyan", "median", "trimmed_mean"])
def test_rules_by_coordinate_act_on_float_buffers_too(name: str) -> None:
    variances = [2.0] * (N - 1) + [1e9]
    state, _ = served(RULES[name](), updates_of(drawn(), variances=variances), round_of(N, 9))
    assert state["noise_const"].item() == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["centered_clipping", "geometric_median", "norm_clipping", "robust_learning_rate"])
def test_other_rules_take_the_weighted_mean_of_buffers(name: str) -> None:
    """They are not clipped, and not turned."""
    variances = list(map(float, range(1, N + 1)))
    updates = updates_of(drawn(), variances=variances)
    state, decision = served(RULES[name](), updates, round_of(N, 9))
    shares = [decision.weights.get(i, 1 / N) for i in range(N)]
    assert state["noise_const"].item() == pytest.approx(np.dot(shares, variances))


@pytest.mark.parametrize("zeros", [1, 2, 7, N], ids=lambda zeros: f"{zeros} of {N}")
def test_steps_of_no_length_make_no_nan(zeros: int, make: Make) -> None:
    deltas = drawn()
    deltas[:zeros] = 0.0
    rule = make()
    for t in range(2):
        state, decision = served(rule, updates_of(deltas, origin=1.0), round_of(N, 9, origin=1.0, index=t))
        assert np.isfinite(parameters_of(state)).all()
        assert not decision.weights or sum(decision.weights.values()) == pytest.approx(1.0)
    if zeros == N:
        np.testing.assert_array_equal(parameters_of(state), np.ones(9))
        assert not decision.flagged


@pytest.mark.parametrize("name", sorted(RULES))
def test_too_few_clients_are_refused_in_one_line(name: str) -> None:
    least, rule = LEAST[name], RULES[name]()
    rule.setup(num_clients=least, clients_per_round=least, rounds=1)
    for setting, sizes in (("num_clients", (least - 1, least - 1)), ("clients_per_round", (64, least - 1))):
        with pytest.raises(ValueError, match=rf"^fl\.{setting} must be at least {least}\b[^\n]*; got {least - 1}$"):
            rule.setup(num_clients=sizes[0], clients_per_round=sizes[1], rounds=1)


@pytest.mark.parametrize("name", sorted(name for name in RULES if isinstance(RULES[name](), RobustRule)))
def test_a_round_with_too_few_updates_is_refused_in_one_line(name: str) -> None:
    least = LEAST[name]
    served(RULES[name](), updates_of(drawn()[:least]), round_of(N, 9))
    with pytest.raises(ValueError, match=rf"^fl\.min_clients must be at least {least}\b[^\n]*; got {least - 1}$"):
        served(RULES[name](), updates_of(drawn()[: least - 1]), round_of(N, 9))


@pytest.mark.parametrize("name", ["bulyan", "dnc", "krum", "robust_learning_rate", "trimmed_mean"])
def test_more_malicious_clients_need_more_clients(name: str) -> None:
    kind: type[RobustRule] = type(RULES[name]())  # type: ignore[assignment]
    rule = kind(num_malicious=3)  # type: ignore[call-arg]
    needed = {"bulyan": 15, "krum": 9}.get(name, 7)
    rule.setup(num_clients=needed, clients_per_round=needed, rounds=1)
    with pytest.raises(
        ValueError, match=rf"^fl.num_clients must be at least {needed} for {kind.__name__} to tolerate 3"
    ):
        rule.setup(num_clients=needed - 1, clients_per_round=needed - 1, rounds=1)


@pytest.mark.parametrize("name", sorted(set(RULES) - {"bucketing", "norm_clipping", "robust_learning_rate"}))
def test_an_outlier_moves_the_aggregate_less_than_half_as_far_as_the_mean(name: str) -> None:
    """Bucketing only prepares, and the other two limit. FoolsGold takes two sybils."""
    deltas = drawn()
    malicious = [N - 2, N - 1] if name == "foolsgold" else [N - 1]
    deltas[malicious] = -80.0
    honest = np.delete(deltas, malicious, axis=0).mean(axis=0)
    state, _ = served(RULES[name](), updates_of(deltas), round_of(N, 9))
    assert np.linalg.norm(parameters_of(state) - honest) < np.linalg.norm(deltas.mean(axis=0) - honest) / 2


def test_the_helper_states_what_it_is_given() -> None:
    state = state_of(np.array([1.0, 2.0, 3.0]), 4.0, 5)
    assert parameters_of(state).tolist() == [1.0, 2.0, 3.0]
