"""The paper's tables and figures, made of runs that take a second each."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from experiments import images, multirun
from experiments.measures import AUDIT, DETECTORS, FEDDETECTS, attackers_loss, metrics_of
from experiments.paper import NAMES, PAPER, grids, keeping, making
from experiments.paper import __main__ as paper
from experiments.paper.artifact import Artifact
from experiments.paper.artifacts import ARTIFACTS
from experiments.paper.keeping import OF_A_RUN, archive_of, read_archive
from experiments.paper.plan import FEDDETECT, KEPT, STAGES, Arm, Plan, centralized, vanilla
from experiments.paper.runs import check_settings, is_finished
from experiments.paper.study import provenance
from experiments.paper.tables import Table, read_published
from experiments.paper.utility import studies
from experiments.rejudge import rejudged
from fedgan.config.refusals import CONF
from fedgan.core.images import ImageSet
from tests.helpers.federation import TINY
from tests.helpers.images import drawn_lesions
from tests.helpers.runs import in_process as carry_out

CLASSIFIERS = [f"metrics.{name}.classifier.steps=3" for name in ("transfer", "frechet", "lpips_classifier")]
# Two rounds: nobody is warm by then, and the audit flags at once.
QUICK = [f"++defense.{name}.{setting}" for name in FEDDETECTS for setting in ("warmup=0", "trees=10")] + [
    f"++defense.{AUDIT}.{setting}" for setting in ("consecutive=1", "images_per_class=4")
]
SMALLEST = {
    "seeds": [0, 1],
    "overrides": CLASSIFIERS,
    "scale": {
        "sizes": [32],
        "settings": ["metrics=[emission,transfer,frechet,lpips_classifier]", "metrics.emission.false_alarm=0.1"],
        "data": {
            "chestx": {
                "needs_root": False,
                "settings": [
                    *TINY,
                    "++defense.reconstruction.images_per_class=4",
                    "++defense.reconstruction.epochs=1",
                    *QUICK,
                ],
            },
            "isic": {  # read from a folder
                "settings": [
                    *(text for text in TINY if text != "dataset.train_per_class=32"),
                    *("dataset=isic", "attack=random_patch", *QUICK),
                ],
            },
        },
        "control": ["metrics=[emission,transfer]", "samples_per_class=8", "metrics.transfer.classifier.steps=3"],
        "utility": [
            *("classifier=small_cnn", "classifier.epochs=1", "classifier.steps_per_epoch=1"),
            *("real_per_class=[1,2]", "synthetic_per_class=4"),
        ],
    },
}
MADE = ("table1", "table2", "table4", "figure4", "figure6", "figure7")
FEWER = (FEDDETECT, AUDIT, "reconstruction", "rotation")  # of the seven defenses of table 4 and figure 6


def plan_of(folder: Path, *overrides: str, changed: dict[str, Any] | None = None) -> Plan:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("paper", overrides=[f"runs={folder}/runs", f"results={folder}/results", *overrides])
    merged = OmegaConf.merge(cfg, changed or {})
    assert isinstance(merged, DictConfig)
    return Plan(merged)


def artifacts(*names: str) -> list[Artifact]:
    return [ARTIFACTS[name] for name in names]


@pytest.fixture(scope="module")
def in_process() -> Iterator[list[str]]:
    """Runs commands in this process, where nothing is imported anew; lists their overrides."""
    done: list[str] = []

    def call(module: str, *arguments: str) -> int:
        done.append(" ".join((module, *arguments)))
        return carry_out(patch, module, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multirun, "call", call)
        yield done


@contextmanager
def fewer_defenses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("table4", "figure6"):
            patch.setattr(ARTIFACTS[name], "defenses", FEWER)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, in_process: list[str]) -> Iterator[Plan]:
    folder = tmp_path_factory.mktemp("paper")
    plan = plan_of(folder, f"isic={drawn_lesions(folder / 'lesions')}", changed=SMALLEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with fewer_defenses():
            making.make(MADE, plan)
        yield plan


@pytest.fixture(autouse=True)
def _as_made(request: pytest.FixtureRequest) -> Iterator[None]:
    with fewer_defenses() if "made" in request.fixturenames else nullcontext():
        yield


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_no_run_is_made_twice(made: Plan, in_process: list[str]) -> None:
    trained = [command for command in in_process if command.startswith("fedgan.train -m ")]
    assert len(trained) == 2 * 3 + 3, "attacked and not, in three stages; on lesions no control of a defense is wanted"
    assert any(" seed=0,1 attack.size=4 arm=feddetect,generator_audit " in command for command in trained)
    scored = [each for each in in_process if each.startswith("fedgan.evaluate")]
    after = [[each.partition(key)[2].split()[0] for key in ("hydra.sweep.dir=", "+job=")] for each in scored]
    controls = [(folder, name) for folder, names in after for name in names.split(",")]
    assert len(controls) == len(set(controls)) == 2 * (1 + len(FEWER) + 1), (
        "an attack's control is looked at once for all tables"
    )
    before = results_of(made)
    for path in made.results.glob("*.*"):
        if path.is_file():
            path.unlink()
    in_process.clear()
    making.make(MADE, made)
    assert in_process == []
    assert results_of(made) == before, "the same files, to the byte"


def results_of(plan: Plan) -> dict[str, bytes]:
    """Every file of the tables and figures, as bytes."""
    return {file.name: file.read_bytes() for file in plan.results.iterdir() if file.is_file()}


def test_everything_can_be_made_again_from_what_is_kept(
    made: Plan,
    in_process: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without runs, without images and without training, from a folder of archives alone."""
    archives = sorted(file.name for file in (made.results / "runs").glob("*.xz"))
    assert archives == [f"{data}-seed_{seed}.tar.xz" for data in ("chestx", "isic") for seed in (0, 1)]
    monkeypatch.chdir(tmp_path)
    in_process.clear()
    plan = plan_of(tmp_path, f"kept={made.results / 'runs'}", changed=SMALLEST)
    making.preview(MADE, plan)
    assert " 0 left: " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "a look at the costs writes nothing"
    making.make(MADE, plan)
    assert in_process == []
    assert results_of(plan) == results_of(made), "the same files, to the byte"
    assert f" folders in {plan.runs} restored from {plan.kept}" in capsys.readouterr().out


