"""Algorithm 1 against rounds computed by hand, and the loss that each of its three readings takes."""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import DictConfig
from sklearn.ensemble import IsolationForest

from fedgan.config.building.algorithm import build_algorithm
from fedgan.core.images import ImageSet, Splits
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses import _loss_forest
from fedgan.defenses._loss_forest import LossForest, isolation_outliers
from fedgan.defenses.base import Defense
from fedgan.defenses.feddetect import FedDetect
from fedgan.defenses.feddetect_code import FedDetectCode
from fedgan.defenses.feddetect_mean import FedDetectMean
from fedgan.defenses.gradient_penalty import GradientPenalty
from fedgan.gan.algorithm import GAN
from fedgan.gan.client import keep
from fedgan.gan.recipe import Recipe
from tests.helpers.images import random_images

READS = {FedDetect: "loss_g_final", FedDetectCode: "loss_g_last", FedDetectMean: "loss_g"}


def at(t: int) -> Round:
    return Round(t, {}, frozenset(), num_clients=4)


def updates(*losses: float, ids: tuple[int, ...] | None = None) -> list[ClientUpdate]:
    return [
        ClientUpdate(i, 10, {}, dict.fromkeys(READS.values(), loss))
        for i, loss in zip(ids or range(len(losses)), losses, strict=True)
    ]


def detector(
    num_clients: int = 4, rounds: int = 100, *, kind: type[LossForest] = FedDetect, **settings: object
) -> LossForest:
    defense = kind(**settings)  # type: ignore[arg-type]
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=rounds)
    return defense


QUARTERS = dict.fromkeys(range(4), 0.25)
OUTLYING = (2.0, 2.05, 2.1, 9.0)


def test_hand_computed_rounds() -> None:
    """Client 3 stands out in each of three rounds after a warm-up of one: w_3 *= d, then d^2, then d^3."""
    defense = detector(warmup=1, decay=0.5)
    for t in (0, 1):
        verdict = defense.reweight(updates(*OUTLYING), QUARTERS, at(t))
        assert verdict.weights == QUARTERS
        assert not verdict.flagged
    # t = 2: w = (1, 1, 1, 1/2) / 4, divided by its sum 7/8
    verdict = defense.reweight(updates(*OUTLYING), QUARTERS, at(2))
    assert verdict.flagged == {3}
    assert defense.c == [0, 0, 0, 1]
    assert [verdict.weights[i] for i in range(4)] == pytest.approx([2 / 7, 2 / 7, 2 / 7, 1 / 7])
    # t = 3: w_3 = 1/7 * 1/4 = 1/28 against 8/28 thrice: sum 25/28
    verdict = defense.reweight(updates(*OUTLYING), QUARTERS, at(3))
    assert [verdict.weights[i] for i in range(4)] == pytest.approx([8 / 25, 8 / 25, 8 / 25, 1 / 25])
    # t = 4: w_3 = 1/25 * 1/8 = 1/200 against 64/200 thrice: sum 193/200
    verdict = defense.reweight(updates(*OUTLYING), QUARTERS, at(4))
    assert [verdict.weights[i] for i in range(4)] == pytest.approx([64 / 193, 64 / 193, 64 / 193, 1 / 193])
    assert defense.c[3] == 3


def test_detection_starts_in_the_first_round_after_the_warm_up() -> None:
    defense = detector(warmup=10)
    assert not defense.reweight(updates(*OUTLYING), QUARTERS, at(10)).flagged
    assert defense.reweight(updates(*OUTLYING), QUARTERS, at(11)).flagged == {3}


@pytest.mark.parametrize(
    ("outliers", "acts"),
    [((), False), ((1,), True), ((1, 2), False), ((0, 1, 2, 3), False)],
    ids=["none", "one of four", "half", "all"],
)
def test_acts_only_on_fewer_than_half(outliers: tuple[int, ...], acts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _loss_forest, "isolation_outliers", lambda losses, seed, trees: [i in outliers for i in range(4)]
    )
    defense = detector(warmup=0, decay=0.5)
    verdict = defense.reweight(updates(1, 2, 3, 4), QUARTERS, at(1))
    assert verdict.flagged == (frozenset(outliers) if acts else frozenset())
    assert (verdict.weights == QUARTERS) is not acts
    assert sum(verdict.weights.values()) == pytest.approx(1.0)


def test_two_of_five_may_be_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _loss_forest, "isolation_outliers", lambda losses, seed, trees: [True, False, False, True, False]
    )
    verdict = detector(5, warmup=0, decay=0.5).reweight(updates(1, 2, 3, 4, 5), dict.fromkeys(range(5), 0.2), at(1))
    assert [verdict.weights[i] for i in range(5)] == pytest.approx([1 / 8, 2 / 8, 2 / 8, 1 / 8, 2 / 8])


