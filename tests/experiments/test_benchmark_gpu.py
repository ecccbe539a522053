from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from experiments.benchmarks.base import Row
from experiments.benchmarks.gpu import GPU, Variant, arithmetic
from fedgan.config.refusals import CONF
from fedgan.gan.client import GANClient

on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the toy is for machines without a GPU")


def measure(variants: Mapping[str, Any], folder: Path) -> Sequence[Row]:
    tiny = ["benchmark.repeats=1", "benchmark.steps=1", "benchmark.product_size=8"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("benchmarks", overrides=["benchmark=gpu", *tiny]).benchmark
        cfg.variants = dict(variants)
        benchmark = instantiate(cfg)
        assert isinstance(benchmark, GPU)
        return benchmark.measure(folder)


@on_cpu
def test_a_row_a_variant_and_one_that_fails_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"overrides": ["model.nothing=1"]}
    rows = measure({"fp32": {}, "plain": {"channels_last": False}, "bad": bad, "tf32": {"gpu_only": True}}, tmp_path)
    assert "no GPU, so left out: tf32" in capsys.readouterr().err
    assert [row["variant"] for row in rows] == ["fp32", "plain", "bad"]
    for row in rows[:2]:
        # 200 rounds of 4 clients with 366 batches of 4 images each.
        assert row["hours for 200 rounds"] == pytest.approx(200 * 4 * 1464 / row["images/s"] / 3600)
        assert row["share of bf16 products"] > 0
        assert row["note"] == ""
    assert rows[2]["images/s"] != rows[2]["images/s"]  # not a number
    assert "model.nothing" in rows[2]["note"]


@on_cpu
def test_a_variant_whose_client_fails_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A federation continues without it; a benchmark does not."""
    whole, calls = GANClient.train_locally, iter(range(1000))

    def not_at_first(self: GANClient, *args: Any, **settings: Any) -> Any:
        if next(calls) == 0:
            raise RuntimeError("not today")
        return whole(self, *args, **settings)

    monkeypatch.setattr(GANClient, "train_locally", not_at_first)
    (row,) = measure({"fp32": {}}, tmp_path)
    assert "not today" in row["note"]


def test_arithmetic_is_put_back(configure: Callable[..., Any]) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    cfg, product, images = configure("trainer.precision=bf16-mixed"), torch.ones(2, 2), torch.ones(1, 3, 2, 2)
    with arithmetic(Variant("fast", channels_last=False), cfg, torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        assert (product @ product).dtype == torch.bfloat16
        assert images.to(memory_format=torch.channels_last).is_contiguous()
    assert torch.are_deterministic_algorithms_enabled() == before
    assert (product @ product).dtype == torch.float32
    assert not images.to(memory_format=torch.channels_last).is_contiguous()
