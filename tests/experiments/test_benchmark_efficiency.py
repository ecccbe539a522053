"""The efficiency benchmark at toy size: what it counts, and that it fills its table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.efficiency import PARTS, Efficiency, flops_of, local_step
from fedgan.config.refusals import CONF
from fedgan.models.stylegan2 import upsample


def benchmark(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        part: DictConfig = compose("benchmarks", ["benchmark=efficiency", *overrides]).benchmark
    return part


def tiny(name: str) -> list[str]:
    case = f"benchmark.cases.{name}"
    narrow = ["channel_base=256", "channel_max=8"] if name.startswith("stylegan2") else ["base_channels=4"]
    sizes = [f"{case}.image_size=32", f"{case}.batch_size=2", f"{case}.model.discriminator.base_channels=4"]
    return [*sizes, *(f"{case}.model.generator.{width}" for width in narrow)]


def test_every_case_fills_its_rows(tmp_path: Path) -> None:
    names = ["dcgan", "stylegan2_narrow", "stylegan2", "dcgan_small"]
    overrides = [override for name in names for override in tiny(name)]
    side: Efficiency = instantiate(benchmark("benchmark.matrix_sizes=[8,16]", "benchmark.repeats=2", *overrides))
    rows = side.measure(tmp_path)
    assert [(row["case"], row["part"]) for row in rows] == [(name, part) for name in names for part in PARTS]
    assert all(row[column] > 0 for row in rows for column in ("GFLOP", "seconds", "GFLOP/s", "matrix GFLOP/s", "share"))
    for d, g, whole in zip(rows[0::3], rows[1::3], rows[2::3], strict=True):
        assert d["GFLOP"] + g["GFLOP"] == pytest.approx(whole["GFLOP"])


def test_flops_of_a_dcgan_step_by_hand() -> None:
    case = benchmark(*tiny("dcgan")).cases.dcgan
    # By image: D's layers from 32 px gray with 4, 8, 16 maps; G's from 128 numbers over 16, 8, 4 maps.
    d = [2 * 16 * 1 * 4 * 16**2, 2 * 16 * 4 * 8 * 8**2, 2 * 16 * 8 * 16 * 4**2, 2 * 16 * 16 * 2]
    g = [2 * 16 * 128 * 16, 2 * 16 * 16 * 8 * 4**2, 2 * 16 * 8 * 4 * 8**2, 2 * 16 * 4 * 1 * 16**2]
    step_d = sum(g) + 2 * (3 * sum(d) - d[0])  # images want no gradient
    step_g = 3 * sum(g) + 2 * sum(d)  # D's weights want none
    flops = flops_of(local_step(case))
    assert (flops["D step"], flops["G step"]) == (2 * step_d, 2 * step_g)


@pytest.mark.parametrize(
    ("layer", "by_hand", "backward"),
    [
        (nn.ConvTranspose2d(5, 7, 4, stride=2, padding=1), 2 * 3 * 5 * 7 * 4 * 4 * 8 * 8, 2),
        (upsample, 2 * 3 * 5 * 4 * 4 * 8 * 8, 1),  # the filter is fixed
    ],
)
def test_torch_counts_transposed_convolutions_by_their_input(
    layer: Callable[[Tensor], Tensor], by_hand: int, backward: int
) -> None:
    x: Any = torch.randn(3, 5, 8, 8, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        y = layer(x)
        assert counter.get_total_flops() == by_hand
        y.sum().backward()  # type: ignore[no-untyped-call]
    assert counter.get_total_flops() == by_hand * (1 + backward)