@pytest.mark.parametrize("kind", READS)
def test_a1_each_rule_reads_a_loss_of_its_own(kind: type[LossForest]) -> None:
    for name in READS.values():
        metrics = [dict.fromkeys(READS.values(), 2.0 + i / 100) for i in range(4)]
        metrics[1][name] = 9.0
        given = [ClientUpdate(i, 10, {}, m) for i, m in enumerate(metrics)]
        flagged = detector(warmup=0, kind=kind).reweight(given, QUARTERS, at(1)).flagged
        assert (flagged == {1}) is (name == READS[kind])


def test_a1_the_first_code_takes_the_losss_absolute_value() -> None:
    """It feeds |loss_G|: with a Wasserstein critic, whose loss may be negative, -9 is next to 9."""
    metrics = [{"loss_g_last": value} for value in (9.0, -9.05, 9.1, 2.0)]
    given = [ClientUpdate(i, 10, {}, m) for i, m in enumerate(metrics)]
    assert detector(warmup=0, kind=FedDetectCode).reweight(given, QUARTERS, at(1)).flagged == {3}


def test_a1_the_papers_rule_has_clients_measure_equation_6(configure: Callable[..., DictConfig]) -> None:
    cfg, images = configure(), random_images(8)
    splits = _noise(images)
    assert recipe_of(cfg, splits, {}).loss_samples == 0
    assert recipe_of(cfg, splits, {"feddetect_code": FedDetectCode()}).loss_samples == 0
    assert recipe_of(cfg, splits, {"feddetect": FedDetect(samples=40)}).loss_samples == 40


def test_the_papers_rule_leaves_a_larger_sample_as_it_is(configure: Callable[..., DictConfig]) -> None:
    recipe = replace(recipe_of(configure(), _noise(random_images(8)), {}), loss_samples=64)
    assert FedDetect(samples=40).adapt(recipe).loss_samples == 64
    assert FedDetect(samples=65).adapt(recipe).loss_samples == 65


def test_a8_a_critic_without_probabilities_has_no_equation_6(configure: Callable[..., DictConfig]) -> None:
    splits = _noise(random_images(8))
    both = {"feddetect": FedDetect(), "gradient_penalty": GradientPenalty()}
    with pytest.raises(ValueError, match=r"^defense must be without feddetect where .* feddetect_code takes any loss"):
        recipe_of(configure(), splits, both)
    assert recipe_of(configure(), splits, both | {"feddetect": FedDetectCode()}).loss_samples == 0


def recipe_of(cfg: DictConfig, splits: Splits, defenses: Mapping[str, Defense]) -> Recipe:
    algorithm = build_algorithm(cfg.model, splits, seed=0)
    algorithm.defend([defense.adapt for defense in defenses.values()], keep)
    assert isinstance(algorithm, GAN)
    return algorithm.recipe


def _noise(images: ImageSet) -> Splits:
    return Splits("noise", images, images)


@pytest.mark.parametrize("present", [1, 2])
def test_a8_a_rule_that_could_never_act_on_those_present_is_refused(present: int) -> None:
    with pytest.raises(ValueError, match=f"^fl.clients_per_round must be at least 3 for .*; got {present}"):
        FedDetect(warmup=0).setup(num_clients=9, clients_per_round=present, rounds=9)
    FedDetect(warmup=0).setup(num_clients=9, clients_per_round=3, rounds=9)


def test_a9_the_number_of_trees_is_a_setting() -> None:
    """More trees, less of the verdict is the forest's dice: 25 sets of losses, whose verdict changes with the seed."""
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(25, 4)).tolist()
    fickle = {
        trees: sum(len({tuple(isolation_outliers(x, seed, trees)) for seed in range(3)}) > 1 for x in sets)
        for trees in (5, 200)
    }
    assert fickle[200] < fickle[5] / 2, fickle
    defense = detector(warmup=0, trees=7, random_state=5)
    flagged = [defense.reweight(updates(*x), QUARTERS, at(1)).flagged for x in sets]
    forests = [isolation_outliers(x, 5, 7) for x in sets]
    acted = [frozenset(i for i, out in enumerate(f) if out) if 0 < sum(f) < 2 else frozenset() for f in forests]
    assert flagged == acted


@pytest.mark.parametrize("losses", [[1.0, 1.1, 0.9, 1.05, 5.0], np.random.default_rng(0).normal(size=400).tolist()])
def test_the_forest_is_sklearns_on_all_losses_alone(losses: list[float]) -> None:
    """On all of them, also where sklearn would take 256."""
    forest = IsolationForest(max_samples=len(losses), random_state=3).fit(np.array(losses)[:, None])
    expected = forest.predict(np.array(losses)[:, None]) == -1
    assert isolation_outliers(losses, random_state=3) == expected.tolist()


