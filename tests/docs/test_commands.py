"""The shell commands of README and docs/: each can be composed, and is carried out on small data."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict
from PIL import Image

from fedgan.calibrate import OWN
from fedgan.config import training
from fedgan.config.refusals import CONF
from fedgan.config.typed.choices import fit_choices
from fedgan.config.typed.paths import collected
from tests.helpers.documents import PAGES, ROOT, Command, commands, generate, other_lines
from tests.helpers.federation import TINY
from tests.helpers.runs import refusal
from tests.helpers.shrinking import shrunk

Call = Callable[..., Any]
TEXTS = {page.name: page.read_text() for page in PAGES} | generate().pages()
SHOWN = [command for name, text in TEXTS.items() for command in commands(name, text)]
ANSWERED = [command for command in SHOWN if command.answer]
RUN = [each for each in SHOWN if each.runs and not each.answer and each.module.startswith("fedgan.")]
LESIONS = ("nv", "bkl", "df", "vasc", "mel", "bcc", "akiec")
FAST = "getting-started.md"  # whose commands are carried out in every test run; all others under `slow`
STAMP = re.compile(r"outputs/train/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?")


def settings_of(command: Command) -> list[str]:
    """What is typed, without flags and without the names that stand ahead of the settings."""
    if command.module == "fedgan.calibrate":
        return [each for each in collected(command.arguments, "train", OWN) if not each.startswith("-")]
    return [each for each in command.arguments if "=" in each and not each.startswith("-")]


def single_runs(command: Command) -> list[list[str]]:
    """The overrides of each run: one, or those of a sweep; a sweeper that may not be installed is left out."""
    typed = [each for each in settings_of(command) if not each.startswith(("hydra/sweeper", "hydra.sweeper."))]
    if not {"-m", "--multirun"} & set(command.arguments):
        return [typed]
    batches = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(typed), max_batch_size=None)
    return [[*overrides, "hydra.mode=MULTIRUN"] for batch in batches for overrides in batch]


@contextmanager
def composed(config_name: str, overrides: list[str]) -> Iterator[DictConfig]:
    """The configuration as within a command."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(config_name, overrides=overrides, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        try:
            with open_dict(cfg):
                del cfg.hydra
            yield cfg
        finally:
            HydraConfig.instance().cfg = None


def config_of(command: Command) -> str:
    name = command.module.rpartition(".")[2]
    return "config" if name == "train" else name


def test_the_pages_show_commands() -> None:
    assert {"README.md", "getting-started.md", "data.md", "sweeps.md", "scale.md"} <= {each.page for each in SHOWN}
    assert {"fedgan.train", "fedgan.evaluate", "fedgan.sample", "fedgan.utility"} <= {each.module for each in RUN}
    assert len(ANSWERED) > 20


@pytest.mark.parametrize("command", [each for each in SHOWN if not each.answer], ids=str)
def test_every_command_can_be_composed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec(command.module) is not None
    if not (CONF / f"{config_of(command)}.yaml").is_file():
        return  # a script without settings of conf/
    if any("hparams_search=optuna" in each for each in command.arguments):
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="fedgan[sweeps-optuna] is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for overrides in single_runs(command):
        with composed(config_of(command), overrides) as cfg:
            fit_choices(cfg, free=("runs", "settings"))
            if command.module == "fedgan.train":
                training.check_settings(cfg)


def test_make_and_pip_are_told_what_they_know() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in PAGES for line in other_lines(page)]
    for line in lines:
        if line.startswith("make "):
            assert set(line.split()[1:]) <= targets, line
        for extra in re.findall(r"pip install -e \.\[([\w-]+)\]", line):
            assert extra in project["optional-dependencies"], line
    assert any(line.startswith("make demo") for line in lines)


# For real


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two finished runs: one that is attacked, and its control."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, malicious in (("RUN", 1), ("CONTROL", 0)):
        overrides = [*TINY, "dataset.train_per_class=64", f"fl.malicious={malicious}"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=overrides)
        training.train(cfg, folder / name)
        found[name] = folder / name
    return found


