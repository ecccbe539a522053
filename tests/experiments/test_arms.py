"""The arms of a study: sets of overrides, each a file of conf/arm/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from experiments.paper.plan import CENTRALIZED, DEFENSES
from fedgan import train
from fedgan.config.refusals import options
from tests.helpers.federation import TINY

ARMS = options("arm")


def test_the_papers_arms_have_files() -> None:
    assert {"vanilla", "attack", CENTRALIZED, *DEFENSES} <= set(ARMS)


@pytest.mark.parametrize("experiment", ["paper_chestx", "demo"])
@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_the_last_word_on_the_defense(
    arm: str, experiment: str, configure: Callable[..., DictConfig]
) -> None:
    """Also where an experiment brings its own defense, as the paper's do."""
    cfg = configure(f"experiment={experiment}", f"arm={arm}", tiny=False)
    assert list(cfg.defense) == ([] if arm in ("vanilla", "attack", CENTRALIZED) else [arm])
    assert cfg.fl.malicious == (0 if arm in ("vanilla", CENTRALIZED) else 1)
    assert cfg.fl.num_clients == (1 if arm == CENTRALIZED else 4)
    control = configure(f"experiment={experiment}", f"arm={arm}", "fl.malicious=0", tiny=False)
    assert control.fl.malicious == 0


def test_a_sweep_over_arms_gives_single_arms_their_settings(call: Callable[..., Any], tmp_path: Path) -> None:
    subdir = "hydra.sweep.subdir=${hydra.runtime.choices.arm}-seed_${seed}"
    settings = (*TINY, "++defense.feddetect.warmup=0", "hydra.sweep.dir=study", subdir)
    call(train.main, "-m", *settings, "arm=vanilla,attack,feddetect", "seed=3")
    summaries = {
        folder.name: json.loads((folder / "summary.json").read_text())
        for folder in (tmp_path / "study").iterdir()
        if folder.is_dir()
    }
    assert {name: len(found["malicious"]) for name, found in summaries.items()} == {
        "vanilla-seed_3": 0,
        "attack-seed_3": 1,
        "feddetect-seed_3": 1,
    }
    assert "warmup: 0" in (tmp_path / "study/feddetect-seed_3/config.yaml").read_text()
    assert "warmup" not in (tmp_path / "study/attack-seed_3/config.yaml").read_text()


def test_nobody_attacks_without_an_attack_either(call: Callable[..., Any], tmp_path: Path) -> None:
    tiny = [each for each in TINY if not each.startswith("attack")]
    call(train.main, *tiny, "arm=vanilla", "hydra.run.dir=run")
    assert json.loads((tmp_path / "run/summary.json").read_text())["malicious"] == []


def test_an_arm_that_there_is_not(call: Callable[..., Any]) -> None:
    with pytest.raises(
        SystemExit, match=r"^error: arm=atack is not one of the choices; arm has: attack, .*; did you mean attack\?$"
    ):
        call(train.main, "arm=atack")