@pytest.mark.parametrize("reported", [1e38, 1e39, 1e300])
def test_a_loss_beyond_float32_makes_no_other_client_an_outlier(reported: float) -> None:
    assert isolation_outliers([2.0, 2.1, 1.9, reported], random_state=0) == [False, False, False, True]
    assert isolation_outliers([-reported, 2.0, 2.1, 1.9], random_state=0) == [True, False, False, False]


def test_the_verdict_follows_the_client_not_its_place() -> None:
    losses, ids = (9.0, 2.0, 2.05, 2.1), (3, 0, 1, 2)
    verdict = detector(warmup=0).reweight(updates(*losses, ids=ids), QUARTERS, at(1))
    assert verdict.flagged == {3}


def test_those_who_sit_out_keep_their_weight() -> None:
    defense = detector(5, warmup=0, decay=0.5)
    fifths = dict.fromkeys(range(5), 0.2)
    defense.reweight(updates(*OUTLYING, ids=(0, 1, 2, 4)), fifths, at(1))
    verdict = defense.reweight(updates(1.0, 1.0, ids=(3, 4)), fifths, at(2))
    assert verdict.weights == pytest.approx({3: 2 / 3, 4: 1 / 3})


def test_weights_of_earlier_defenses_multiply() -> None:
    verdict = detector(warmup=0, decay=0.5).reweight(updates(*OUTLYING), {0: 0.0, 1: 0.5, 2: 0.25, 3: 0.25}, at(1))
    assert [verdict.weights[i] for i in range(4)] == pytest.approx([0.0, 4 / 7, 2 / 7, 1 / 7])


def test_memory_survives() -> None:
    whole, first = detector(warmup=0), detector(warmup=0)
    for t in range(1, 4):
        whole.reweight(updates(*OUTLYING), QUARTERS, at(t))
        first.reweight(updates(*OUTLYING), QUARTERS, at(t))
    second, state = detector(warmup=0), first.state_dict()
    kept = copy.deepcopy(state)
    second.load_state_dict(state)
    assert second.reweight(updates(*OUTLYING), QUARTERS, at(4)) == whole.reweight(updates(*OUTLYING), QUARTERS, at(4))
    first.reweight(updates(*OUTLYING), QUARTERS, at(4))
    assert state == kept, "rounds that follow do not change a state that was taken"


def test_nothing_underflows_when_everybody_is_flagged_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in turn, 500 times: but for the division by their sum all weights would be 0 after some 200 rounds."""
    turn = itertools.cycle(range(4))

    def one(losses: object, seed: int, trees: int) -> list[bool]:
        flagged = next(turn)
        return [i == flagged for i in range(4)]

    monkeypatch.setattr(_loss_forest, "isolation_outliers", one)
    defense = detector(warmup=0, decay=0.5)
    for t in range(1, 2000):
        verdict = defense.reweight(updates(1, 2, 3, 4), QUARTERS, at(t))
    assert sum(verdict.weights.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warmup": -1}, "warmup must be a whole number of at least 0; got -1"),
        ({"warmup": 1.5}, "warmup must be a whole number"),
        ({"decay": 0.0}, r"decay must be a number in \(0, 1\); got 0.0"),
        ({"decay": 1.0}, "decay must be"),
        ({"random_state": -1}, "^random_state must be a whole number"),
        ({"trees": 0}, "^trees must be a whole number from 1 to"),
        ({"trees": 100_001}, "^trees must be a whole number from 1 to 100000; got 100001"),
        ({"samples": 0}, "^samples must be a whole number from 1 to"),
        ({"samples": 1_000_001}, "^samples must be a whole number from 1 to 1000000; got 1000001"),
        ({"random_state": 2**32}, "^random_state must be a whole number from 0 to 4294967295; got"),
    ],
)
def test_bad_settings(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FedDetect(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READS)
def test_a_refusal_names_the_rule_as_conf_does(kind: type[LossForest]) -> None:
    name = kind.__module__.rpartition(".")[2]
    with pytest.raises(ValueError, match=f"^fl.num_clients must be at least 3 for defense={name}; got 2"):
        kind(warmup=0).setup(num_clients=2, clients_per_round=2, rounds=9)


@pytest.mark.parametrize(
    ("num_clients", "rounds", "words"),
    [
        (2, 10, "^fl.num_clients must be at least 3 for defense=feddetect; got 2"),
        (4, 1, "^fl.rounds must be at least 2 for defense=feddetect; got 1"),
        (4, 10, "^warmup must be at most 8, so that it can act in fl.rounds=10; got 9"),
    ],
)
def test_refused_where_it_could_not_act(num_clients: int, rounds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        detector(num_clients, rounds, warmup=9)


def test_the_bounds_themselves_are_allowed() -> None:
    """A federation of three, whose last round is the first after the warm-up; every seed."""
    assert detector(3, rounds=2, warmup=0, random_state=0).state_dict() == {"c": [0] * 3, "w": [1 / 3] * 3}
    assert detector(3, rounds=11, warmup=9).warmup == 9
