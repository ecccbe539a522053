"""Settings that name files and folders, and what the system says of one, under its setting."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

PLACES = ("dataset.root", "dataset.file")  # of a run's data; at most one of them is a setting of a data set
# In the order in which one of two that name the same counts.
NAMING_PLACES = ("resume", "run", "control", "out", "root", *PLACES, "dataset.labels", "dataset.cache_dir")
AUTO = "auto"  # resume=auto: resume the run in the command's own folder, or begin it


def under_setting(error: BaseException, cfg: DictConfig) -> str | None:
    """What the system says of a file or folder, under the setting that contains it; None of any other error.

    Args:
        error: what was raised.
        cfg: the settings at work.
    """
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return None
    own = HydraConfig.get()
    named = {key: OmegaConf.select(cfg, key) for key in NAMING_PLACES}
    if not any(typed.startswith("resume=") and typed != f"resume={AUTO}" for typed in own.overrides.task):
        named["resume"] = None
    if own.mode == RunMode.MULTIRUN:
        named["hydra.sweep.dir"] = own.runtime.output_dir
    elif own.runtime.output_dir != own.runtime.cwd:
        named["hydra.run.dir"] = own.runtime.output_dir
    file = Path(os.path.abspath(str(error.filename)))
    places = {key: Path(os.path.abspath(value)) for key, value in named.items() if isinstance(value, str)}
    holding = [key for key, place in places.items() if file == place or place in file.parents]
    if not holding:
        return None
    closest = max(holding, key=lambda key: len(places[key].parts))
    return f"{closest}: {error.strerror}: {str(error.filename)!r}"
