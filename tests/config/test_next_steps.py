"""Each command ends with the command that makes the report, as it can be copied into a shell."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fedgan import compare, evaluate, report, sample, train, utility
from fedgan.config.next_steps import next_steps, setting
from tests.helpers.federation import TINY

Call = Callable[..., Any]
PRINTED = pytest.CaptureFixture[str]


def reports(capsys: PRINTED) -> list[list[str]]:
    """What each line names after ``report:``, as a shell splits it; without the command."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("report: ")]
    typed = [shlex.split(line.removeprefix("report: ")) for line in lines]
    assert all(each[:3] == ["python", "-m", "fedgan.report"] for each in typed)
    return [each[3:] for each in typed]


@pytest.mark.parametrize("name", ["run", "a b", "it's", "x=1", "a,b", "$HOME", "[0]", "7"])
def test_3_a_setting_is_read_back_from_what_a_shell_hands_on(name: str) -> None:
    (typed,) = shlex.split(setting("run", name))
    override = OverridesParser.create().parse_override(typed)
    assert (override.key_or_group, override.value(), override.is_sweep_override()) == ("run", name, False)


def test_3_a_plain_folder_takes_no_quotes() -> None:
    assert next_steps(Path("outputs/train/a+b")) == [
        "report: python -m fedgan.report outputs/train/a+b",
        "next: python -m fedgan.sample run=outputs/train/a+b out=FOLDER | python -m fedgan.evaluate "
        "run=outputs/train/a+b",
    ]


def test_3_every_command_names_a_report_that_can_be_made(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    run, control = tmp_path / "a run", tmp_path / "control"
    call(train.main, *TINY, "fl.rounds=1", "hydra.run.dir=a run")
    assert reports(capsys) == [[str(run)]]
    call(train.main, *TINY, "fl.rounds=1", "fl.malicious=0", "hydra.run.dir=control")
    capsys.readouterr()

    call(evaluate.main, "metrics=none", f"run={run}", f"control={control}", "samples_per_class=4")
    assert reports(capsys) == [[str(run), str(control)]]
    call(compare.main, "a run", "control", "hydra.run.dir=compared")
    assert reports(capsys) == [["a run", "control"]]
    few = ("real_per_class=[1]", "seeds=[0]", "synthetic_per_class=4", "test_per_class=4")
    fast = ("classifier.epochs=1", "classifier.least_steps_per_epoch=1")
    call(utility.main, "run=control", *few, *fast, "hydra.run.dir=used")
    ((folder,),) = reports(capsys)
    assert Path(folder).resolve() == control
    call(report.main, str(run))
    assert (run / "report.html").is_file()


def test_3_a_sweep_names_one_report_on_all_its_runs(call: Call, capsys: PRINTED) -> None:
    call(train.main, "-m", *TINY, "fl.rounds=1", "seed=0,1", "hydra.sweep.dir=my sweep")
    assert reports(capsys) == [["my sweep"]]


def test_a_sample_ends_with_the_report_of_its_run_if_that_is_there(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    call(train.main, *TINY, "fl.rounds=1", "hydra.run.dir=run")
    capsys.readouterr()
    call(sample.main, "run=run", "per_class=1", "out=images")
    assert reports(capsys) == [["run"]]
    (tmp_path / "alone").mkdir()
    (tmp_path / "run/generator.safetensors").rename(tmp_path / "alone/generator.safetensors")
    call(sample.main, "run=alone", "per_class=1", "out=others")
    assert reports(capsys) == []