def test_what_is_kept_has_neither_weights_nor_places_of_a_machine(made: Plan) -> None:
    for data in ("isic", "chestx"):
        folders = read_archive(archive_of(made.results / "runs", data, 0))
        names = {name for files in folders.values() for name in files}
        assert names <= {
            *OF_A_RUN,
            "utility.json",
            ".fedgan.json",
            *(name for name in names if name.startswith("fits/")),
        }
        assert len([place for place in folders if "/attacked/" in place]) == (3 if data == "isic" else 1 + len(FEWER))
        parent = str(made.runs.parent).encode()
        assert not [name for files in folders.values() for name in files if parent in files[name]]
    root = made.data["isic"].root
    run = made.folder(vanilla("isic"), 0)
    assert root is not None
    assert root in (run / "config.yaml").read_text()
    kept = yaml.safe_load(folders_of(made, "isic")["isic/not_attacked/vanilla-seed_0"]["config.yaml"])
    assert kept["dataset"]["root"] is None
    assert kept["fl"] == yaml.safe_load((run / "config.yaml").read_text())["fl"]


def folders_of(plan: Plan, data: str) -> dict[str, dict[str, bytes]]:
    return read_archive(archive_of(plan.results / "runs", data, 0))


def copied(made: Plan, plan: Plan, *runs: tuple[Arm, int]) -> None:
    """Put runs of the module's study where another plan has them."""
    for arm, seed in runs:
        shutil.copytree(made.folder(arm, seed), plan.folder(arm, seed))


VANILLA, ALONE, ATTACK = vanilla("isic"), centralized("isic"), Arm("isic", "none", 32)


def test_an_archive_grows_and_is_never_written_for_nothing(made: Plan, tmp_path: Path) -> None:
    """Studies trained in parts: what another machine kept stays, and the same again is the same file."""
    plan, file = plan_of(tmp_path, f"kept={tmp_path}", changed=SMALLEST), tmp_path / "isic-seed_0.tar.xz"
    copied(made, plan, (VANILLA, 0))
    assert keeping.keep(plan, [VANILLA, ALONE]) == [file]
    first = file.read_bytes()
    assert keeping.keep(plan, [VANILLA, ALONE]) == []
    shutil.rmtree(plan.runs)
    copied(made, plan, (ALONE, 0), (ATTACK, 0))
    assert keeping.keep(plan, [VANILLA, ALONE]) == [file]
    kept = read_archive(file)
    places = ["isic/not_attacked/centralized-seed_0", "isic/not_attacked/vanilla-seed_0"]
    assert sorted(kept) == places, "the attack is not of the arms"
    keeping.write_archive(tmp_path / "again.tar.xz", {place: kept[place] for place in reversed(kept)})
    assert (tmp_path / "again.tar.xz").read_bytes() == file.read_bytes() != first


def test_what_is_not_done_is_not_kept(made: Plan, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, changed=SMALLEST)
    copied(made, plan, (ATTACK, 0))
    run = plan.folder(ATTACK, 0)
    assert keeping.keep(plan, [ATTACK], [run]) == []
    record = run / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    assert keeping.keep(plan, [ATTACK]) == []


def test_a_run_trained_again_to_the_same_bits_loses_nothing_that_was_kept(made: Plan, tmp_path: Path) -> None:
    """Figure 7 takes no look at a control; with other bits that look would be at another generator."""
    plan, file = plan_of(tmp_path, f"kept={tmp_path}", changed=SMALLEST), tmp_path / "isic-seed_0.tar.xz"
    copied(made, plan, (ATTACK, 0))
    keeping.keep(plan, [ATTACK])
    (place,), run = read_archive(file), plan.folder(ATTACK, 0)
    (run / "control.json").unlink()
    assert keeping.keep(plan, [ATTACK]) == []
    assert "control.json" in read_archive(file)[place]
    summary = run / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"generator_sha256": "0" * 64}))
    assert keeping.keep(plan, [ATTACK]) == [file]
    assert "control.json" not in read_archive(file)[place]


def test_a_kept_run_whose_weights_are_wanted_is_not_restored(made: Plan, tmp_path: Path) -> None:
    """Figure 7's classifiers want the generators' weights; also of runs that an earlier call restored."""
    plan = plan_of(tmp_path, f"kept={made.results / 'runs'}", changed=SMALLEST)
    (figure7,) = artifacts("figure7")
    arms = [arm for arm in figure7.arms(plan) if arm.data == "isic"]
    restored = keeping.restore(plan, arms, lambda: figure7.weights(plan))
    assert set(restored) == {*plan.folders(arms), *(plan.runs / f"isic/utility/seed_{seed}" for seed in (0, 1))}
    plan.classifiers += 1
    notes = plan.folder(VANILLA, 0) / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(
        ValueError, match="vanilla-seed_0 must be moved away or without files of yours.*; got 'notes.txt'"
    ):
        keeping.restore(plan, arms, lambda: figure7.weights(plan))
    assert notes.read_text() == "mine"
    notes.unlink()
    keeping.restore(plan, arms, lambda: figure7.weights(plan))
    assert not plan.folder(VANILLA, 0).exists()
    assert not (plan.runs / "isic/utility/seed_0").exists(), "whose record is of no use without the generators"
    assert list(plan.runs.rglob("summary.json")) == []


