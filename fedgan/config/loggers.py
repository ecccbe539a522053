"""Loggers: Lightning's, as the configuration names them; a run never depends on one."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from fedgan.core.images import Splits


def instantiate_logger(cfg: DictConfig, folder: Path, version: str | None) -> Any:
    """The logger that the configuration names, at work in the run's folder; ``version`` is its name for the run."""
    logger = instantiate(cfg.logger, save_dir=folder, **({} if version is None else {"version": version}))
    # Lightning 2.6 passes on a setting, None, that Weights & Biases has given up and warns of in every run.
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def build_logger(cfg: DictConfig, folder: Path, splits: Splits, version: str | None = None) -> Any:
    """The logger, with the whole configuration and the data set; None for none.

    With the ``version`` of a run that is resumed, the logger continues its curves. One that cannot get online
    (no key, no network) stays offline, and says so: a run of days is not lost to it.
    """
    if not cfg.logger:
        return None
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    facts = {**settings, "data": splits.describe()}
    try:
        return with_facts(instantiate_logger(cfg, folder, version), facts)
    except Exception as error:  # the logger's library has its own kinds
        if cfg.logger.get("mode") != "online":
            raise
        reason = " ".join(str(error).split())[:200]
        print(f"warning: the logger cannot get online ({reason}); it continues offline", file=sys.stderr)
    offline = OmegaConf.merge(cfg, {"logger": {"mode": "offline"}})
    assert isinstance(offline, DictConfig)
    return with_facts(instantiate_logger(offline, folder, version), facts)


def with_facts(logger: Any, facts: Mapping[str, Any]) -> Any:
    """The logger, once it has taken these facts; it connects with the first of them."""
    logger.log_hyperparams(facts)
    return logger


def close_loggers(trainer: Trainer, *, exit_code: int) -> None:
    """End a logger's run, or the next run of a sweep would write into it."""
    for logger in trainer.loggers:
        run = getattr(logger, "experiment", None)
        if run is not None and hasattr(run, "finish"):
            run.finish(exit_code=exit_code)