@pytest.fixture
def _no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("tests do not download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def images_for(command: Command, folder: Path) -> Path:
    """A folder of noise images as the command wants it: with X-rays' classes, or flat with the table that it names."""
    typed = " ".join(command.arguments)
    table = re.search(r"dataset[.]labels=(\S+)", typed)
    names = ("NORMAL", "PNEUMONIA") if "chestx" in typed else ("benign", "malignant")
    rows = ["image_id,lesion_id,dx"]
    for name in LESIONS if table else names:
        for i in range(30):
            own = folder if table else folder / ("test" if i % 5 == 0 else "train") / name
            stem = f"person{i}_{name}"
            own.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(len(rows)).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(own / f"{stem}.png")
            rows.append(f"{stem},{stem},{name}")
    if table:
        (folder / table[1]).write_text("\n".join(rows) + "\n")
    return folder


def placed(command: Command, finished: dict[str, Path], folder: Path) -> list[str]:
    """The arguments with real places: runs (copies of them), images, folders to write to."""
    images = images_for(command, folder / "images")
    arguments = []
    for each in command.arguments:
        key, equals, value = each.partition("=")
        if equals and key.lstrip("+~") in ("run", "control", "resume", "runs"):
            run = STAMP.sub("RUN", value)
            names = {"control": "CONTROL", "run": "RUN", "resume": "RUN"}
            value = run if key == "runs" or value == "auto" else names[key]
            for name, place in finished.items():
                shutil.copytree(place, folder / name, dirs_exist_ok=True)
                value = re.sub(rf"\b({name}|PATH)\b", str(folder / name), value)
        elif equals and key in ("dataset.root", "root", "hydra.run.dir"):
            value = value.replace("PATH", str(images))
        elif STAMP.fullmatch(each):  # a run or a sweep, without a key
            for name in finished if command.module == "fedgan.compare" else ["RUN"]:
                shutil.copytree(finished[name], folder / each / name, dirs_exist_ok=True)
        arguments.append(f"{key}{equals}{value}")
    return arguments


def small(command: Command) -> list[str]:
    """What is appended so that the command takes seconds; what a sweep varies stays."""
    sweep, typed = single_runs(command), settings_of(command)
    varied = {each.partition("=")[0].lstrip("+") for each in typed if len(sweep) > 1 and "," in each}
    if command.module == "fedgan.train":
        if any(each.startswith("resume=") and each != "resume=auto" for each in typed):
            return []
        found = [shrunk_config(overrides) for overrides in sweep]
        added = {each.partition("=")[0][2:] for each in typed if each.startswith("++")}
        everywhere = {each for each in set.intersection(*map(set, found)) if each.partition("=")[0] not in added}
        wanted = dict.fromkeys(each for own in found for each in own)
        small = [each if each in everywhere else f"++{each}" for each in wanted]
        small += ["logger=none", "fl.batch_size=4", "evaluation.samples_per_class=8"]
        return [each for each in small if each.lstrip("+").partition("=")[0] not in varied]
    if command.module == "fedgan.evaluate":
        with composed("evaluate", sweep[0]) as cfg:
            return [*shrunk(cfg), "samples_per_class=8"]
    if command.module == "fedgan.utility":
        return ["classifier.epochs=1", "classifier.least_steps_per_epoch=1", "synthetic_per_class=8"]
    return []


def shrunk_config(overrides: list[str]) -> list[str]:
    with composed("config", overrides) as cfg:
        return shrunk(cfg)


def ends(argument: str) -> str:
    """Of three values or more that a sweep lists, the first and the last: all of them are composed above."""
    key, _, value = argument.partition("=")
    values = value.split(",")
    return f"{key}={values[0]},{values[-1]}" if len(values) > 2 and not set(value) & set("[](){}'\"") else argument


def test_6_a_sweep_is_carried_out_with_two_values_of_each_list() -> None:
    given = ["attack.size=4,8,16", "seed=0,1", "'seed=range(3)'", "metrics=[a,b,c]", "-m", "a,b,c"]
    assert list(map(ends, given))[:5] == ["attack.size=4,16", *given[1:5]]
    sweeps = [each for each in RUN if "-m" in each.arguments and "defense=none,feddetect" in each.arguments]
    assert any(len(single_runs(each)) == 12 for each in sweeps)  # README's, which took minutes
    assert all(len(single_runs(replace(each, arguments=tuple(map(ends, each.arguments))))) <= 8 for each in sweeps)


def once(arguments: list[str], appended: list[str]) -> list[str]:
    """Both, without what is typed and then appended: Hydra takes a setting once."""
    keys = {each.partition("=")[0].lstrip("+") for each in appended}
    return [each for each in arguments if each.partition("=")[0].lstrip("+") not in keys] + appended


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=() if c.page == FAST else pytest.mark.slow) for c in RUN], ids=str
)
@pytest.mark.usefixtures("_no_download")
def test_every_command_of_fedgan_works(
    command: Command, call: Call, finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(each.startswith("trainer=gpu") for each in command.arguments) and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    arguments = placed(command, finished, tmp_path)
    before = stamps(tmp_path)
    typed = once(list(map(ends, arguments)) if "-m" in arguments else arguments, small(command))
    if any(each.startswith("hydra/launcher=") for each in typed):  # workers stay where the first test started them
        own = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-m", command.module, *typed], cwd=tmp_path, env=own, check=True)
    else:
        call(import_module(command.module).main, *typed)
    made = {"train": "summary.json", "evaluate": "evaluation.json", "sample": "manifest.csv", "utility": "curve.csv"}
    name = made.get(command.module.rpartition(".")[2], "*")
    changed = {file for file, stamp in stamps(tmp_path).items() if before.get(file) != stamp}
    finished_already = f"resume={tmp_path / 'RUN'}" == " ".join(arguments)  # nothing to do, and it says so
    assert finished_already or any(file.match(name) for file in changed)


def stamps(folder: Path) -> dict[Path, int]:
    """Every file below a folder, and when it was last written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("command", ANSWERED, ids=str)
def test_every_error_is_answered_as_the_page_says(
    command: Command, call: Call, capsys: pytest.CaptureFixture[str], finished: dict[str, Path], image_folder: Path
) -> None:
    def real(text: str) -> str:
        return text.replace("PATH", str(image_folder)).replace("RUN", str(finished["RUN"]))

    answer = refusal(call, capsys, import_module(command.module).main, *map(real, command.arguments))
    pattern = "*".join(re.sub(r"[\[*?]", lambda m: f"[{m[0]}]", part) for part in real(command.answer).split("..."))
    assert fnmatchcase(answer, pattern), answer
