"""Rules with memory and with randomness: the same bits in one process, in two, and after an interruption."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from tests.helpers.runs import outcome, rows

FIVE = ("fl.num_clients=5", "fl.rounds=3", "fl.batch_size=4")
WEIGHTS = ("defense=[bucketing,norm_clipping,foolsgold,dnc,flame]", "defense.norm_clipping.noise=0.01")


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(
    "defense", [(*WEIGHTS, "defense.dnc.coordinates=50"), ("defense=[bucketing,centered_clipping]",)]
)
def test_two_rounds_in_two_processes_and_one_in_one(
    defense: tuple[str, ...], configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    training.train(configure(*FIVE, *defense), one)
    training.train(configure(*FIVE, *defense, "fl.rounds=2", "trainer.devices=2"), several)
    training.train(configure(*FIVE, *defense, f"resume={several}"), several)
    assert {**outcome(several), "config.yaml": None} == {**outcome(one), "config.yaml": None}
    acted = {
        row["component"] for row in rows(one / "receipts.csv") if (row["measure"], row["value"]) == ("acted", "1.0")
    }
    assert len(acted) >= 2, "the rules did something"
