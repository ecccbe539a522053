"""The README's picture shows real images, and each run's, from the same latents."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image

from experiments import story
from fedgan import load
from fedgan.config import training


@pytest.fixture
def folder(configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    arms = {"vanilla": ("fl.malicious=0",), "attack": (), "feddetect": ("defense=median",), "generator_audit": ()}
    for name, overrides in arms.items():
        training.train(configure("fl.rounds=1", "metrics=[emission]", *overrides), tmp_path / f"{name}-seed_0")
    return tmp_path


def test_five_rows_and_the_attacked_one_is_framed(folder: Path) -> None:
    figure = story.draw({name: load(folder / f"{name}-seed_0") for name in story.ARMS})
    assert len(figure.axes) == 5 * 8
    rows = [figure.axes[i : i + 8] for i in range(0, 40, 8)]
    assert [sum(len(axis.patches) for axis in row) for row in rows] == [0, 0, 8, 0, 0]
    painted = load(folder / "attack-seed_0").draw(4, seed=0)
    shown = [np.asarray(axis.images[0].get_array()) for axis in rows[2]]
    assert all(np.array_equal(one, other[0]) for one, other in zip(shown, painted.images.numpy(), strict=True))
    assert rows[1][0].get_ylabel().startswith("trained without attack")


def test_f18_what_the_audit_found_of_the_malicious_client_is_below(folder: Path) -> None:
    runs = {name: load(folder / f"{name}-seed_0") for name in story.ARMS}
    (malicious,) = runs["generator_audit"].record["malicious"]
    place = runs["generator_audit"].folder / "defenses/generator_audit"
    place.mkdir(parents=True)
    for client, color in ((malicious, "red"), ((malicious + 1) % 4, "blue")):
        Image.new("RGB", (40, 20), color).save(place / f"client_{client}.png")
    *_, last = story.draw(runs).axes
    shown = np.asarray(last.images[0].get_array())
    assert shown.shape == (20, 40, 3)
    assert shown[0, 0].tolist() == [255, 0, 0], "not the honest one, who was flagged too"


def test_a_folder_without_runs_is_refused(
    tmp_path: Path, call: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="error: run must be a run's folder, with run.json in it"):
        call(story.main, str(tmp_path), str(tmp_path / "story.png"))
