"""Flower's rules as independent oracles (flwr.server.strategy.aggregate), where flwr is installed."""

from typing import Any

import numpy as np
import pytest

from fedgan.defenses.robust.bulyan import Bulyan
from fedgan.defenses.robust.krum import Krum
from fedgan.defenses.robust.median import Median
from fedgan.defenses.robust.trimmed_mean import TrimmedMean
from tests.helpers.rules import step

SIZES = [(7, 1), (11, 2), (16, 3)]


@pytest.fixture
def flower() -> Any:
    return pytest.importorskip("flwr.server.strategy.aggregate", reason="flwr is not installed")


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 9))


def results(deltas: np.ndarray) -> list[tuple[list[np.ndarray], int]]:
    return [([delta], 10) for delta in deltas]


@pytest.mark.parametrize("count", [5, 8, 16])
def test_median(flower: Any, count: int) -> None:
    np.testing.assert_allclose(step(Median(), drawn(count)), flower.aggregate_median(results(drawn(count)))[0])


@pytest.mark.parametrize(("count", "f"), SIZES)
def test_trimmed_mean(flower: Any, count: int, f: int) -> None:
    share = (f + 0.5) / count  # int(share * count) is f
    expected = flower.aggregate_trimmed_avg(results(drawn(count)), share)[0]
    np.testing.assert_allclose(step(TrimmedMean(num_malicious=f), drawn(count)), expected)


@pytest.mark.parametrize(("count", "f"), SIZES)
def test_krum_and_multi_krum(flower: Any, count: int, f: int) -> None:
    one = flower.aggregate_krum(results(drawn(count)), f, 0)[0]
    several = flower.aggregate_krum(results(drawn(count)), f, count - f)[0]
    np.testing.assert_allclose(step(Krum(num_malicious=f, selected=1), drawn(count)), one)
    np.testing.assert_allclose(step(Krum(num_malicious=f), drawn(count)), several)


@pytest.mark.parametrize(("count", "f"), SIZES)
def test_bulyan(flower: Any, count: int, f: int) -> None:
    expected = flower.aggregate_bulyan(results(drawn(count)), f, flower.aggregate_krum, to_keep=0)[0]
    np.testing.assert_allclose(step(Bulyan(num_malicious=f), drawn(count)), expected)
