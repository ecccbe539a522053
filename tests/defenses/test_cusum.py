"""The CUSUM of losses: by hand, against a plain loop, in simulated federations, on recorded losses, and in a run."""

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses import _cusum
from fedgan.defenses.base import Decision, minority
from fedgan.defenses.calibration import Calibration, is_calibration, read_calibration
from fedgan.defenses.feddetect_cusum import FedDetectCusum
from fedgan.defenses.replay import replay
from fedgan.runs.closing import found
from fedgan.runs.scores import scores_of
from tests.helpers.runs import outcome, rows

Configure = Callable[..., DictConfig]
# Mean generator losses of the demo (seed 0) with an attack, one row per round; client 2 is malicious.
DEMO = (
    (3.58, 3.50, 3.53, 3.76),
    (3.06, 3.10, 3.16, 2.94),
    (3.23, 2.89, 2.77, 2.34),
    (2.65, 2.90, 2.97, 2.54),
    (2.75, 2.83, 2.57, 2.54),
    (2.53, 2.54, 2.57, 2.48),
    (2.49, 2.42, 2.31, 2.37),
    (2.38, 2.54, 2.44, 2.46),
    (2.81, 2.67, 2.21, 2.49),
    (2.75, 2.59, 2.29, 2.64),
    (2.80, 2.75, 1.99, 2.42),
    (2.50, 2.53, 1.88, 2.42),
    (2.22, 2.31, 1.81, 2.31),
    (2.29, 2.57, 1.69, 2.29),
    (2.41, 2.68, 1.67, 2.50),
    (2.68, 2.61, 1.59, 2.14),
    (2.53, 3.07, 1.53, 2.38),
    (2.56, 2.77, 1.48, 2.57),
)


def detector(num_clients: int = 4, rounds: int = 200, **settings: Any) -> FedDetectCusum:
    defense = FedDetectCusum(**settings)
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=rounds)
    return defense


def play(defense: FedDetectCusum, losses: Mapping[int, float], t: int, name: str = "loss_g") -> Decision:
    updates = [ClientUpdate(i, 8, {}, {name: loss}) for i, loss in losses.items()]
    return defense.reweight(updates, dict.fromkeys(losses, 1 / len(losses)), Round(t, {}, frozenset(), num_clients=9))


def logs(*values: float) -> dict[int, float]:
    return {i: math.exp(value) for i, value in enumerate(values)}


def test_hand_computed_rounds() -> None:
    """k = 2, h = 3, z = 4, 4, 1, 0, 0: C = 2, 4, 3, 1, 0; flagged above 3 and until below 1.5, weight 2^-(C - 3)."""
    defense = detector(spread=0.1, k=2.0, h=3.0, warmup=0)
    found = []
    for t, z in enumerate((4, 4, 1, 0, 0)):
        decision = play(defense, logs(0, 0, 0, z / 10), t)
        found.append((defense.evidence_of(3), 3 in decision.flagged, decision.weights[3]))
    assert [c for c, _, _ in found] == pytest.approx([2, 4, 3, 1, 0])
    assert [flagged for _, flagged, _ in found] == [False, True, True, False, False]
    assert [weight for _, _, weight in found] == pytest.approx([1 / 4, 1 / 7, 1 / 4, 1 / 4, 1 / 4])  # 1/2 of 1 1 1 1/2


@pytest.mark.parametrize("side", [1, -1])
def test_losses_that_are_too_high_and_too_low_count_alike(side: int) -> None:
    defense = detector(spread=0.1, k=2.0, h=3.0, warmup=0)
    for t in range(2):
        decision = play(defense, logs(0, 0.4 * side, 0, 0), t)
    assert decision.flagged == {1}
    assert defense.evidence_of(1) == pytest.approx(4)


