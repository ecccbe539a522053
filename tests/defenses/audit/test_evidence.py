import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import gumbel_r, kstest
from sklearn.linear_model import LinearRegression

from fedgan.defenses.audit.evidence import (
    Evidence,
    Finding,
    Plane,
    Tail,
    block_maxima,
    deviations,
    recolored,
    surprise,
    tail_of,
)
from fedgan.defenses.audit.views import Map


def maps(seed: int, clients: int = 4, trigger: float = 0.0, who: int = 2) -> dict[int, Map]:
    """Noise, and for one client a patch of 2 x 2 pixels at (20, 25)."""
    drawn = np.random.default_rng(seed).normal(size=(clients, 1, 32, 32))
    drawn[who, 0, 20:22, 25:27] += trigger
    return dict(enumerate(drawn))


def judged(evidence: Evidence, drawn: dict[int, Map]) -> dict[int, Finding]:
    return evidence.judge(evidence.add(drawn))


def test_deviations_are_from_the_others_median_and_less_their_surroundings() -> None:
    drawn = np.random.default_rng(0).normal(size=(5, 2, 12, 12))
    for i in range(5):
        apart = drawn[i] - np.median([drawn[j] for j in range(5) if j != i], axis=0)
        expected = apart - np.stack([uniform_filter(plane, 9, mode="nearest") for plane in apart])
        np.testing.assert_allclose(deviations(drawn, 9)[i], expected, atol=1e-12)


def test_what_all_clients_share_and_drifts_of_brightness_do_not_count() -> None:
    drawn = np.random.default_rng(0).normal(size=(4, 1, 16, 16))
    shared = np.random.default_rng(1).normal(size=(1, 1, 16, 16))
    brightness = np.array([5.0, -3.0, 0.0, 1.0]).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(deviations(drawn + shared, 9), deviations(drawn, 9), atol=1e-12)
    assert not deviations(np.zeros((4, 1, 16, 16)) + brightness, 9).round(12).any()


def test_colors_are_fitted_as_scikit_learn_does_and_one_channel_as_numpy() -> None:
    rng = np.random.default_rng(3)
    image, target = rng.normal(size=(2, 3, 4, 5))
    pixels, colors = image.reshape(3, -1).T, target.reshape(3, -1).T
    expected = LinearRegression().fit(pixels, colors).predict(pixels).T.reshape(3, 4, 5)
    np.testing.assert_allclose(recolored(image, target), expected, atol=1e-12)
    line = np.polyfit(image[0].ravel(), target[0].ravel(), deg=1)
    np.testing.assert_allclose(recolored(image[:1], target[:1]), np.polyval(line, image[:1]), atol=1e-12)


def test_an_image_without_contrast_becomes_the_targets_mean() -> None:
    target = np.random.default_rng(3).normal(size=(2, 4, 5))
    near = recolored(np.full((2, 4, 5), 2.0), target)
    np.testing.assert_allclose(near, np.broadcast_to(target.mean(axis=(1, 2), keepdims=True), near.shape))


def test_other_scanners_do_not_count_when_equalized_and_a_patch_does() -> None:
    rng = np.random.default_rng(4)
    scene = rng.uniform(1, 3, size=(2, 32, 32))  # positive: then the median of the others has the median of their gains
    gains = np.array([[0.8, 1.3], [0.9, 1.1], [1.0, 1.0], [1.2, 0.7]])  # of each channel
    maps = gains[:, :, None, None] * scene - 1.0
    assert np.abs(deviations(maps, 9)).max() > 0.1
    np.testing.assert_allclose(deviations(maps, 9, equalized=True), 0, atol=1e-12)
    maps[1, :, 4:8, 20:24] += 2.0
    apart = np.abs(deviations(maps, 9, equalized=True)).sum(axis=1)
    client, row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    assert (client, row in range(4, 8), column in range(20, 24)) == (1, True, True)


def test_one_round_by_hand() -> None:
    drawn = maps(0)
    steps = deviations(np.stack(list(drawn.values())), 9)
    usual = uniform_filter(np.median(np.abs(steps), axis=0), size=(1, 5, 5), mode="nearest")
    z = np.clip(steps / (1.4826 * usual), -5, 5)
    expected = np.sqrt(uniform_filter(z**2, size=(1, 1, 3, 3), mode="nearest").sum(axis=1))
    found = Evidence(1.0, 9).add(drawn)
    for i in range(4):
        np.testing.assert_allclose(found[i], expected[i], atol=1e-9)


def test_what_stays_grows_and_what_wanders_does_not() -> None:
    """In units of one round: the root of the number of rounds, without forgetting."""
    evidence = Evidence(1.0, 9)
    heights = [evidence.add(maps(t, trigger=50.0))[2][20, 25] for t in range(16)]
    elsewhere = evidence.add(maps(99, trigger=50.0))[1]
    assert heights[15] / heights[0] == pytest.approx(4.0, rel=0.1)
    assert elsewhere.max() < heights[15] / 2


def test_memory_forgets() -> None:
    """Five rounds with a trigger, then none: evidence falls by the memory each round, and by more than without."""
    kept, forgets = Evidence(1.0, 9), Evidence(0.8, 9)
    for t in range(5):
        before = [each.add(maps(t, trigger=50.0))[2][20, 25] for each in (kept, forgets)]
    for t in range(5, 25):
        after = [each.add(maps(t))[2][20, 25] for each in (kept, forgets)]
    assert after[1] < 0.25 * before[1] < after[0]


