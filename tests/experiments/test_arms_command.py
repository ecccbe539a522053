import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from experiments import arms_picture
from experiments.arms import main, outcomes, show
from experiments.arms import picture as show_picture
from fedgan.core.images import ImageSet
from fedgan.scoring.grid import headed, save_grid
from tests.helpers.federation import TINY
from tests.helpers.runs import in_process


def write_run(
    folder: Path, malicious: list[int], weight: float | None, emission: float | None, seed: int = 0, defense: str = "{}"
) -> Path:
    (folder / "samples").mkdir(parents=True)
    settings = f"seed: {seed}\ndefense: {defense}\nevaluation: {{grid_per_class: 8}}\n"
    (folder / "config.yaml").write_text(settings)
    data = {"image_size": 32, "train": {"counts": {"normal": 9, "pneumonia": 9}}}
    (folder / "run.json").write_text(json.dumps({"status": "finished", "dataset": data}))
    metrics = {} if emission is None else {"emission": emission}
    summary = {"malicious": malicious, "weight_of_malicious": weight, "metrics": metrics, "effective_clients": 4.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    losses = {0: (3.0, 1.0, 2.0, 3.0), 1: (1.0, 1.0, 2.0, 3.0)}  # of clients 0 to 3 by round; client 0 may attack
    flagged = {(0, 0), (1, 0), (1, 3)} if defense != "{}" else set()
    rows = [
        f"{t},{i},{int(i in malicious)},{loss},{int((t, i) in flagged)}"
        for t in losses
        for i, loss in enumerate(losses[t])
    ]
    (folder / "clients.csv").write_text("\n".join(["round,client,malicious,loss_g,flagged", *rows]) + "\n")
    Image.new("RGB", (40, 30), "red").save(folder / "samples" / "round_0001.png")
    Image.new("RGB", (40, 30), "blue").save(folder / "samples" / "round_0003.png")
    return folder


def test_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = {
        "no attack": [write_run(tmp_path / f"a{i}", [], None, 0.0) for i in range(2)],
        "attack": [write_run(tmp_path / f"b{i}", [0], 0.25, 0.2 + 0.2 * i) for i in range(2)],
    }
    show(arms, tmp_path, "title")
    with (tmp_path / "table.csv").open() as file:
        control, attacked = csv.DictReader(file)
    assert control["weight of the malicious client"] == "-"
    assert attacked["weight of the malicious client"] == "0.250 ± 0.000"
    assert attacked["images with the trigger"] == "0.300 ± 0.141"
    assert control["Frechet distance (lower is better)"] == "-"
    assert control["attacker's loss / others' median, rounds' 2nd half"] == "-"
    assert attacked["attacker's loss / others' median, rounds' 1st half"].startswith("1.500")
    assert attacked["attacker's loss / others' median, rounds' 2nd half"].startswith("0.500")
    picture = np.asarray(Image.open(tmp_path / "arms.png"))
    assert picture.shape == (2 * (30 + 18) + 12, 40, 3), "a grid of another size is shown as it is"
    assert picture[25, 5].tolist() == picture[85, 5].tolist() == [0, 0, 255], "the last round's grid is shown"
    assert capsys.readouterr().out.strip().endswith("arms.png")


def test_f18_the_picture_shows_flagged_clients_the_malicious_one_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [3], 0.0, 0.0, defense="{generator_audit: {warmup: 0}}")
    place = run / "defenses/generator_audit"
    place.mkdir(parents=True)
    for client, color in ((10, "blue"), (3, "red"), (2, "green"), (11, "blue")):
        Image.new("RGB", (90, 20), color).save(place / f"client_{client}.png")
    Image.new("RGB", (90, 20), "yellow").save(place / "place.png")
    show({"attack + generator audit": [run]}, tmp_path, "title")
    picture = np.asarray(Image.open(tmp_path / "arms.png"))
    assert picture.shape == (18 + 30 + 3 * (12 + 18 + 20), 90, 3), "at most three"
    found = [picture[48 + i * 50 + 12 + 18 + 10, 45].tolist() for i in range(3)]
    assert found == [[255, 0, 0], [0, 128, 0], [0, 0, 255]]


