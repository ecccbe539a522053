"""``--help`` lists what a command takes and what it means, quickly; a misspelled name is met with the right one."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedgan.config.refusals import CONF
from tests.helpers.runs import choices, refusal

Call = Callable[..., Any]
PRINTED = pytest.CaptureFixture[str]
COMMANDS = {name: name for name in ("sample", "calibrate", "compare", "report", "evaluate", "utility")} | {
    "train": "config"
}


def shown(call: Call, capsys: PRINTED, command: str, *typed: str) -> str:
    call(import_module(f"fedgan.{command}").main, *typed, "--help")
    return capsys.readouterr().out


def flat(node: object, place: str = "") -> set[str]:
    """The settings of a mapping by their full names; what Hydra builds is no setting."""
    if not isinstance(node, dict) or not node:
        return {place}
    below = {key: value for key, value in node.items() if key != "_target_"}
    return {name for key, value in below.items() for name in flat(value, f"{place}.{key}" if place else key)}


@pytest.mark.parametrize("command", COMMANDS)
def test_4_the_commands_own_groups_and_settings_are_listed_and_no_others(
    command: str, call: Call, capsys: PRINTED
) -> None:
    own = yaml.safe_load((CONF / f"{COMMANDS[command]}.yaml").read_text())
    chosen = [key for entry in own.pop("defaults", []) if isinstance(entry, dict) for key in entry]
    del own["hydra"]
    names = re.findall(r"^  ([\w./]+)(?==| |$)", shown(call, capsys, command), re.MULTILINE)
    groups = [*chosen, "fl/weighting", "fl/backend", "fl/server_optimizer"] if command == "train" else chosen
    assert sorted(name for name in names if name != "python") == sorted([*groups, *flat(own)])


def test_4_a_setting_stands_with_its_default_and_the_comment_on_it(call: Call, capsys: PRINTED) -> None:
    said = " ".join(shown(call, capsys, "report").split())
    assert "export=false true: also every table as CSV, Markdown and LaTeX and every chart as PNG and PDF, in" in said
    said = " ".join(shown(call, capsys, "train").split())
    assert "model=dcgan_small networks, losses, optimizers choices: dcgan, dcgan_small, stylegan2 fl=fedavg" in said
    assert "seed=0 of every random stream evaluation.every=5 rounds between two evaluations;" in said
    assert "defense=[none] what the server" in said
    assert "trimmed_mean; several: 'defense=[a,b]'" in said


def test_4_the_settings_of_a_choice_that_is_typed_are_listed(call: Call, capsys: PRINTED) -> None:
    assert "attack.cells" not in shown(call, capsys, "train")
    said = " ".join(shown(call, capsys, "train", "attack=random_patch", "defense=[median,rotation]", "seed=3").split())
    assert re.search(r"attack\.cells=\d+ \w+", said)
    assert "defense.rotation.degrees=" in said
    assert "attack.size" not in shown(call, capsys, "sample", "attack=white_square"), "it takes no such group"


def test_4_a_choice_of_the_users_own_folder_is_one(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    (tmp_path / "own/attack").mkdir(parents=True)
    (tmp_path / "own/attack/star.yaml").write_text("# A star.\n_target_: my_lab.Star\nrays: 5 # of the star\n")
    said = " ".join(shown(call, capsys, "train", "--config-dir=own", "attack=star").split())
    assert f"choices: {choices('attack', 'star')}" in said
    assert "attack=star: A star: attack.rays=5 of the star" in said


def test_4_a_choice_that_there_is_not_is_refused(call: Call, capsys: PRINTED) -> None:
    said = refusal(call, capsys, import_module("fedgan.train").main, "attack=red", "--help")
    assert said == f"error: attack must be one of {choices('attack')}; got 'red'"


@pytest.mark.parametrize("command", COMMANDS)
def test_4_help_waits_for_no_torch(command: str) -> None:
    code = f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_module('fedgan.{command}', run_name='__main__')"
    code += "; assert not {'torch', 'pandas', 'pytorch_lightning'} & sys.modules.keys()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2, "seconds of the processor"


MEANT = {
    "sample per_clas=3": "per_class",
    "sample rnu=a": "run",
    "compare a mertic=emission": "metric",
    "report a exprot=true": "export",
    "evaluate metrcs=[emission]": "metrics",
    "evaluate metrics=[emision]": "emission",
    "evaluate metrics.emission.false_alam=0.1": "metrics.emission.false_alarm",
    "utility classifer=small_cnn": "classifier",
    "utility classifier.epoch=3": "classifier.epochs",
    "utility sede=[0]": "seeds",
    "train attak=none": "attack",
    "train fl/backnd=serial": "fl/backend",
    "train modle.ema=0.1": "model.ema",
    "train metrics=[frechet] metrics.frechet.classifier.step=9": "metrics.frechet.classifier.steps",
    "train sweep.dry=true": "sweep.dry_run",
}


@pytest.mark.parametrize("typed", MEANT)
def test_4_a_misspelled_name_is_answered_with_the_right_one(typed: str, call: Call, capsys: PRINTED) -> None:
    command, *arguments = typed.split()
    said = refusal(call, capsys, import_module(f"fedgan.{command}").main, *arguments)
    assert said.endswith(f"; did you mean {MEANT[typed]}?")
