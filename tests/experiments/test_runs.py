"""A run that is there is the one that a study wants, or it is refused in one line."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from experiments.paper import runs
from experiments.paper.runs import check_settings, is_finished, settings_of
from fedgan.config.refusals import CONF
from fedgan.config.resume import keep_settings


def write_run(folder: Path, overrides: list[str], status: str) -> Path:
    """What is_finished and check_settings look at."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "round_0000.ckpt").touch()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        keep_settings(compose("config", overrides=overrides), folder)
    (folder / "run.json").write_text(f'{{"status": "{status}"}}')
    return folder


def test_a_finished_run_needs_no_checkpoint(tmp_path: Path) -> None:
    assert not is_finished(tmp_path / "run")
    folder = write_run(tmp_path / "run", ["fl.rounds=2", "seed=1"], "running")
    assert not is_finished(folder)
    (folder / "run.json").write_text('{"status": "finished"}')
    (folder / "checkpoints" / "round_0000.ckpt").unlink()
    assert is_finished(folder)


@pytest.mark.parametrize("status", ["running", "finished"])
def test_a_run_with_other_settings_is_refused_not_reused(status: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ["model.ema=0.5"], status)  # as if conf/ had been edited since
    with pytest.raises(ValueError, match=r"run must contain a run with model.ema=0.9, or none; its .* model.ema=0.5"):
        check_settings(folder, [])
    with pytest.raises(ValueError, match=r"seed=1, or none; its run has seed=0"):
        check_settings(folder, ["seed=1", "model.ema=0.5"])
    with pytest.raises(ValueError, match=r"fl.rounds=7, or none; its run has fl.rounds="):
        check_settings(folder, ["model.ema=0.5", "fl.rounds=7"])
    check_settings(folder, ["model.ema=0.5"])
    check_settings(tmp_path / "none", ["seed=1"])


def test_data_that_were_moved_are_the_same_data(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ["dataset=chestx", "dataset.root=/before"], "finished")
    check_settings(folder, ["dataset=chestx", "dataset.root='/after (1)'"])


def test_settings_of_arms_that_were_not_chosen_are_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ["attack=white_square", "defense=rotation"], "finished")
    check_settings(folder, ["attack=white_square", "arm=rotation", "++defense.feddetect.warmup=4"])
    with pytest.raises(ValueError, match=r"defense.rotation.degrees=3, or none; its run has defense.rotation.degrees="):
        check_settings(folder, ["attack=white_square", "arm=rotation", "++defense.rotation.degrees=3"])


def test_settings_are_the_same_within_a_command_and_without() -> None:
    """Hydra can be set up once: a command has done it, a test or a notebook has not."""
    without = settings_of(("fl.rounds=3", "seed=1"))
    runs._composed.cache_clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert settings_of(("fl.rounds=3", "seed=1")) == without
    assert (without["fl.rounds"], without["seed"]) == (3, 1)