def test_a_client_that_is_absent_keeps_its_evidence() -> None:
    evidence = Evidence(0.9, 9)
    for t in range(5):
        evidence.add(maps(t, trigger=50.0))
    before = evidence.sums[2].copy()
    evidence.add({i: each for i, each in maps(6).items() if i != 2})
    np.testing.assert_array_equal(evidence.sums[2], before)


def test_it_continues_from_its_state() -> None:
    once, again = Evidence(0.9, 9), Evidence(0.9, 9)
    for t in range(3):
        once.add(maps(t))
    again.load_state_dict(once.state_dict())
    assert all(isinstance(each, torch.Tensor) for each in again.state_dict()["sums"].values())
    for i, plane in once.add(maps(4)).items():
        np.testing.assert_array_equal(again.add(maps(4))[i] if i == 0 else plane, plane)


def test_images_that_are_all_one_say_nothing() -> None:
    found = judged(Evidence(1.0, 9), {i: np.zeros((1, 32, 32)) for i in range(4)})
    assert all(each.score == 0 for each in found.values())


def test_blocks_at_the_edges_count_too() -> None:
    plane = np.arange(20 * 10, dtype=float).reshape(20, 10)
    assert block_maxima(plane).tolist() == [7 * 10 + 7, 7 * 10 + 9, 15 * 10 + 7, 15 * 10 + 9, 197, 199]


@pytest.mark.parametrize("count", [1, 64, 1000])
def test_scipys_gumbel_agrees(count: int) -> None:
    sample = gumbel_r.ppf(np.arange(0.0005, 1, 0.001), loc=3.0, scale=0.5)
    for value in (3.0, 5.0, 8.0, 12.0):
        expected = -np.log(-np.expm1(count * gumbel_r.logcdf(value, loc=3.0, scale=0.5)))
        assert surprise(value, tail_of(sample), count) == pytest.approx(expected, rel=0.01, abs=0.02)


def test_scores_of_maxima_of_noise_are_as_rare_as_they_say() -> None:
    """Blocks of 64 normal pixels: exp(-score) of the highest client is nearly uniform, and small ones are rare."""
    rng, rare = np.random.default_rng(0), []
    for _ in range(400):
        found = Evidence(1.0, 9).judge({i: np.abs(rng.normal(size=(32, 32))) for i in range(4)})
        rare.append(np.exp(-max(each.score for each in found.values())))
    assert kstest(rare, "uniform").statistic < 0.15
    assert np.mean(np.array(rare) < 0.02) < 0.06


def planes(seed: int) -> dict[int, Plane]:
    drawn = np.abs(np.random.default_rng(seed).normal(size=(4, 32, 32)))
    return dict(enumerate(drawn))


def test_the_tail_is_that_of_the_others_averaged_over_rounds_by_hand() -> None:
    evidence, quartiles = Evidence(1.0, 9), []
    for t in range(3):
        found = evidence.judge(planes(t))
        others = np.concatenate([block_maxima(planes(t)[i]) for i in (0, 1, 3)])
        quartiles.append(np.quantile(others, (0.25, 0.5, 0.75)))
    low, middle, high = (np.average([each[k] for each in quartiles], weights=(0.81, 0.9, 1.0)) for k in range(3))
    scale = (high - low) / (gumbel_r.ppf(0.75) - gumbel_r.ppf(0.25))
    place = middle - scale * gumbel_r.ppf(0.5)
    value = planes(2)[2].max()
    expected = -np.log(-np.expm1(64 * gumbel_r.logcdf(value, loc=place, scale=scale)))
    assert found[2].score == pytest.approx(expected, rel=1e-6)


def test_one_odd_round_of_the_others_moves_a_score_little() -> None:
    """The others' blocks are alike for once: judged by that round alone, a client of always looks far out."""
    evidence, alone = Evidence(1.0, 9), Evidence(1.0, 9)
    for t in range(10):
        usual = evidence.judge(planes(t))
    odd = {i: plane if i == 2 else 1.0 + plane / 10 for i, plane in planes(10).items()}
    assert alone.judge(odd)[2].score > 20 > 8 > evidence.judge(odd)[2].score > usual[2].score


def test_a_flat_distribution_says_nothing() -> None:
    assert surprise(9.0, Tail(1.0, 0.0), 8) == 0.0


def test_the_client_and_the_place_are_found() -> None:
    evidence = Evidence(0.95, 9)
    for t in range(6):
        found = judged(evidence, maps(t, trigger=4.0))
    assert max(found, key=lambda i: found[i].score) == 2
    assert found[2].score > 10 > 3 * max(found[i].score for i in (0, 1, 3))
    assert abs(found[2].row - 20.5) <= 1
    assert abs(found[2].column - 25.5) <= 1


def test_three_colluding_of_eight_are_found() -> None:
    evidence = Evidence(0.95, 9)
    for t in range(8):
        drawn = np.random.default_rng(t).normal(size=(8, 1, 32, 32))
        drawn[[1, 4, 6], 0, 20:22, 25:27] += 6.0
        found = judged(evidence, dict(enumerate(drawn)))
    assert {i for i in range(8) if found[i].score > 8} == {1, 4, 6}
