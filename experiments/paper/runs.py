"""Whether a folder contains the run that a study wants: with the settings that its overrides give, and no others."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from experiments.multirun import option_of
from fedgan.config.refusals import CONF
from fedgan.config.resume import WHERE, is_begun, leaves, recorded_settings
from fedgan.config.typed.choices import drop_unchosen
from fedgan.core.checks import check
from fedgan.runs.folder import record_of

# Settings that may differ between two starts of one run: where things are, and how many processes there are.
ELSEWHERE = {"resume", "dataset.root", "dataset.file", "dataset.cache_dir", "metrics.lpips.weights", *WHERE}
_NO_VALUES = ("+", "dataset.root", "resume", "trainer.", "hydra.")  # overrides that `check_run` leaves aside


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` contains a finished run."""
    return is_begun(folder) and record_of(folder).get("status") == "finished"


def check_settings(folder: Path, overrides: Sequence[str]) -> None:
    """Refuse a run with other settings than these overrides give; where none has begun there is none.

    What counts is what the overrides give: a run made before a file of conf/ was edited is another run.

    Raises:
        ValueError: in one line.
    """
    if not is_begun(folder):
        return
    then, now = leaves(recorded_settings(folder)), settings_of(tuple(overrides))
    now = {key: value for key, value in now.items() if not key.startswith("sweep.")}  # no setting of a run
    for key in sorted((then.keys() | now.keys()) - ELSEWHERE):
        left_out = then.get(key) is None and str(now.get(key)).startswith("/")  # of a kept run: see keeping.py
        if then.get(key) != now.get(key) and not left_out:
            here = f"{key}={now.get(key)}"
            raise ValueError(f"{folder} must contain a run with {here}, or none; its run has {key}={then.get(key)}")


def check_run(folder: Path, overrides: Sequence[str]) -> None:
    """Refuse a run with other values than these overrides give; where none has begun there is none.

    Unlike ``check_settings`` it looks at what is typed alone, not at files of conf/, and it does not look at groups.

    Raises:
        ValueError: in one line.
    """
    if not is_begun(folder):
        return
    recorded = leaves(recorded_settings(folder))
    wanted = option_of([text for text in overrides if _is_kept(text)])
    for key, value in leaves(OmegaConf.create(wanted)).items():
        same = key not in recorded or recorded[key] == value
        check(same, str(folder), f"a run with {key}={value}, or none", f"{key}={recorded.get(key)}")


def _is_kept(override: str) -> bool:
    key = override.partition("=")[0]
    return ("." in key or key == "seed") and not override.startswith(_NO_VALUES)


def settings_of(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Every setting of ``python -m fedgan.train`` with these overrides, by its full name."""
    seed = next((override for override in overrides if override.startswith("seed=")), None)
    rest = _composed(tuple(override for override in overrides if override != seed))
    return rest if seed is None else rest | {"seed": int(seed.removeprefix("seed="))}


@cache  # a quarter of a second each, and runs of several seeds differ in nothing else
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    return leaves(composed("config", overrides))


def composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """A command's configuration with these overrides; within a command Hydra is at conf/ already."""
    within = GlobalHydra.instance().is_initialized()
    with nullcontext() if within else initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, overrides=list(overrides))
    drop_unchosen(cfg)
    return cfg
