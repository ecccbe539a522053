"""A finished run is loaded from its folder and scored again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import DictConfig

from fedgan import evaluate
from fedgan.config import evaluation, training
from fedgan.config.building.run import build_parts
from fedgan.core.images import has_copy
from fedgan.runs.allowlist import build_trusted
from fedgan.runs.load import open_run
from tests.helpers.federation import TINY

Call = Callable[..., Any]
QUICK = ("metrics=[emission,frechet]", "metrics.frechet.classifier.steps=3", "samples_per_class=8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run_of(runs: Path, configure: Callable[..., DictConfig]) -> Callable[..., Path]:
    """A finished run of these overrides, trained once for all tests of this file."""

    def train_once(name: str, *overrides: str, tiny: bool = True) -> Path:
        if not (runs / name).exists():
            metrics = ("metrics=[emission,frechet]", "metrics.frechet.classifier.steps=3")
            training.train(configure(*overrides, *metrics, tiny=tiny), runs / name)
        return runs / name

    return train_once


@pytest.fixture
def attacked(run_of: Callable[..., Path]) -> Path:
    return run_of("attacked")


@pytest.fixture
def copy(attacked: Path, tmp_path: Path) -> Path:
    """The attacked run's folder, to be tampered with."""
    return Path(shutil.copytree(attacked, tmp_path / "copy", symlinks=True))


