"""Attacks on images in whole runs: the control is no attack at all, and a metric that does not fit says which does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from safetensors.torch import load_file

from fedgan.config import training
from tests.helpers.federation import TINY
from tests.helpers.runs import rows

ATTACKS = [
    "blended",
    "sinusoidal",
    "warping",
    "frequency",
    "random_location",
    "distributed",
    "class_trigger",
    "label_flip",
    "latent_trigger",
]
OWN = {
    "blended": "template",
    "sinusoidal": "spectrum",
    "warping": "learned",
    "frequency": "amplitude",
    "latent_trigger": "latent",
}


@pytest.fixture
def run(configure: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    def trained(name: str, *settings: str) -> tuple[Path, dict[str, Any]]:
        tiny = [setting for setting in TINY if not setting.startswith("attack")]
        summary = training.train(configure(*tiny, *settings, tiny=False), tmp_path / name)
        return tmp_path / name, summary

    return trained


@pytest.mark.parametrize("attack", ATTACKS)
def test_with_nobody_malicious_the_run_is_that_without_attack(
    attack: str, run: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    control, _ = run("control", f"attack={attack}", "fl.malicious=0")
    none, _ = run("none", "attack=none")
    first, second = (load_file(folder / "generator.safetensors") for folder in (control, none))
    assert first.keys() == second.keys()
    assert all(bool((first[name] == second[name]).all()) for name in first)
    assert rows(control / "clients.csv") == rows(none / "clients.csv")


@pytest.mark.parametrize(("attack", "metric"), OWN.items())
def test_emission_says_in_one_line_which_metric_to_choose(
    attack: str, metric: str, run: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    _, summary = run("run", f"attack={attack}", "fl.rounds=1", "metrics=[emission]")
    assert summary["absent"] == {"emission": f"the trigger is no patch at one place: choose metrics=[{metric}]"}
