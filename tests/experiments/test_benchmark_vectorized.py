from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from experiments.benchmarks.vectorized import Vectorized
from fedgan.config.refusals import CONF
from fedgan.gan.client import GANClient
from fedgan.gan.vectorized import train_together


def test_a_row_a_model_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One side trains its clients together, the other does not; both end alike."""
    together: list[int] = []

    def counted(clients: Sequence[GANClient], *args: Any, **settings: Any) -> list[dict[str, float]]:
        together.append(len(clients))
        return train_together(clients, *args, **settings)

    monkeypatch.setattr("fedgan.gan.algorithm.GAN.train_together", staticmethod(counted))
    tiny = ["benchmark=vectorized", "benchmark.repeats=1", "benchmark.steps=1", "benchmark.sizes=[2,3]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("benchmarks", overrides=[*tiny, "~benchmark.models.dcgan_small"]).benchmark
        benchmark = instantiate(cfg)
        assert isinstance(benchmark, Vectorized)
        rows = benchmark.measure(tmp_path)
    assert [(row["clients"], row["model"]) for row in rows] == [(2, "tiny"), (3, "tiny")]
    assert together == [2] * 3 + [3] * 3  # for the difference, to warm up, and for the clock
    for row in rows:
        assert min(row["serial (s/round)"], row["vectorized (s/round)"], row["ratio"]) > 0
        assert 0 <= row["largest difference"] < 2e-3  # Adam's first step is its rate, 4e-4, up or down