def test_a_look_at_a_control_that_is_trained_again_is_taken_again(made: Plan, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"kept={made.results / 'runs'}", changed=SMALLEST)
    table1, figure3 = artifacts("table1", "figure3")
    arms = [VANILLA, ATTACK]
    keeping.restore(plan, arms, lambda: table1.weights(plan) - {plan.folder(ALONE, 0)})
    assert plan.folder(ATTACK, 0).exists()
    wanted = figure3.weights(plan)
    assert wanted == {plan.folder(arm, 0) for arm in arms}, "no pictures of lesions were kept"
    keeping.restore(plan, arms, lambda: table1.weights(plan) | figure3.weights(plan))
    assert [plan.folder(arm, seed).exists() for seed in (0, 1) for arm in arms] == [False, False, True, True]


def test_a_dry_run_counts_what_cannot_be_restored(
    made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figure 3 was not drawn: its first seed's runs have to be trained again."""
    plan = plan_of(tmp_path, f"kept={made.results / 'runs'}", changed=SMALLEST)
    making.preview(["table1"], plan)
    assert capsys.readouterr().out.splitlines()[-1].startswith("6 runs, 2 looks at a control, 0 left: ")
    making.preview(["figure3"], plan)
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 runs, 2 looks at a control, 3 left: ")
    copied(made, plan, (VANILLA, 0), (ATTACK, 0))
    before = sorted(plan.runs.rglob("*"))
    making.preview(["figure3"], plan)
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 runs, 2 looks at a control, 0 left: ")
    assert sorted(plan.runs.rglob("*")) == before


def test_what_is_there_is_not_replaced_by_what_is_kept(made: Plan, tmp_path: Path) -> None:
    """Such as a run that was stopped in its first round."""
    plan = plan_of(tmp_path, f"kept={made.results / 'runs'}", changed=SMALLEST)
    mine = plan.folder(VANILLA, 0) / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    made_now = keeping.restore(plan, [VANILLA], lambda: {mine.parent})
    assert plan.folder(VANILLA, 1) in made_now
    assert mine.parent not in made_now
    assert [file.name for file in mine.parent.iterdir()] == ["notes.txt"]


def test_a_kept_run_with_other_settings_is_refused(made: Plan, tmp_path: Path) -> None:
    kept = made.results / "runs"
    plan = plan_of(tmp_path, f"kept={kept}", changed=SMALLEST | {"overrides": [*CLASSIFIERS, "fl.local_epochs=2"]})
    stated = r"isic-seed_0\.tar\.xz must contain a run with fl.local_epochs=2, or none; its run "
    with pytest.raises(ValueError, match=stated):
        keeping.restore(plan, [VANILLA], set)
    assert not [file for file in plan.runs.rglob("*") if file.is_file()]


def test_a_kept_run_has_the_settings_of_a_run_whose_files_are_elsewhere(made: Plan, tmp_path: Path) -> None:
    """Absolute paths are not kept, so they are not compared; other values are."""
    run = tmp_path / "run"
    shutil.copytree(made.folder(VANILLA, 0), run)
    settings = made.settings([VANILLA], [0])
    check_settings(run, [*settings, "dataset.cache_dir=/elsewhere", "metrics.frechet.classifier.cache=/there"])
    with pytest.raises(ValueError, match="must contain a run with metrics.frechet.classifier.steps=4, or none"):
        check_settings(run, [*settings, "metrics.frechet.classifier.steps=4"])


def test_a_file_that_is_no_archive_stops_a_study_before_it_trains(
    made: Plan, tmp_path: Path, in_process: list[str]
) -> None:
    plan = plan_of(tmp_path, f"isic={made.data['isic'].root}", changed=SMALLEST)
    assert plan.kept is not None
    plan.kept.mkdir(parents=True)
    mine = keeping.archive_of(plan.kept, "isic", 1)
    with tarfile.open(mine, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo("photos/2026/01/a.png"))
    before = mine.read_bytes()
    in_process.clear()
    with pytest.raises(
        ValueError, match=r"isic-seed_1\.tar\.xz must be an archive of runs and studies; got 'photos/2026/01'"
    ):
        making.make(["table1"], plan)
    assert in_process == []
    assert mine.read_bytes() == before


def test_a_scale_of_ones_own_needs_no_file(tmp_path: Path) -> None:
    assert plan_of(tmp_path, "scale.name=mine").scale == "mine"


@pytest.mark.parametrize("counts", [(6, 9), (4, 2)])
def test_images_of_a_cell_are_read_as_they_were_drawn(
    counts: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colored, classes mixed, and fewer than six of a class."""
    monkeypatch.setattr(grids, "classes_of", lambda _: ["a", "b"])
    labels = torch.tensor([0, 1] * min(counts) + [int(counts[1] > counts[0])] * abs(counts[0] - counts[1]))
    images = torch.randint(256, (len(labels), 3, 16, 16), dtype=torch.uint8)
    drawn = ImageSet(images, labels, ("a", "b"))
    shown = [grids.first_images(tmp_path, "cell.png", made) for made in (lambda: drawn, lambda: pytest.fail("again"))]
    each = min(6, *counts)
    for cell in shown:
        assert cell.counts == {"a": each, "b": each}
        assert all(torch.equal(cell.of_class(label), drawn.of_class(label)[:each]) for label in (0, 1))


@pytest.mark.parametrize("name", ["../a/b/run.json", "/etc/passwd"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match=f"a.tar.xz must be an archive of plain files; got '{name}'"):
        read_archive(tmp_path / "a.tar.xz")


def test_a_damaged_archive_is_refused_in_one_line(made: Plan, tmp_path: Path) -> None:
    whole = (made.results / "runs/isic-seed_0.tar.xz").read_bytes()
    half = len(whole) // 2
    for damaged in (whole[:half], b"", b"text", whole[:half] + bytes(20) + whole[half + 20 :]):
        (tmp_path / "a.tar.xz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.tar\.xz must be an archive that experiments.paper wrote; ") as error:
            read_archive(tmp_path / "a.tar.xz")
        assert "\n" not in str(error.value)


def test_a_sweep_makes_the_folders_that_the_plan_names(made: Plan) -> None:
    arms = [arm for artifact in artifacts(*MADE) for arm in artifact.arms(made)]
    swept = [run for sweep in made.sweeps(arms) for run in sweep.runs]
    assert set(swept) == set(made.folders(arms))
    assert len(swept) == len(set(swept))
    there = {file.parent for file in made.runs.glob("*/*/*/run.json")}
    assert there == set(swept), "each run where it is looked for, and no other"
    assert made.runs / "chestx/attacked/rotation-size_4-seed_1" in there
    assert made.runs / "isic/not_attacked/vanilla-seed_0" in there


def test_arms_of_different_sizes_are_swept_apart(tmp_path: Path) -> None:
    """Table 2 wants the attack by every size, Figure 7 FedDetect by one: together that is no product."""
    plan = plan_of(tmp_path)
    arms = [vanilla("chestx"), *plan.arms("chestx", "none"), Arm("chestx", "feddetect", 32)]
    stated = [
        [text for text in sweep.overrides if text.startswith(("arm=", "attack.size="))] for sweep in plan.sweeps(arms)
    ]
    assert stated == [
        ["attack.size=2", "arm=vanilla"],
        ["attack.size=2,4,8", "arm=attack"],
        ["attack.size=4", "arm=feddetect"],
    ]
    assert [len(sweep.runs) for sweep in plan.sweeps(arms)] == [10, 30, 10]


def test_what_most_claims_are_about_is_trained_first(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    sweeps = plan.sweeps(list(dict.fromkeys(arm for each in ARTIFACTS.values() for arm in each.arms(plan))))
    assert sum(len(sweep.runs) for sweep in sweeps) == 660
    assert list(dict.fromkeys(sweep.stage for sweep in sweeps)) == list(STAGES)
    order = [sweep.stage for sweep in sweeps]
    assert order == sorted(order, key=list(STAGES).index), "no stage begins before the one ahead of it is done"
    arms_of_stage = [
        {run.name.partition("-")[0] for s in sweeps if s.stage == stage for run in s.runs} for stage in STAGES
    ]
    assert arms_of_stage[0] == {"vanilla", "attack", "centralized"}
    assert arms_of_stage[1] == {"feddetect", AUDIT}
    assert len(arms_of_stage[2]) == 5


def test_centralized_training_has_all_images_and_no_federation(made: Plan) -> None:
    for data in ("isic", "chestx"):
        run = made.folder(centralized(data), 1)
        rows = read_csv(run / "clients.csv")
        assert {(row["client"], row["malicious"], row["num_examples"]) for row in rows} == {("0", "0", "64")}
        assert metrics_of(run)["effective_clients"] == 1
    text = (made.results / "table1.md").read_text()
    assert "4 clients, or one that has all images (centralized), 2 rounds" in text
    assert "64 training images" not in text
    assert "(16 a client)" in text
    assert "(not in the paper) centralized training" in text
    rows = read_csv(made.results / "table1.csv")
    assert {row["arm"] for row in rows} == {"vanilla", "attack 32", "centralized"}


def test_centralized_training_of_several_clients_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "overrides=['fl.num_clients=8']")
    with pytest.raises(ValueError, match="overrides must be without fl.num_clients next to centralized .*; got 8$"):
        plan.check_runs([vanilla("isic"), centralized("isic")])
    plan.check_runs([vanilla("isic")])


def test_a_dry_run_counts_runs_and_hours_and_starts_nothing(
    call: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 seeds on two data sets: 33 arms, a look at 24 attacked ones' controls, and a study of classifiers."""
    monkeypatch.setattr(multirun, "call", lambda *_: pytest.fail("started"))
    call(paper.main, "all", "dry_run=true", f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}")
    *table, empty, total = capsys.readouterr().out.splitlines()
    hours = (330 * 90 + 330 * 110 + 480 * 20 + 20 * 1200) / 3600
    assert total == (
        f"660 runs, 480 looks at a control, 20 studies of classifiers, 1160 left: {hours:.1f} hours of one process"
    )
    assert empty == ""
    assert [line.rpartition("  isic")[0].strip() for line in table[2::2]] == [*STAGES, "controls", "classifiers"]
    assert list(tmp_path.iterdir()) == []


def test_costs_are_printed_before_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(making, "train", lambda *_: said.append(capsys.readouterr().out))
    with pytest.raises(ValueError, match="every run must be finished; got none in "):
        making.make(("table2",), plan_of(tmp_path, changed=SMALLEST))
    assert "\n6 runs, 2 looks at a control, 8 left: " in said[0]
    assert said[1:] == [""], "vanilla and centralized, then the attack"


def test_what_is_there_is_measured_and_not_counted_again(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    making.preview(("table1",), made)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("6 runs, 2 looks at a control, 0 left: 0.0 hours")
    seconds = [record["seconds"] for record in map(recorded, made.folders(artifacts("table1")[0].arms(made)))]
    assert f"{np.median(seconds):.0f} (measured on 6)" in lines[2]
    assert "20 (a guess)" in lines[3]


def recorded(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


def test_a_table_has_what_the_runs_have(made: Plan) -> None:
    table: Table = artifacts("table4")[0]  # type: ignore[assignment]
    rows = {(row["arm"], row["class"], row["metric"]): row for row in read_csv(made.results / "table4.csv")}
    arms = table.arms(made)
    assert len(arms) == 2 + len(FEWER) * 2
    for arm in arms:
        summaries = [json.loads((made.folder(arm, seed) / "summary.json").read_text()) for seed in (0, 1)]
        for each in ("normal", "pneumonia"):
            values = [summary["metrics"][f"frechet_classifier/{each}"] for summary in summaries]
            row = rows[str(arm), each, "frechet_classifier"]
            assert float(row["mean"]) == pytest.approx(np.mean(values))
            assert float(row["std"]) == pytest.approx(np.std(values, ddof=1))
            assert row["values"] == " ".join(map(repr, values))
    assert float(rows["FedDetect 32", "PNEUMONIA", "lpips_published"]["mean"]) == 0.4187
    assert ("vanilla", "normal", "emission") not in rows, "of a trigger that is one of several"
    assert rows["attack 32", "", "emission"]["seeds"] == "0 1"
    text = (made.results / "table4.md").read_text()
    for said in (
        "ChestX (chest_phantom)",
        "32 x 32",
        "4 clients",
        "2 rounds",
        "Seeds 0, 1",
        "commit",
        "4 px (32 at 256",
        "DCGANGenerator (z_dim 64, base_channels 4, norm batch); DCGANDiscriminator (base_channels 4, norm batch)",
    ):
        assert said in text, said
    for said in (
        "warmup 0",
        "images_per_class 4",
        "16 a client; 14 with reconstruction, whose server keeps the others",
        "FedDetect, no attack",
        "real images",
        "A verdict is about",
        "LPIPS itself",
    ):
        assert said in text, said
    assert "commit" in read_csv(made.results / "table4.csv")[0]["made with"]
    # Fine-tuning's control is in the same runs: the federation's last round.
    rounds = [read_csv(made.folder(Arm("chestx", "reconstruction", 32), seed) / "rounds.csv")[1] for seed in (0, 1)]
    control = rows["reconstruction 32, before fine-tuning", "normal", "emission"]["values"]
    assert control.split() == [row["emission/normal"] for row in rounds]
    assert ("reconstruction, no attack, before fine-tuning", "normal", "frechet_classifier") in rows
    assert ("reconstruction, no attack, before fine-tuning", "normal", "emission") not in rows
    assert not [name for name, *_ in rows if name.startswith("rotation") and name.endswith("fine-tuning")]
    latex = (made.results / "table4.tex").read_text()
    assert latex.count(r"\toprule") == latex.count(r"\caption{") == 3


def test_a_control_is_the_same_defenses(made: Plan) -> None:
    for job in made.controls([Arm("chestx", "rotation", 32)]):
        scored = json.loads((job.folder / "control.json").read_text())
        assert scored["run"].endswith(f"attacked/{job.folder.name}")
        assert "/not_attacked/rotation-seed_" in scored["control_run"]
        assert scored["run"][-1] == scored["control_run"][-1], "of the same seed"
        found = metrics_of(job.folder)
        assert found["control_emission"] == scored["control_metrics"]["emission"]
        assert found["emission"] == scored["metrics"]["emission"]


def test_verdicts_are_written(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    for name in MADE:
        artifact = artifacts(name)[0]
        text = (made.results / f"{name}.md").read_text()
        for verdict in artifact.verdicts(artifact.values(made), made.instead_of):
            line = next(line for line in text.splitlines() if verdict.claim.says in line)
            assert f"| {verdict.verdict} " in line
            assert f"| {verdict.after_holm} " in line
            assert (" †" in line) == bool(verdict.claim.post_hoc)
            named = {*verdict.claim.arms, *verdict.claim.than, *verdict.claim.rather_than}
            whole = {arm for arm in named if "16" not in arm and "64" not in arm and "00" not in arm}
            if verdict.claim.kind != "succeeds":  # of which two seeds are too few
                assert verdict.verdict != "not judged" or len(whole) < len(named), "its runs are there"
    making.show(artifacts("table2")[0], made)
    said = capsys.readouterr().out
    assert "raises LPIPS" in said
    assert said.strip().endswith("table2.tex")


@pytest.mark.parametrize(("name", "rows"), [("figure4", 3), ("figure6", 1 + len(FEWER))])
def test_a_grid_is_a_picture(made: Plan, name: str, rows: int) -> None:
    with Image.open(made.results / f"{name}.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.std() > 10
    dark_bands = np.diff((pixels < 250).mean(axis=1) > 0.5).sum()
    assert dark_bands >= 2 * rows - 1, "one band of images per row"
    assert (made.results / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_curve(made: Plan) -> None:
    rows = read_csv(made.results / "figure7.csv")
    assert {row["data"] for row in rows} == {"isic", "chestx"}
    assert {row["arm"] for row in rows} == {"real only", "vanilla", "attacked", "feddetect", AUDIT, "centralized"}
    assert {row["real_per_class"] for row in rows} == {"1", "2"}
    values = artifacts("figure7")[0].values(made)
    assert set(values["chestx: vanilla @ 1"]["accuracy"]) == {0, 1}
    text = (made.results / "figure7.md").read_text()
    assert "real only 0.50, vanilla or feddetect 0.73" in text, "published"
    (point,) = [row for row in rows if row["published"]]
    where = point["data"], point["arm"], point["real_per_class"], point["published"]
    assert where == ("isic", "real only", "1", "0.5")
    assert "network ConvNet (width 16, feature_dim 64)" in text
    assert "4 synthetic images per class; commit" in text
    assert (made.results / "figure7.tex").read_text().count(r"\toprule") == 3
    assert "real skin lesions in place of ISIC (isic)" in text
    fits = [row for seed in (0, 1) for row in read_csv(made.runs / f"chestx/utility/seed_{seed}/results.csv")]
    assert {row["seed"] for row in fits} == {"0", "1", "2", "3"}, "no two generators share a classifier's seed"
    own = [float(row["accuracy"]) for row in fits if row["arm"] == "vanilla" and row["real_per_class"] == "1"]
    row = next(r for r in rows if (r["data"], r["arm"], r["real_per_class"]) == ("chestx", "vanilla", "1"))
    assert float(row["mean"]) == pytest.approx(np.mean(own))
    of_generators = [np.mean(own[:2]), np.mean(own[2:])]
    assert float(row["std"]) == pytest.approx(np.std(of_generators, ddof=1))


def test_a4_figure_7_keeps_a_value_for_each_generator(made: Plan) -> None:
    values = artifacts("figure7")[0].values(made)
    for row in read_csv(made.results / "figure7.csv"):
        own = values[f"{row['data']}: {row['arm']} @ {row['real_per_class']}"]["accuracy"]
        assert row["seeds"] == "0 1"
        assert [float(value) for value in row["values"].split()] == [own[0], own[1]]
        assert float(row["mean"]) == pytest.approx(np.mean([own[0], own[1]]))


def test_a4_verdicts_follow_from_the_files_alone(made: Plan) -> None:
    compared = set()
    for name, verdicts in rejudged(made.results).items():
        artifact = artifacts(name)[0]
        assert verdicts == artifact.verdicts(artifact.values(made), made.instead_of), name
        compared |= {name for verdict in verdicts for each in verdict.comparisons if each.p is not None}
    assert set(rejudged(made.results)) == set(MADE)
    assert compared >= {"table2", "figure4", "figure6", "figure7"}, (
        "of one size: claims about all have nothing to compare"
    )


def test_a_study_made_otherwise_is_not_done(made: Plan) -> None:
    (study, *_) = studies(made, "chestx", {"vanilla": vanilla("chestx")}).values()
    assert study.is_done()
    assert not replace(study, settings=(*study.settings, "synthetic_per_class=5")).is_done()
    assert not replace(study, seeds=(0, 7)).is_done()
    assert not replace(study, runs={"vanilla": made.folder(Arm("chestx", "none", 32), 0)}).is_done()
    assert not replace(study, folder=made.runs).is_done()


def test_a_control_with_other_settings_is_scored_again(made: Plan) -> None:
    job = made.controls([Arm("chestx", "none", 32)])[0]
    assert job.is_done()
    file = job.folder / "control.json"
    whole = json.loads(file.read_text())
    for change in ({"control_generator_sha256": "another's"}, {"samples_per_class": 9}, {"settings": {}}):
        file.write_text(json.dumps(whole | change))
        assert not job.is_done(), change
    file.unlink()
    assert not job.is_done()
    file.write_text(json.dumps(whole))
    assert job.is_done()


def test_one_failure_leaves_the_others_results(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, shown = made.folder(Arm("chestx", "rotation", 32), 1), list[str]()
    monkeypatch.setattr(making, "is_finished", lambda run: run != broken and is_finished(run))
    monkeypatch.setattr(making, "train", lambda *_: 1)
    monkeypatch.setattr(making, "show", lambda artifact, plan: shown.append(artifact.name))
    with pytest.raises(ValueError, match=rf"every run must be finished; got none in {broken} \(its own error is above"):
        making.make(("table2", "table4"), made)
    assert shown == ["table2"]


def test_a_refused_run_leaves_the_others(tmp_path: Path, in_process: list[str]) -> None:
    """Reconstruction needs more images than there are; every other run of the sweep is made."""
    plan = plan_of(tmp_path, changed={**SMALLEST, "seeds": [0]})
    arms = [Arm("chestx", "rotation", 0), Arm("chestx", "reconstruction", 0)]
    plan.overrides.append("++defense.reconstruction.images_per_class=33")
    (sweep,) = plan.sweeps(arms)
    assert multirun.train(sweep.overrides, sweep.folder, sweep.subdir, plan.launcher) == 1
    assert [is_finished(plan.folder(arm, 0)) for arm in arms] == [True, False]
    assert {path.name for path in sweep.folder.iterdir()} == {"rotation-seed_0", "multirun.yaml", "sweep.csv"}


def test_a_run_made_otherwise_is_refused_before_anything_runs(made: Plan, in_process: list[str]) -> None:
    before = len(in_process)
    other = plan_of(made.runs.parent, changed={**SMALLEST, "overrides": [*CLASSIFIERS, "model.ema=0.5"]})
    with pytest.raises(
        ValueError, match=r"-seed_0 must contain a run with model.ema=0.5, or none; its run has model.ema="
    ):
        making.make(("table2",), other)
    assert len(in_process) == before


def write_run(folder: Path, **summary: Any) -> None:
    """A run of 4 rounds, one round of fine-tuning, in which client 0 attacks; FedDetect from round 1 on."""
    whole = {"metrics": {"emission": 0.5, "diversity": 1.0}, "effective_clients": 3.0, "rounds": 4, "malicious": [0]}
    (folder / "summary.json").write_text(json.dumps({**whole, "weight_of_malicious": 0.1, **summary}))
    (folder / "config.yaml").write_text("defense: {feddetect: {warmup: 0}}")
    lines = ["round,client,malicious,loss_g,flagged", "0,0,1,2.0,0", "0,1,0,1.0,0", "0,2,0,1.0,0"]
    lines += ["1,0,1,8.0,1", "1,1,0,1.0,1", "1,2,0,1.0,0", "2,0,1,0.5,1", "2,1,0,1.0,0", "2,2,0,1.0,0"]
    lines += ["3,0,1,0.5,0", "3,1,0,1.0,0", "3,2,0,1.0,0", "4,3,0,9.0,1"]
    (folder / "clients.csv").write_text("\n".join(lines) + "\n")


def test_metrics_of_a_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert attackers_loss(tmp_path) == [2.0, 8.0, 0.5, 0.5]
    found = metrics_of(tmp_path)
    assert (found["malicious_flag_rate"], found["benign_flags"], found["benign_flag_rate"]) == (2 / 3, 1 / 3, 1 / 6)
    assert found["loss_ratio"] == pytest.approx((2 * 8 * 0.5 * 0.5) ** 0.25), "geometric"
    assert found["log_loss_ratio"] == pytest.approx(np.log([2, 8, 0.5, 0.5]).mean())
    assert (found["loss_ratio_first_half"], found["loss_ratio_second_half"]) == pytest.approx((4.0, 0.5))
    assert (found["weight_of_malicious"], found["emission"], found["diversity"]) == (0.1, 0.5, 1.0)
    assert "control_emission" not in found
    (tmp_path / "control.json").write_text(
        json.dumps({"control_metrics": {"emission": 0.25}, "metrics": {"emission": 0.6}})
    )
    found = metrics_of(tmp_path)
    assert (found["emission"], found["control_emission"]) == (0.6, 0.25), "both by one detector"


@pytest.mark.parametrize("name", DETECTORS)
def test_a1_each_of_the_rules_is_read_as_a_detection(name: str, tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "config.yaml").write_text(f"defense: {{{name}: {{warmup: 0}}}}")
    assert metrics_of(tmp_path)["malicious_flag_rate"] == 2 / 3
    (tmp_path / "config.yaml").write_text(f"defense: {{{name}: {{warmup: 1}}}}")
    assert metrics_of(tmp_path)["malicious_flag_rate"] == 1 / 2, "two rounds after the warm-up, flagged in one"


def test_metrics_where_nobody_attacks(tmp_path: Path) -> None:
    write_run(tmp_path, malicious=[], weight_of_malicious=None)
    found = metrics_of(tmp_path)
    assert not {"emission", "loss_ratio", "weight_of_malicious", "malicious_flag_rate"} & found.keys()
    assert found["diversity"] == 1.0
    assert "log_frechet_classifier" not in found
    write_run(tmp_path, malicious=[], metrics={"frechet_classifier": 50.0})
    assert metrics_of(tmp_path)["log_frechet_classifier"] == pytest.approx(np.log(50.0))
    (tmp_path / "config.yaml").write_text("defense: {}")
    assert "benign_flags" not in metrics_of(tmp_path), "nobody looks"


def test_a_resumed_runs_commits_are_all_reported(made: Plan) -> None:
    run = made.folder(Arm("chestx", "none", 0), 0)
    whole = (run / "run.json").read_text()
    before = {"git": {"commit": "c0ffee0000", "dirty": False}}
    (run / "run.json").write_text(json.dumps(json.loads(whole) | {"resumed": [before]}))
    assert "commit c0ffee000, " in provenance(made, [Arm("chestx", "none", 0)])
    (run / "run.json").write_text(whole)


def test_images_are_read_from_the_users_folders(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "isic=somewhere", "chestx='/x-rays (1)/a=b'")
    assert "dataset.root='somewhere'" in plan.settings([Arm("isic", "none", 16)], [0])
    assert "root='somewhere'" in plan.controls([Arm("isic", "none", 16)])[0].shared
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=plan.settings([Arm("chestx", "none", 16)], [0]))
    assert cfg.dataset.root == "/x-rays (1)/a=b"
    drawn = plan_of(tmp_path, "isic=somewhere", changed={"scale": {"data": {"isic": {"needs_root": False}}}})
    assert not any("root=" in part for part in drawn.settings([Arm("isic", "none", 16)], [0])), "drawn at that scale"


def test_lesions_are_those_of_the_other_studies(tmp_path: Path) -> None:
    """Read from the folders of their classes here, by their labels.csv there: the same images, in the same order."""
    root = drawn_lesions(tmp_path / images.FOLDERS[1], train_per_class=8, test_per_class=4)
    plan = plan_of(tmp_path, f"isic={root}", changed={"scale": {"data": {"isic": {"needs_root": True}}}})
    own = [text for text in plan.settings([vanilla("isic")], [0]) if text != "dataset.test_per_class=300"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        each = [compose("config", overrides=list(o)) for o in (own, images.overrides_of("lesions", str(tmp_path)))]
    one, other = (instantiate(cfg.dataset, _convert_="all").load() for cfg in each)
    assert (one.train.fingerprint, one.test.fingerprint) == (other.train.fingerprint, other.test.fingerprint)
    assert one.train.counts == {"benign": 8, "malignant": 8}


def test_vanilla_is_one_run_whatever_sizes_are_wanted(tmp_path: Path) -> None:
    every, one = (plan_of(tmp_path, *sizes).settings([vanilla("isic")], [0]) for sizes in ((), ("scale.sizes=[64]",)))
    assert every == one


def test_lpips_without_alexnet_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="alexnet is null and .* is out of reach"):
        making.make(("table1",), plan_of(tmp_path, "scale=paper", f"isic={tmp_path}"))
    with pytest.raises(ValueError, match="alexnet must be a file; got 'nowhere'"):
        making.make(("table1",), plan_of(tmp_path, "scale=paper", f"isic={tmp_path}", "alexnet=nowhere"))


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_the_scales_settings_are_settings(scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedgan.config.training import check_settings
    from fedgan.config.typed.choices import drop_unchosen

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    plan = plan_of(tmp_path, f"scale={scale}", "chestx=somewhere", "isic=elsewhere")
    arms = {arm for artifact in ARTIFACTS.values() for arm in artifact.arms(plan)}
    assert len(arms) == 2 * (1 + 1 + 3 + 7 * 4)
    assert len({plan.folder(arm, 0) for arm in arms}) == len(arms)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for arm in sorted(arm for arm in arms if arm.size < 32):
            cfg = compose("config", overrides=plan.settings([arm], [0]))
            drop_unchosen(cfg)
            check_settings(cfg)
            assert list(cfg.defense) == ([] if arm.defense in ("none", "centralized") else [arm.defense])
            assert cfg.fl.num_clients == (1 if arm.defense == "centralized" else 4)
            assert cfg.fl.malicious == (1 if arm.size else 0)
            assert cfg.attack.size * 256 == (arm.size or 16) * cfg.dataset.image_size
            if arm.defense in FEDDETECTS:
                assert cfg.defense[arm.defense].decay == {"isic": 0.9, "chestx": 0.8}[arm.data]
                assert cfg.defense[arm.defense].warmup == {"small": 4, "paper": 10}[scale]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=[]"], "seeds must be a list of at least one whole number of at least 0, each once; got"),
        (["seeds=[1,1]"], "seeds must be .*, each once; got"),
        (["seeds=3"], "seeds must be a list of at least one whole number of at least 0, each once; got 3"),
        (["seeds=null"], "seeds must be a list of at least one whole number of at least 0, each once; got null"),
        (["seeds=[0,1]", f"results={KEPT}/small"], "seeds must be at least three where results are kept"),
        (["scale.image_size=64", f"results={KEPT}/small"], "scale must be conf/scale/small.yaml as it is"),
        (["overrides=['model=dcgan']", f"results={KEPT}/small"], "overrides must be none"),
        (["seeds=[-1]"], "seeds must be a list of at least one whole number of at least 0, each once; got"),
        (["threads=0"], "threads must be"),
        (["threads=x"], "threads must be"),
        (["dry_run=maybe"], "dry_run must be true or false; got 'maybe'"),
        (["overrides='model=dcgan'"], "overrides must be a list of settings"),
        (["scale.sizes=[8]"], "scale.sizes must be some of the paper's 16, 32, 64"),
        (["scale.sizes=[]"], "scale.sizes must be some of the paper's 16, 32, 64"),
        (["scale.image_size=4"], "scale.image_size must be"),
    ],
)
def test_bad_settings(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        plan_of(tmp_path, *overrides)


def test_figure7_wants_its_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scale.sizes must be with 32 in it, for figure7"):
        artifacts("figure7")[0].arms(plan_of(tmp_path, "scale.sizes=[16]"))


def test_a_changed_scale_may_be_kept_elsewhere(tmp_path: Path) -> None:
    plan_of(tmp_path, "overrides=['model=dcgan']", f"results={KEPT}/small_by_the_papers_recipe")
    plan_of(tmp_path, f"results={KEPT}/small")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table2",), "chestx must be the folder of ChestX; got null$"),
        (("table2", "chestx=typo"), "chestx must be the folder of ChestX; got 'typo'$"),
        (("table1",), "isic must be the folder of real skin lesions; got null$"),
    ],
)
def test_data_that_are_not_at_hand(call: Callable[..., Any], arguments: Sequence[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        call(paper.main, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a machine without a GPU")
def test_scale_paper_without_a_gpu_is_refused_before_anything_runs(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: scale must be small: no GPU is to be found here; got 'paper'$"):
        call(paper.main, "table2", "scale=paper", f"chestx={tmp_path}")
    plan_of(tmp_path, "scale=paper", "launcher=slurm").check_device()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table9",), "error: a name must be one of all, figure3, .*, table4; got 'table9'$"),
        (("table2", "figures", "seeds=[0]"), "error: a name must be one of all, .*; got 'figures'$"),
        ((), "error: a name must be typed ahead of the settings: all, figure3, .*, table4; got null$"),
        (("scale=small",), "error: a name must be typed ahead of the settings"),
    ],
)
def test_a_name_that_there_is_not(call: Callable[..., Any], arguments: Sequence[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        call(paper.main, *arguments)


@pytest.mark.parametrize(
    ("names", "expected"), [(("figure7", "table2"), ["figure7", "table2"]), (("all",), list(NAMES))]
)
def test_names_choose_what_is_made(
    names: Sequence[str], expected: list[str], call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(making, "make", lambda chosen, plan: made.extend(chosen))
    for name in paper.THREADS:
        monkeypatch.setenv(name, "1")
    call(paper.main, *names, "seeds=[0]", "results=elsewhere", "threads=3")
    assert made == expected
    assert [os.environ[name] for name in paper.THREADS] == ["3", "3"], "of what it starts"
    assert set(ARTIFACTS) == set(NAMES)


def test_help_names_them_and_does_not_wait_for_torch() -> None:
    code = "import sys\nsys.argv[1:] = ['--help']\nfrom experiments.paper.__main__ import main\n"
    code += "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("python -m experiments.paper NAME... [SETTING=VALUE...]; NAME: all, table1")
    assert "choices: basic, joblib, slurm" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "False"


def test_published_numbers_are_the_papers() -> None:
    """A few read off the paper's tables by eye, and how many there are."""
    tables = {name: read_published(PAPER / name / "published.csv") for name in NAMES if name.startswith("table")}
    assert [len(tables[f"table{i}"]) for i in (1, 2, 3, 4)] == [8, 8, 32, 32]
    assert tables["table1"]["attack 32", "benign"] == 1.0373
    assert tables["table2"]["attack 16", "NORMAL"] == 0.7479
    assert tables["table3"]["reconstruction 32", "malignant"] == 0.5724
    assert tables["table3"]["rotation 16", "malignant"] == 0.8198
    assert tables["table4"]["horizontal flip 64", "NORMAL"] == 0.7767
    # Section 4.3.3 gives these means.
    feddetect = [value for (arm, _), value in tables["table3"].items() if arm.startswith("FedDetect")]
    assert np.mean(feddetect) == pytest.approx(0.73, abs=0.006)
    assert vanilla("isic").size == 0


def test_f1_results_of_others_are_refused_before_anything_runs(tmp_path: Path, in_process: list[str]) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table2.md").write_text("mine")
    plan, before = plan_of(tmp_path, changed=SMALLEST), list(in_process)
    with pytest.raises(ValueError, match=r"^results: .* already contains files that fedgan did not write: "):
        making.make(("table2",), plan)
    assert in_process == before
    assert [file.name for file in tmp_path.rglob("*")] == ["results", "table2.md"]


def test_results_do_not_go_where_arms_are_renamed(tmp_path: Path, in_process: list[str]) -> None:
    """``rejudge`` would take the new FedDetect for another rule, as in older files."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/renamed.yaml").write_text("FedDetect: FedDetect (mean)")
    before = list(in_process)
    with pytest.raises(ValueError, match=r"^results must be a folder without renamed.yaml, which .*; got .*results"):
        making.make(("table2",), plan_of(tmp_path, changed=SMALLEST))
    assert in_process == before
