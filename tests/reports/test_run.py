"""A run's folder opened for reading, as in a notebook."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

import fedgan
from fedgan.config import training
from fedgan.reports.run import find_runs
from tests.helpers.runs import rows


@pytest.fixture
def folder(configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    training.train(configure("fl.rounds=2", "metrics=[emission]"), tmp_path / "sweep/one")
    return tmp_path / "sweep/one"


def test_a_finished_run_in_five_lines(folder: Path) -> None:
    run = fedgan.load(str(folder))
    assert run.status == "finished"
    assert run.clients.pivot(index="round", columns="client", values="loss_g").shape == (2, 4)
    assert run.clients["weight"].astype(str).tolist() == [row["weight"] for row in rows(folder / "clients.csv")]
    assert run.summary == json.loads((folder / "summary.json").read_text())
    assert run.settings["fl"]["rounds"] == 2
    assert len(run.events) == len(rows(folder / "events.csv"))
    assert (list(run.grids()), run.evaluation) == ([1], {})


def test_images_are_those_of_fedgan_sample(folder: Path) -> None:
    from fedgan.runs.export import load_generator
    from fedgan.scoring.sampling import draw_set

    run, release = fedgan.load(folder), load_generator(folder)
    images = run.draw(per_class=3, seed=7)
    assert images.images.shape == (6, 1, 32, 32)
    assert torch.equal(images.images, draw_set(release.generator, release.spec.classes, 3, 7).images)
    assert run.release.sha256 == run.summary["generator_sha256"]


def test_runs_are_found_below_a_folder_once_each(folder: Path) -> None:
    other = folder.parent / "two"
    other.mkdir()
    (other / "run.json").write_text('{"status": "failed"}')
    (folder / "checkpoints/run.json").write_text("{}")  # no run lies in a run
    found = find_runs([folder.parent, folder, folder.parent.parent])
    assert [run.folder.name for run in found] == ["one", "two"]
    assert [run.status for run in found] == ["finished", "failed"]
    assert found[1].summary == {}


@pytest.mark.parametrize("made", ["nothing", "an empty folder", "a file"])
def test_what_is_no_run_is_refused(made: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if made == "an empty folder":
        place.mkdir()
    elif made == "a file":
        place.write_text("x")
    with pytest.raises(ValueError, match=r"^run must be a run's folder, with run.json in it; got '.*place'$"):
        fedgan.load(place)
    with pytest.raises(ValueError, match=r"^paths must be folders .*; got '.*place'$"):
        find_runs([place])


def test_files_that_are_called_otherwise_are_no_grids(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "samples").mkdir()
    for name in ("0003", "0003 copy", "10000", "9999", "3", "0003_large", "best"):
        (tmp_path / f"samples/round_{name}.png").write_bytes(b"")
    grids = fedgan.load(tmp_path).grids()
    assert {round_: file.name for round_, file in grids.items()} == {
        3: "round_0003.png",
        9999: "round_9999.png",
        10000: "round_10000.png",
    }
    assert list(grids) == [3, 9999, 10000]


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "clients.csv"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / name).write_bytes(b'\xff"')
    read = {"run.json": "record", "config.yaml": "settings", "clients.csv": "clients"}[name]
    with pytest.raises(ValueError, match=rf"^run: cannot read .*{name}: ") as error:
        getattr(fedgan.load(tmp_path), read)
    assert "\n" not in str(error.value)


def test_importing_fedgan_does_not_wait_for_torch() -> None:
    code = "import sys, fedgan; assert not {'torch', 'pandas'} & sys.modules.keys(); print(fedgan.__version__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == fedgan.__version__


def test_tables_are_frames(folder: Path) -> None:
    for name in ("rounds", "clients", "receipts", "events", "timing"):
        assert isinstance(getattr(fedgan.load(folder), name), pd.DataFrame)
