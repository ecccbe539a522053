from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from experiments.benchmarks.base import Row
from experiments.benchmarks.overhead import Overhead
from experiments.benchmarks.plain_loop import PlainLoop
from fedgan.config.refusals import CONF
from tests.helpers.federation import TINY

DCGAN = (*(override for override in TINY if override.startswith("model")), "fl.num_clients=3")
STYLEGAN2 = (
    "model=stylegan2",
    "model.generator.channel_base=64",
    "model.generator.mapping_layers=2",
    "model.discriminator.base_channels=4",
)


def measure(case: Sequence[str], folder: Path) -> Row:
    common = [override for override in TINY if not override.startswith(("fl.rounds", "attack", "model"))]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("benchmarks", overrides=["benchmark=overhead", "benchmark.repeats=2"]).benchmark
        cfg.common, cfg.cases = (
            ["attack=none", "fl/weighting=uniform", "evaluation.every=1000", *common],
            {"tiny": list(case)},
        )
        benchmark = instantiate(cfg)
        assert isinstance(benchmark, Overhead)
        (row,) = benchmark.measure(folder)
    return row


@pytest.mark.parametrize("case", [DCGAN, STYLEGAN2], ids=["dcgan", "stylegan2"])
def test_the_plain_loop_ends_every_round_with_the_federations_generator(tmp_path: Path, case: Sequence[str]) -> None:
    row = measure(case, tmp_path)
    assert row["case"] == "tiny"
    assert min(row["ours (s/round)"], row["plain (s/round)"], row["ratio"]) > 0
    assert 0 < row["share of the checkpoint"] < 1
    assert len((tmp_path / "tiny" / "rounds.csv").read_text().splitlines()) == 1 + 4  # two rounds that do not count


def test_a_loop_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PlainLoop.average

    @torch.no_grad()
    def off_by_a_bit(self: PlainLoop) -> None:
        right(self)
        weights = next(self.generator.parameters()).view(-1)
        weights[0] = torch.nextafter(weights[0], torch.tensor(1e9))

    monkeypatch.setattr(PlainLoop, "average", off_by_a_bit)
    with pytest.raises(AssertionError, match=r"round 0: the plain loop's \['label.weight'\] differ"):
        measure(DCGAN, tmp_path)