def test_as_a_plain_loop_over_clients_and_rounds() -> None:
    """An implementation without arrays, over 60 rounds with clients that come and go, known spread and none."""
    for spread in (0.3, None):
        rng, defense, flags = np.random.default_rng(3), detector(7, spread=spread, k=1.0, h=2.0), 0
        up, down, scales, flagged = (
            dict.fromkeys(range(7), 0.0),
            dict.fromkeys(range(7), 0.0),
            list[float](),
            set[int](),
        )
        for t in range(60):
            ids = sorted(rng.permutation(7)[: rng.integers(4, 8)].tolist())
            losses = {i: float(np.exp(rng.normal(0, 0.3) + (i == 2) * 0.8)) for i in ids}
            decision = play(defense, losses, t)
            if t >= 1:
                middle = median(math.log(x) for x in losses.values())
                apart = {i: math.log(x) - middle for i, x in losses.items()}
                scales.append(_cusum.consistency(len(ids)) * median(map(abs, apart.values())))
                for i, r in apart.items():
                    z = max(-8.0, min(8.0, r / (spread or median(scales))))
                    up[i] = min(9.0, max(0.0, up[i] + z - 1.0))
                    down[i] = min(9.0, max(0.0, down[i] - z - 1.0))
            c = {i: max(up[i], down[i]) for i in ids}
            above = sorted((i for i in ids if c[i] > 2 or (i in flagged and c[i] >= 1)), key=lambda i: -c[i])
            now = set(above[: (len(ids) - 1) // 2])
            flagged = {i for i in flagged if i not in ids or i in above} | now
            share = {i: 2 ** -max(0.0, c[i] - 2) if i in now else 1.0 for i in ids}
            assert decision.flagged == now
            flags += 2 in now
            assert decision.weights == pytest.approx({i: share[i] / sum(share.values()) for i in ids})
        assert flags > 20


@pytest.mark.parametrize("num_clients", [3, 4, 5, 8, 16, 17, 40])
def test_the_constants_make_standard_deviations(num_clients: int) -> None:
    """1 over the median of 40,000 simulated medians of |x - median|, by Python's own median."""
    rng = np.random.default_rng(num_clients)
    found = []
    for draw in rng.normal(size=(40_000, num_clients)).tolist():
        middle = median(draw)
        found.append(median(abs(x - middle) for x in draw))
    assert _cusum.consistency(num_clients) * median(found) == pytest.approx(1, abs=0.02)


def simulate(
    num_clients: int, k: float, *, persistent: float, known: bool = True, shift: float = 0.0, federations: int = 3000
) -> tuple[float, float]:
    """Shares of federations of 200 rounds in which an honest client, and in which client 0 was flagged, shifted or not.

    ``persistent`` is the share of the honest variance, 1, that is a client's offset for good.
    """
    rng = np.random.default_rng(0)
    fixed = math.sqrt(persistent) * rng.normal(size=(federations, num_clients))
    up = down = np.zeros((federations, num_clients))
    ever, scales = np.zeros((federations, num_clients), dtype=bool), []
    for _ in range(200):
        losses = fixed + math.sqrt(1 - persistent) * rng.normal(size=(federations, num_clients))
        losses[:, 0] += shift
        apart = _cusum.offsets(losses, logs=False)
        scales.append(_cusum.round_scale(apart))
        z = _cusum.standardized(apart, 1.0 if known else np.median(scales, axis=0)[:, None])
        up, down = _cusum.added(up, z, k, 5.0), _cusum.added(down, -z, k, 5.0)
        ever |= np.maximum(up, down) > 5.0
    return float(ever[:, 1:].any(axis=1).mean()), float(ever[:, 0].mean())


@pytest.mark.parametrize(
    ("num_clients", "k", "persistent", "low", "high"),
    [
        (4, 3.5, 0.0, 0.0, 0.001),
        (8, 3.5, 0.0, 0.0, 0.001),
        (4, 3.5, 1.0, 0.0005, 0.007),  # 0.003
        (8, 3.5, 1.0, 0.001, 0.012),  # 0.004 to 0.009
        (4, 2.0, 1.0, 0.12, 0.18),  # 0.15
        (8, 2.0, 1.0, 0.26, 0.34),  # 0.30
    ],
)
def test_false_alarms_with_a_known_spread(
    num_clients: int, k: float, persistent: float, low: float, high: float
) -> None:
    others, first = simulate(num_clients, k, persistent=persistent)
    anybody = 1 - (1 - others) * (1 - first)  # nearly: they are rare, or many
    assert low <= anybody <= high


def test_false_alarms_without_a_spread_are_those_of_the_warning() -> None:
    """7 to 8 % where offsets last, hardly any where rounds are independent."""
    others, first = simulate(4, 3.5, persistent=1.0, known=False)
    assert 0.055 < others + first < 0.095
    assert sum(simulate(4, 3.5, persistent=0.0, known=False, federations=1000)) < 0.005
    assert "7 to 8 % of federations" in detector().warnings()[0]


def test_an_attacker_six_deviations_away_is_found() -> None:
    for persistent in (0.0, 1.0):
        _, found = simulate(4, 3.5, persistent=persistent, shift=6.0, federations=500)
        assert found > 0.9


@pytest.mark.parametrize(("k", "first"), [(2.0, 11), (3.5, 14)])
def test_the_demos_attacker_is_found_and_nobody_else(k: float, first: int) -> None:
    """With the spread of the demo's control run; its loss falls, slowly."""
    defense = detector(spread=0.06, k=k)
    flagged = [sorted(play(defense, dict(enumerate(row)), t).flagged) for t, row in enumerate(DEMO)]
    assert flagged == [[]] * first + [[2]] * (len(DEMO) - first)


@pytest.mark.parametrize("spread", [0.1, None])
def test_equal_losses_change_nothing(spread: float | None) -> None:
    defense = detector(spread=spread)
    weights = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}
    for t in range(5):
        updates = [ClientUpdate(i, 8, {}, {"loss_g": 2.0}) for i in range(4)]
        decision = defense.reweight(updates, weights, Round(t, {}, frozenset(), num_clients=4))
        assert decision.weights is weights
        assert not decision.flagged
    assert all(defense.evidence_of(i) == 0 for i in range(4))


def test_weights_follow_the_client_and_multiply_those_before() -> None:
    plain, moved = (detector(5, spread=0.1, warmup=0) for _ in range(2))
    losses, order = (0.0, 0.9, 0.05, -0.05, 0.02), (3, 0, 4, 1, 2)
    for t in range(3):
        expected = play(plain, logs(*losses), t).weights
        found = play(moved, {i: math.exp(losses[order[i]]) for i in range(5)}, t).weights
    assert found == pytest.approx({i: expected[order[i]] for i in range(5)})
    assert expected[1] < 0.01
    updates = [ClientUpdate(i, 8, {}, {"loss_g": math.exp(x)}) for i, x in enumerate(losses)]
    skewed = {0: 0.5, 1: 0.2, 2: 0.1, 3: 0.1, 4: 0.1}
    decision = plain.reweight(updates, skewed, Round(3, {}, frozenset(), num_clients=5))
    lowered = 0.2 / 2 ** (plain.evidence_of(1) - 5)
    assert decision.weights[0] == pytest.approx(0.5 / (0.8 + lowered))


def test_who_is_absent_keeps_both_sums_and_its_flag() -> None:
    defense = detector(5, spread=0.1, warmup=0)
    for t in range(3):
        play(defense, logs(0, 0, 0, 0, 0.9), t)
    before = defense.evidence_of(4)
    assert before > 5
    for t in range(3, 9):
        assert not play(defense, logs(0, 0, 0, 0), t).flagged
    assert defense.evidence_of(4) == before
    assert play(defense, logs(0, 0, 0, 0, 0), 9).flagged == {4}


def test_a_flagged_client_whose_place_another_takes_keeps_its_flag_until_half_of_h() -> None:
    """Without client 0 one of four may be flagged, the one with the larger C: 4. 3 is at 2, between h/2 = 1.5 and h."""
    defense = detector(5, spread=0.1, k=2.0, h=3.0, warmup=0)
    for t in range(2):
        both = play(defense, logs(0, 0, 0, 0.4, 0.8), t)
    fewer = play(defense, {i: math.exp(0.8 * (i == 4)) for i in (1, 2, 3, 4)}, 2)
    assert defense.evidence_of(3) == pytest.approx(2)
    again = play(defense, logs(0, 0, 0, 0.2, 0.8), 3)
    over = play(defense, logs(0, 0, 0, 0, 0.8), 4)
    assert [sorted(each.flagged) for each in (both, fewer, again, over)] == [[3, 4], [4], [3, 4], [4]]
    assert fewer.weights[3] == fewer.weights[1], "no weight is lowered without a place"


def test_sums_end_at_h_and_seven_and_all_comes_back() -> None:
    defense = detector(spread=0.1, warmup=0)
    for t in range(50):
        decision = play(defense, logs(0, 0, 0, 9), t)
    assert defense.evidence_of(3) == 12
    assert decision.weights[3] == pytest.approx((1 / 128) / (3 + 1 / 128))
    for t in range(50, 50 + math.ceil(12 / 3.5)):
        decision = play(defense, logs(0, 0, 0, 0), t)
    assert defense.evidence_of(3) == 0
    assert decision.weights[3] == 0.25


@pytest.mark.parametrize(("num_clients", "most"), [(3, 1), (4, 1), (5, 2), (8, 3), (16, 7)])
def test_fewer_than_half_are_flagged_the_largest_first(num_clients: int, most: int) -> None:
    evidence = {i: 6.0 + i for i in range(num_clients)}

    def flagged(evidence: Mapping[int, float]) -> frozenset[int]:
        return minority(_cusum.suspects(evidence, (), h=5.0), evidence)

    assert flagged(evidence) == set(range(num_clients - most, num_clients))
    assert flagged(dict.fromkeys(range(num_clients), 6.0)) == set(range(most)), "ties: the lower id"


def test_a_round_of_fewer_than_three_says_nothing() -> None:
    defense = detector(spread=0.1, warmup=0)
    for t in range(9):
        assert not play(defense, logs(0, 9), t).flagged
    assert defense.evidence_of(0) == defense.evidence_of(1) == 0


def test_the_warm_up_is_left_out() -> None:
    defense = detector(warmup=2)
    for t in range(2):
        play(defense, logs(0, 0, 0, 9), t)
        assert (defense.evidence_of(3), dict(defense.receipt())) == (0, {"threshold": 5.0})
    play(defense, logs(0, 0.1, 0, 9), 2)
    assert defense.evidence_of(3) == 4.5  # 8 - 3.5
    assert defense.receipt()["spread"] == pytest.approx(_cusum.consistency(4) * 0.05)  # |r| = .05, .05, .05, 8.95


def test_losses_that_may_be_negative_are_compared_as_they_are() -> None:
    """A Wasserstein critic's: by hand r = 0.4 of a spread of 0.1, whatever the losses' sign."""
    defense = detector(spread=0.1, k=2.0, h=3.0, warmup=0)
    for t, (c, offset) in enumerate(((2, -3.0), (4, 3.0))):  # decided in the first round
        play(defense, {0: offset, 1: offset, 2: offset, 3: offset + 0.4}, t)
        assert defense.evidence_of(3) == pytest.approx(c)


def test_losses_that_become_negative_start_the_sums_anew() -> None:
    defense = detector(spread=0.1, k=2.0, h=3.0, warmup=0)
    for t in range(3):
        assert (3 in play(defense, logs(0, 0, 0, 0.4), t).flagged) == (t >= 1)
    assert not play(defense, {0: -1.0, 1: -1.0, 2: -1.0, 3: -0.6}, 3).flagged
    assert defense.evidence_of(3) == pytest.approx(2)
    assert play(defense, {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.4}, 4).flagged == {3}, "for good: 0.4, not log 1.4"
    assert defense.evidence_of(3) == pytest.approx(4)


def test_an_attacker_that_reports_nothing_or_less_is_merely_far_away() -> None:
    for reported in (0.0, -5.0):
        defense = detector(spread=0.1, warmup=0)
        for t in range(2):
            decision = play(defense, {0: 2.0, 1: 2.0, 2: reported, 3: 2.0}, t)
        assert decision.flagged == {2}


def test_memory_survives() -> None:
    whole, first = detector(warmup=1), detector(warmup=1)
    for t, row in enumerate(DEMO[:14]):
        play(whole, dict(enumerate(row)), t)
        play(first, dict(enumerate(row)), t)
    second, state = detector(warmup=1), first.state_dict()
    kept = copy.deepcopy(state)
    second.load_state_dict(state)
    for t, row in enumerate(DEMO[14:], 14):
        assert play(second, dict(enumerate(row)), t) == play(whole, dict(enumerate(row)), t)
        assert second.client_receipts() == whole.client_receipts()
    play(first, dict(enumerate(DEMO[14])), 14)
    assert state == kept, "rounds that follow do not change a state that was taken"


def test_another_spread_than_the_run_began_with_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^spread must be 0.1, as the run began with; got 0.2"):
        detector(spread=0.2).load_state_dict(detector(spread=0.1).state_dict())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spread": 0.0}, r"^spread must be a number in \(0, inf\) or a file of python -m fedgan.calibrate, or null"),
        ({"spread": " "}, "^spread must be a number"),
        ({"k": 0.0}, r"^k must be a number in \(0, 8\); got 0.0"),
        ({"k": 8.0}, r"^k must be a number in \(0, 8\)"),
        ({"h": 0.0}, "^h must be a number in"),
        ({"warmup": -1}, "^warmup must be a whole number of at least 0"),
        (
            {"loss": "loss"},
            "^loss must be one of loss_g, loss_d, loss_g_last, loss_g_final, loss_g_arrival; got 'loss'",
        ),
        ({"samples": 0}, "^samples must be a whole number from 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FedDetectCusum(**settings)


@pytest.mark.parametrize(
    ("num_clients", "present", "rounds", "words"),
    [
        (2, 2, 9, "^fl.num_clients must be at least 3 for defense=feddetect_cusum; got 2"),
        (4, 2, 9, "^fl.clients_per_round must be at least 3 for defense=feddetect_cusum"),
        (4, 4, 1, "^fl.rounds must be at least 2 for defense=feddetect_cusum with k=3.5, h=5.0; got 1"),
        (4, 4, 9, "^warmup must be at most 7, so that it can act in fl.rounds=9; got 8"),
    ],
)
def test_refused_where_nobody_could_be_flagged(num_clients: int, present: int, rounds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FedDetectCusum(warmup=8).setup(num_clients=num_clients, clients_per_round=present, rounds=rounds)
    detector(3, rounds=10, warmup=8)  # the bounds themselves: two rounds that count are enough
    defense = detector(3, rounds=2, warmup=0, spread=0.1)
    assert [play(defense, logs(0, 0, 9), t).flagged for t in range(2)] == [frozenset(), {2}]


# Calibrations


def calibration(**changes: Any) -> Calibration:
    whole: dict[str, Any] = {
        "spread": 0.06,
        "rms": 0.05,
        "loss": "loss_g",
        "scale": "log",
        "warmup": 1,
        "num_clients": 4,
        "seeds": [7, 8],
        "runs": {"a": 0.04, "b": 0.06},
        "settings": {"dataset.name": "chestx"},
    }
    return Calibration(**(whole | changes))


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "spread.json"
    calibration().write(file)
    assert read_calibration("spread", file) == calibration()
    defense = detector(spread=str(file))
    assert (defense.spread, defense.warnings()) == (0.06, [])
    facts = defense.facts()
    assert (facts["spread"], facts["from"], facts["control_runs"], facts["seeds"]) == (0.06, str(file), 2, [7, 8])
    assert is_calibration(file)
    by_number = detector(spread=0.06)
    for t, row in enumerate(DEMO):
        assert play(defense, dict(enumerate(row)), t) == play(by_number, dict(enumerate(row)), t)


def test_a_calibration_says_on_which_scale_it_is(tmp_path: Path) -> None:
    """Losses that happen to be positive in the first round would be taken for logarithms."""
    calibration(spread=0.1, scale="linear").write(tmp_path / "a.json")
    defense = detector(spread=str(tmp_path / "a.json"), k=2.0, warmup=0)
    play(defense, {0: 9.0, 1: 9.0, 2: 9.0, 3: 9.4}, 0)
    assert defense.evidence_of(3) == pytest.approx(2)


def test_another_number_of_clients_is_warned_of_and_another_loss_refused(tmp_path: Path) -> None:
    file = tmp_path / "spread.json"
    calibration().write(file)
    assert detector(5, spread=str(file)).warnings() == ["spread was measured with 4 clients, and this federation has 5"]
    with pytest.raises(
        ValueError, match=r"^loss must be loss_g, which spread=.*spread.json was measured of; got 'loss_d'"
    ):
        FedDetectCusum(spread=str(file), loss="loss_d")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("{", "Expecting"),
        ("[]", "not written by"),
        ('{"spread": 0.1}', "not written by"),
        ('{"written by": "fedgan.calibrate", "format": 2}', "its format is 2, and this version reads 1"),
        ('{"written by": "fedgan.calibrate", "format": 1}', "spread must be given"),
        ('{"written by": "fedgan.calibrate", "format": 1, "spread": -1}', "spread must be a number"),
        ('{"written by": "fedgan.calibrate", "format": 1, "evil": 1}', "evil is not an argument"),
    ],
)
def test_what_is_no_calibration_is_refused_in_one_line(text: str | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "spread.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(
        ValueError, match=rf"^spread must be a file that python -m fedgan.calibrate has written; .*{why}"
    ):
        FedDetectCusum(spread=str(file))


# In a run

CUSUM = ("defense=feddetect_cusum", "defense.feddetect_cusum.warmup=0", "fl.batch_size=4")
SENSITIVE = (*CUSUM, "defense.feddetect_cusum.spread=0.001", "defense.feddetect_cusum.loss=loss_g_arrival")


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "defense.feddetect_cusum" in line]