def test_it_says_what_a_defense_came_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped: at most 0.05 above the control of the same seed, which has 0.02 and 0.00; 0.06 is and 0.06 is not."""
    detector = "{feddetect: {warmup: 0}}"
    arms = {
        "no attack": [write_run(tmp_path / f"a{i}", [], None, 0.02 - 0.02 * i, seed=i) for i in range(2)],
        "attack + FedDetect": [write_run(tmp_path / f"b{i}", [0], 0.1, 0.06, i, detector) for i in range(2)],
    }
    show(arms, tmp_path, "title")
    line = "attack + FedDetect: trigger stopped in 1 of 2 federation(s); 6% of the images carry it"
    assert line in capsys.readouterr().out.splitlines()
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, str(i)) for arm in arms for i in range(2)]
    assert [float(row["images with the trigger"]) for row in rows] == [0.02, 0.0, 0.06, 0.06]
    assert [row["rounds in which the malicious client was flagged"] for row in rows] == ["", "", "2.0", "2.0"]
    assert [row["flags of honest clients"] for row in rows] == ["", "", "1.0", "1.0"]


def test_without_a_control_nothing_is_called_stopped(tmp_path: Path) -> None:
    """One of two seeds with a control of its own, then none."""
    detector = "{feddetect: {warmup: 0}}"
    defended = [write_run(tmp_path / f"b{i}", [0], 0.1, 0.06, i, detector) for i in range(2)]
    control = write_run(tmp_path / "a", [], None, 0.02, seed=1)
    assert outcomes({"no attack": [control], "attack + FedDetect": defended}) == [
        "attack + FedDetect: trigger stopped in 1 of 1 federation(s); 6% of the images carry it"
    ]
    assert outcomes({"attack + FedDetect": defended}) == [
        "attack + FedDetect: no arm without attack to compare with; 6% of the images carry it"
    ]


def flat(*values: int) -> ImageSet:
    """Images of one gray value each, 9 of each class."""
    images = torch.tensor(values, dtype=torch.uint8).repeat_interleave(9)[:, None, None, None].expand(-1, 1, 32, 32)
    return ImageSet(images, torch.arange(len(values)).repeat_interleave(9), ("normal", "pneumonia"))


def test_the_picture_has_the_real_images_once_and_a_row_for_each_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(arms_picture, "headed", lambda picture, text: said.append(text) or headed(picture, text))
    arms = {
        "no attack": [write_run(tmp_path / "a", [], None, 0.0)],
        "attack": [write_run(tmp_path / "b", [0], 1, 0.97)],
    }
    for i, (run,) in enumerate(arms.values()):
        save_grid(flat(10 + i, 20 + i), run / "samples/round_0004.png", per_class=8, real=flat(200, 250))
    picture = np.asarray(Image.open(show_picture(arms, tmp_path)).convert("L"))
    titles = ["real test images: normal, pneumonia", "no attack: 0% of the images carry the trigger",
              "attack: 97% of the images carry the trigger"]  # fmt: skip
    assert sorted(said) == sorted(titles)
    assert picture.shape == (3 * (18 + 96) + 2 * 12, 8 * 96 + 6 * 2 + 12)
    rows = [18 + 48 + i * (18 + 96 + 12) for i in range(3)]
    left, right = [48 + i * 98 for i in range(4)], [4 * 98 + 10 + 48 + i * 98 for i in range(4)]
    assert [[picture[y, x] for x in (*left, *right)] for y in rows] == [
        4 * [200] + 4 * [250],
        4 * [10] + 4 * [20],
        4 * [11] + 4 * [21],
    ]


SETTINGS = [*TINY, "metrics=[emission]", "fl.local_epochs=1"]


def typed(*settings: str) -> str:
    return "overrides=[" + ",".join(f'"{setting}"' for setting in settings) + "]"


def test_it_runs_its_four_arms(
    call: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.multirun.call", partial(in_process, monkeypatch))
    arguments = (typed(*SETTINGS, "fl.rounds=6"), f"hydra.run.dir={tmp_path / 'out'}", f"results={tmp_path / 'kept'}")
    call(main, *arguments)
    said = capsys.readouterr()
    assert "nothing to do" not in said.err
    picture, report = said.out.splitlines()[-2:]
    assert picture == str(tmp_path / "out/arms.png")
    assert report == str(tmp_path / "out/report.html"), "3: a finished report ends the demo"
    page = Path(report).read_text()
    assert all(f"{arm}-seed_0" in page for arm in ("vanilla", "attack", "feddetect", "generator_audit"))
    call(main, *arguments)
    again = capsys.readouterr()
    assert again.err.count("nothing to do: the run has its 6 rounds") == 4, "a finished run is never repeated"
    with (tmp_path / "out/table.csv").open() as file:
        table = {row["arm"]: row for row in csv.DictReader(file)}
    assert list(table) == ["no attack", "attack", "attack + FedDetect", "attack + generator audit"]
    for name in ("table.csv", "runs.csv"):
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert table["no attack"]["weight of the malicious client"] == "-"
    assert float(table["attack"]["weight of the malicious client"]) == 0.25
    assert float(table["attack + FedDetect"]["effective clients"]) <= 4.0
    for arm in ("attack", "feddetect", "generator_audit"):
        summary = json.loads((tmp_path / f"out/{arm}-seed_0/summary.json").read_text())
        assert len(summary["malicious"]) == 1
    settings = OmegaConf.load(tmp_path / "out/feddetect-seed_0/config.yaml").defense
    assert {name: (own.warmup, own.decay) for name, own in settings.items()} == {"feddetect": (4, 0.8)}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "overrides='fl.rounds=6'",
            """overrides must be a list of settings: 'overrides=["fl.rounds=6"]'; got 'fl.rounds""",
        ),
        ("overrides=['fl.rounds=1,2']", "overrides must be settings with one value each; got"),
        ("seeds=[]", "seeds must be a list of at least one whole number of at least 0, each once; got []"),
        ("arms=[]", "arms must be a list of some of attack, centralized, feddetect,"),
        ("arms=[vanilla,atack]", "each of arms must be one of attack, centralized, feddetect,"),
        ("arms=[vanilla,vanilla]", "arms must be names that differ; got ['vanilla', 'vanilla']"),
        ("arms={only: [attack]}", "arms must be a list, such as [a,b]; got {only: [attack]}"),
        ("results='~/kept'", "results must be a folder, as an absolute or relative path (~ is not expanded); got "),
        ("preset=demoo", "preset must be one of chestx_small, demo,"),
    ],
)
def test_what_is_refused_leaves_nothing(typed: str, said: str, call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        call(main, typed, "hydra.run.dir=deep/out")
    assert str(stop.value).startswith(f"error: {said}")
    assert "\n" not in str(stop.value)
    assert list(tmp_path.iterdir()) == []


def test_refused_runs_leave_no_folder(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        call(main, typed(*SETTINGS, "attack.size=40"), "hydra.run.dir=deep/out")
    assert stop.value.code == 1
    assert list(tmp_path.iterdir()) == []


def test_one_refused_run_leaves_the_others(call: Callable[..., Any], tmp_path: Path) -> None:
    """Reconstruction wants more images than there are."""
    more = (typed(*SETTINGS, "fl.rounds=1"), "arms=[reconstruction,vanilla]", "hydra.run.dir=out")
    with pytest.raises(SystemExit) as stop:
        call(main, *more)
    assert stop.value.code == 1
    assert json.loads((tmp_path / "out/vanilla-seed_0/run.json").read_text())["status"] == "finished"
    assert not (tmp_path / "out/reconstruction-seed_0").exists()
    assert not (tmp_path / "out/table.csv").exists()


def test_a_folder_of_others_takes_no_results(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/table.csv").write_text("mine")
    with pytest.raises(SystemExit, match="^error: results must be a new or empty folder; theirs contains table.csv"):
        call(main, "results=theirs", "hydra.run.dir=out")
    assert (tmp_path / "theirs/table.csv").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["theirs"]


@pytest.mark.parametrize("name", ["thesis.tex", "table.csv"])
def test_a_folder_of_others_is_refused(name: str, call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).touch()
    with pytest.raises(SystemExit, match="^error: hydra.run.dir must be a new or empty folder; got "):
        call(main, f"hydra.run.dir={tmp_path / 'theirs'}")
    assert [file.name for file in (tmp_path / "theirs").iterdir()] == [name]