def metrics_of(file: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads(file.read_text())["metrics"]
    return metrics


@pytest.mark.parametrize("model", ["dcgan_small", "dcgan"])
@pytest.mark.parametrize("backend", ["serial", "vectorized"])
def test_the_same_metrics_as_at_the_end_of_training(
    call: Call, run_of: Callable[..., Path], model: str, backend: str, tmp_path: Path
) -> None:
    run = run_of(f"{model}-{backend}", f"model={model}", f"fl/backend={backend}")
    call(evaluate.main, f"run={run}", *QUICK, f"out={tmp_path / 'evaluation.json'}")
    summary = json.loads((run / "summary.json").read_text())
    evaluated = json.loads((tmp_path / "evaluation.json").read_text())
    assert evaluated["metrics"] == summary["metrics"]
    assert evaluated["facts"] == summary["facts"]


CHANGED = ("partition=feature_skew", "attack.start=1", "defense=[reconstruction,gradient_penalty]", "fl.malicious=[2]")
MEMORIZED = ("metrics=[memorization]", "metrics.memorization.classifier.steps=3")
SERVER = ("defense.reconstruction.images_per_class=4", "defense.reconstruction.epochs=1")


def test_what_clients_trained_on_is_made_again(
    call: Call, configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """Changed by the partition, poisoned in one of two rounds, and the server's own."""
    cfg, run = configure(*CHANGED, *SERVER, *MEMORIZED), tmp_path / "run"
    training.train(cfg, run)
    call(evaluate.main, f"run={run}", *MEMORIZED, "samples_per_class=8")
    evaluated, summary = (json.loads((run / name).read_text()) for name in ("evaluation.json", "summary.json"))
    assert evaluated["metrics"] == summary["metrics"]
    assert evaluated["facts"] == summary["facts"]
    before, again = (made() for made in (build_parts(cfg, run).evaluator.trained, open_run(run).trained) if made)
    assert [each.fingerprint for each in again] == [each.fingerprint for each in before]
    assert [len(each) for each in again] == [14, 14, 14, 14, 14, 8], "of client 2 both"
    assert not has_copy(again[0], open_run(run).splits.train).any()


def test_without_what_clients_trained_on_memorization_says_so(call: Call, copy: Path) -> None:
    record = json.loads((copy / "run.json").read_text())
    record["poison_reports"][0]["sha256"] = "0" * 64
    (copy / "run.json").write_text(json.dumps(record))
    call(evaluate.main, f"run={copy}", *MEMORIZED, "samples_per_class=8")
    absent = json.loads((copy / "evaluation.json").read_text())["absent"]
    assert absent["memorization"].startswith("what its clients trained on cannot be made again (run must be a run")


def test_the_same_settings_give_the_same_metrics_and_others_do_not(call: Call, attacked: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ()), ("c", ("latent_seed=7",))):
        call(evaluate.main, f"run={attacked}", *QUICK, f"out={tmp_path / name}.json", *more)
    a, b, c = (metrics_of(tmp_path / f"{name}.json") for name in "abc")
    assert a == b
    assert a["frechet_classifier"] != c["frechet_classifier"]


def test_the_control_is_written_next_to_the_run(
    call: Call, attacked: Path, run_of: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    control = run_of("control", "fl.malicious=0", "seed=1")
    call(evaluate.main, f"run={attacked}", f"control={control}", *QUICK, f"out={tmp_path / 'e.json'}")
    evaluation = json.loads((tmp_path / "e.json").read_text())
    alone = tmp_path / "alone.json"
    call(evaluate.main, f"run={control}", *QUICK, f"out={alone}")
    assert evaluation["control_metrics"] == metrics_of(alone)  # a white square is the same for every seed
    assert evaluation["control_generator_sha256"] != evaluation["generator_sha256"]
    assert "control" in capsys.readouterr().out


def test_a_run_made_elsewhere(
    call: Call, run_of: Callable[..., Path], image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_phantoms = [o for o in TINY if "_per_class" not in o or "samples" in o]
    run = run_of("folder", *without_phantoms, "dataset=image_folder", f"dataset.root={image_folder}", tiny=False)
    moved, elsewhere = tmp_path / "elsewhere", tmp_path / "moved"
    shutil.copytree(image_folder, moved)
    shutil.rmtree(image_folder)
    shutil.copytree(run, elsewhere, symlinks=True)
    call(evaluate.main, f"run={elsewhere}", f"root={moved}", *QUICK)
    assert metrics_of(elsewhere / "evaluation.json")
    with pytest.raises(SystemExit, match="dataset.root"):
        call(evaluate.main, f"run={elsewhere}", *QUICK)
    next((moved / "test" / "benign").iterdir()).unlink()
    with pytest.raises(SystemExit, match="root must contain the data set that the run was trained on .* with"):
        call(evaluate.main, f"run={elsewhere}", f"root={moved}", *QUICK)


def test_a7_summary_and_evaluation_say_which_training_images_are_test_images(
    call: Call, run_of: Callable[..., Path], image_folder: Path
) -> None:
    without_phantoms = [o for o in TINY if "_per_class" not in o or "samples" in o]
    data = ("dataset=image_folder", f"dataset.root={image_folder}", "dataset.pool_splits=true")
    run = run_of("pooled", *without_phantoms, *data, tiny=False)
    call(evaluate.main, f"run={run}", *QUICK)
    for name in ("summary.json", "evaluation.json"):
        facts = json.loads((run / name).read_text())["facts"]
        said = {f"training_images_that_are_test_images/{each}": 6 for each in ("benign", "malignant")}
        assert facts["real_images"] == said


def change(folder: Path, **settings: Any) -> None:
    """Write other settings into a run's config.yaml."""
    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in settings.items():
        group, _, name = key.partition("__")
        recorded[group][name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(recorded))


def test_nothing_in_a_run_folder_is_executed(copy: Path, tmp_path: Path) -> None:
    for target in (
        "os.system",
        "fedgan.core.files.keep",
        "fedgan.datasets._drawing.math.exp",
        "fedgan.datasets.medmnist.Path",
    ):
        change(copy, dataset___target_=target)
        with pytest.raises(ValueError, match="run"):
            open_run(copy)
    script = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{tmp_path / 'touched'}']]"
    (copy / "config.yaml").write_text(script)
    with pytest.raises(ValueError, match=r"readable run.json and config.yaml"):
        open_run(copy)
    assert not (tmp_path / "touched").exists()


def test_a_class_that_a_module_only_imports_is_not_its_own() -> None:
    with pytest.raises(ValueError, match="a class of fedgan.datasets"):
        build_trusted("run", "fedgan.datasets.medmnist.Path", {}, "fedgan.datasets")


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ({"dataset__image_size": 64}, "data set must be the one that the run was trained on"),
        ({"dataset__seed": 1}, "data set must be the one that the run was trained on"),
        ({"dataset__color": "red"}, "run: its dataset: color is not an argument"),
        ({"attack__size": 99}, "attack.size must be at most 31"),
    ],
)
def test_another_data_set_or_attack_is_refused(copy: Path, tampering: dict[str, Any], words: str) -> None:
    change(copy, **tampering)
    with pytest.raises(ValueError, match=words):
        open_run(copy)


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "generator.safetensors"])
def test_a_folder_that_lacks_a_part_is_refused(call: Call, copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(SystemExit, match="error: run must be the folder of a finished run"):
        call(evaluate.main, f"run={copy}", *QUICK)


def test_a_run_that_did_not_finish_is_refused(copy: Path) -> None:
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "status": "failed"}))
    with pytest.raises(ValueError, match="finished run"):
        open_run(copy)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("metrics=[beauty]",), "beauty.*emission.*memorization"),
        (("samples_per_class=1",), "samples_per_class must be a whole number of at least 2"),
        (("latent_seed=-1",), "latent_seed must be"),
        (("batch_size=0",), "batch_size must be"),
        (("device=tpu",), "device must be one of cpu, cuda"),
        (("root=/nowhere",), "root must be null: this run's data set is drawn"),
        (("out=/nowhere/e.json",), "out must be a file in a folder that exists"),
        (("metrics.emission.color=1",), "color is not a setting"),
    ],
)
def test_bad_settings(call: Call, attacked: Path, settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(SystemExit, match=f"error: .*{words}"):
        call(evaluate.main, f"run={attacked}", *QUICK, *settings)


@pytest.fixture
def nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(*_: object, **__: object) -> None:
        raise AssertionError("scored before it was known whether the file can be written")

    monkeypatch.setattr(evaluation, "evaluate", scored)


@pytest.mark.usefixtures("nothing_is_scored")
def test_f26_a_file_that_cannot_be_written_is_refused_before_anything_is_scored(
    call: Call, attacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="error: out must be a file that can be written; got .*too long"):
        call(evaluate.main, f"run={attacked}", *QUICK, f"out={tmp_path / ('e' * 240)}.json")

    def refused(path: Path, content: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refused)  # tests may run as root, who may write everywhere
    for more in ((), (f"out={tmp_path / 'e.json'}",)):
        with pytest.raises(SystemExit, match=r"error: out must be .* written; got '.*\.json' \(Permission denied\)$"):
            call(evaluate.main, f"run={attacked}", *QUICK, *more)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("nothing_is_scored")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_f26_a_folder_of_somebody_else(call: Call, copy: Path) -> None:
    copy.chmod(0o500)
    with pytest.raises(SystemExit, match="error: out must be a file that can be written; got .*Permission denied"):
        call(evaluate.main, f"run={copy}", *QUICK)
    copy.chmod(0o700)


@pytest.mark.usefixtures("nothing_is_scored")
@pytest.mark.parametrize("content", [b"my notes", b"[]", b'{"metrics": {}}', b"\xff\xfe"], ids=repr)
def test_f26_a_file_that_fedgan_did_not_write_is_not_replaced(
    call: Call, copy: Path, tmp_path: Path, content: bytes
) -> None:
    link, folder = tmp_path / "link.json", tmp_path / "folder.json"
    link.symlink_to(tmp_path / "nowhere")
    folder.mkdir()
    for file in (tmp_path / "mine.json", copy / "evaluation.json"):
        file.write_bytes(content)
    words = "error: out must be a new file, or one that fedgan.evaluate has written; got"
    for more in ((), *((f"out={file}",) for file in (tmp_path / "mine.json", link, folder))):
        with pytest.raises(SystemExit, match=words):
            call(evaluate.main, f"run={copy}", *QUICK, *more)
    assert (tmp_path / "mine.json").read_bytes() == (copy / "evaluation.json").read_bytes() == content
    assert link.is_symlink()


def test_f26_an_earlier_evaluation_is_replaced_and_nothing_else_is_left(call: Call, copy: Path) -> None:
    before = {file.name for file in copy.iterdir()} | {"evaluation.json"}
    call(evaluate.main, f"run={copy}", *QUICK)
    call(evaluate.main, f"run={copy}", *QUICK, "samples_per_class=9")
    assert json.loads((copy / "evaluation.json").read_text())["samples_per_class"] == 9
    assert {file.name for file in copy.iterdir()} == before


def test_f26_the_table_is_shown_also_where_writing_fails_after_all(
    call: Call, attacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedgan.config.evaluation.write_json", full)
    with pytest.raises(SystemExit, match="error: .*No space left on device"):
        call(evaluate.main, f"run={attacked}", *QUICK, f"out={tmp_path / 'e.json'}")
    assert "frechet_classifier" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_f26_stdout_has_the_table_and_the_path_alone(
    call: Call, attacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(evaluate.main, f"run={attacked}", *QUICK, f"out={tmp_path / 'e.json'}")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].strip() == "8 synthetic images of each class"
    assert lines[-1] == str(tmp_path / "e.json")
    assert lines[-2].startswith("└")
    assert "preparing" in shown.err
    assert "scoring" in shown.err


def test_no_run_at_all(call: Call) -> None:
    with pytest.raises(SystemExit, match="error: run must be the folder of a finished run; got null"):
        call(evaluate.main)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_no_gpu(call: Call, attacked: Path) -> None:
    with pytest.raises(SystemExit, match="no GPU"):
        call(evaluate.main, f"run={attacked}", "device=cuda")


def test_a_control_must_be_unattacked_and_on_the_same_data(
    call: Call, attacked: Path, run_of: Callable[..., Path]
) -> None:
    with pytest.raises(SystemExit, match="control must be a run in which nobody attacks"):
        call(evaluate.main, f"run={attacked}", f"control={attacked}", *QUICK)
    other = run_of("other", "fl.malicious=0", "dataset.seed=5")
    with pytest.raises(SystemExit, match="control must be a run on the same data set"):
        call(evaluate.main, f"run={attacked}", f"control={other}", *QUICK)


def test_a12_a_control_shares_the_test_images_and_its_training_images_may_differ(
    call: Call, attacked: Path, run_of: Callable[..., Path], tmp_path: Path
) -> None:
    fewer = run_of("fewer", "fl.malicious=0", "dataset.train_per_class=24")
    call(evaluate.main, f"run={attacked}", f"control={fewer}", *QUICK, f"out={tmp_path / 'e.json'}")
    assert json.loads((tmp_path / "e.json").read_text())["control_metrics"]
    other = run_of("other test", "fl.malicious=0", "dataset.test_per_class=8")
    with pytest.raises(SystemExit, match=r"control must be a run on the same data set .* \(the same test images\)"):
        call(evaluate.main, f"run={attacked}", f"control={other}", *QUICK)