def test_what_is_used_is_on_the_screen_and_in_the_record(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration(num_clients=9).write(tmp_path / "spread.json")
    cfg = configure(*CUSUM, f"defense.feddetect_cusum.spread={tmp_path / 'spread.json'}")
    training.train(cfg, tmp_path / "run")
    note, warning, other = told(capsys)
    assert note.startswith("note: defense.feddetect_cusum works with spread: 0.06, from: ")
    assert warning.startswith("warning: defense.feddetect_cusum: spread was measured with 9 clients")
    assert "measured with dataset.name=chestx, " in other
    facts = json.loads((tmp_path / "run/run.json").read_text())["defenses"]["feddetect_cusum"]
    assert (facts["spread"], facts["loss"], facts["seeds"], facts["k"]) == (0.06, "loss_g", [7, 8], 3.5)
    found = rows(tmp_path / "run/receipts.csv")
    assert [row["value"] for row in found if row["measure"] == "spread"] == ["0.06", "0.06"]
    clients = [(row["round"], row["client"]) for row in found if row["measure"] == "losses_score"]
    assert clients == [(str(t), str(i)) for t in range(2) for i in range(4)]


def test_without_a_spread_the_run_warns(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.train(configure(*CUSUM), tmp_path / "run")
    note, warning = told(capsys)
    assert "this run's own" in note
    assert "spread is not set (python -m fedgan.calibrate measures it)" in warning


def test_a_run_in_which_nobody_is_flagged_is_the_undefended_one(configure: Configure, tmp_path: Path) -> None:
    plain = training.train(configure("fl.batch_size=4", "fl.rounds=3"), tmp_path / "plain")
    watched = training.train(configure(*CUSUM, "defense.feddetect_cusum.spread=9", "fl.rounds=3"), tmp_path / "watched")
    assert watched["generator_sha256"] == plain["generator_sha256"]
    assert watched["rounds_acted"] == {"feddetect_cusum": 0}
    assert rows(tmp_path / "watched/clients.csv") == rows(tmp_path / "plain/clients.csv")


@pytest.mark.usefixtures("forked_processes")
def test_two_processes_and_an_interruption_leave_the_same_bits(configure: Configure, tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    five = (*SENSITIVE, "fl.num_clients=5", "fl.rounds=3")
    training.train(configure(*five), one)
    training.train(configure(*five, "fl.rounds=2", "trainer.devices=2"), several)
    training.train(configure(*five, f"resume={several}"), several)
    assert {**outcome(several), "config.yaml": None} == {**outcome(one), "config.yaml": None}
    flagged: Sequence[str] = [row["flagged"] for row in rows(one / "clients.csv")]
    assert "1" in flagged, "it did something"
    assert all(row["loss_g_arrival"] for row in rows(one / "clients.csv"))


def test_next_to_a_critic_whose_losses_may_be_negative(configure: Configure, tmp_path: Path) -> None:
    """Whatever their order: a round with losses of either sign is compared without logarithms, from then on."""
    both = "defense=[feddetect_cusum,gradient_penalty]"
    training.train(configure(*CUSUM[1:], both, "fl.rounds=4"), tmp_path / "run")
    table = rows(tmp_path / "run/clients.csv")
    losses = [[float(row["loss_g"]) for row in table if row["round"] == str(t)] for t in range(4)]
    assert any(sum(loss > 0 for loss in of_round) <= 2 for of_round in losses), "a critic's"
    defense = detector(warmup=0)
    for t, of_round in enumerate(losses):
        play(defense, dict(enumerate(of_round)), t)
    assert defense.logs is False
    shown = {
        row["client"]: row["value"] for row in rows(tmp_path / "run/receipts.csv") if row["measure"] == "losses_score"
    }
    assert shown == {str(i): str(defense.evidence_of(i)) for i in range(4)}


def test_the_terminal_says_whom_it_has_flagged_since_when(tmp_path: Path) -> None:
    """As for any defense with a threshold and scores; one of losses has no place."""
    cusum = FedDetectCusum(spread=0.1)
    rounds = [[2.0, 2.1, 1.9, 2.0 + 0.5 * t] for t in range(8)]
    lines = ["round,component,client,measure,value"]
    for t, decision in enumerate(replay(cusum, {"loss_g": rounds})):
        lines.append(f"{t},defense.feddetect_cusum,,threshold,{cusum.receipt()['threshold']}")
        for client, measures in cusum.client_receipts().items():
            lines += [f"{t},defense.feddetect_cusum,{client},{name},{value}" for name, value in measures.items()]
            lines.append(f"{t},defense.feddetect_cusum,{client},flagged,{int(client in decision.flagged)}")
    (tmp_path / "receipts.csv").write_text("\n".join(lines) + "\n")
    own = scores_of(tmp_path / "receipts.csv")
    summary = {"scores": own, "malicious": [3]}
    assert own["feddetect_cusum"]["threshold"] == 5.0
    assert found(summary, tmp_path) == ["feddetect_cusum: flagged client 3 (malicious) in rounds 4 to 7 by losses"]
