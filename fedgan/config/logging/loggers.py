"""Loggers: Lightning's, as the configuration names them; a run never depends on one."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import MLFlowLogger, WandbLogger

from fedgan.config.logging.curves import attempted, close
from fedgan.config.refusals import Interrupted
from fedgan.config.resume import chosen

# Loggers whose package is optional: the extra of fedgan that installs it, and modules of which one is enough.
OPTIONAL = {
    "pytorch_lightning.loggers.MLFlowLogger": ("mlflow", ("mlflow",)),
    "pytorch_lightning.loggers.TensorBoardLogger": ("tensorboard", ("tensorboard", "tensorboardX")),
}
# Lightning has MLflow set it to a run's own place, where the next run of a sweep would then go.
MLFLOW_PLACE = "MLFLOW_TRACKING_URI"
LONGEST_TAG = 64  # what Weights & Biases allows


@dataclass(frozen=True)
class Labels:
    """What loggers file a run under.

    Attributes:
        name: what varies in its sweep, else the setting ``name`` and the time: the folder's name.
        group: the sweep's folder; None outside of one.
        tags: the options that set runs apart, as they are typed: ``attack=none``.
    """

    name: str
    group: str | None
    tags: tuple[str, ...]


def check_loggers(loggers: DictConfig) -> None:
    """Refuse loggers whose package is not installed, before anything is read or written.

    Args:
        loggers: the settings of each by its name.

    Raises:
        ValueError: in one line.
    """
    for name, settings in ((str(name), own) for name, own in loggers.items()):
        extra, modules = OPTIONAL.get(settings["_target_"], ("", ()))
        if modules and not any(find_spec(module) for module in modules):
            needed = f"pip install 'fedgan[{extra}]'"
            raise ValueError(f"logger={name} needs the package {modules[0]}: {needed}; it is not installed")


def labels_of(cfg: DictConfig, folder: Path) -> Labels:
    """What a run is filed under, by its settings and by Hydra's record in its folder; resuming changes none of it."""
    typed = _typed(folder)
    choices = typed.get("runtime", {}).get("choices", {})
    in_sweep = typed.get("mode") == "MULTIRUN"
    tags = [f"arm={choices['arm']}"] if choices.get("arm") else []
    for group in ("attack", "update_attack"):
        option = choices.get(group) or chosen(cfg, group)
        tags += [f"{group}={option}"] if group == "attack" or option != "none" else []
    tags += [f"defense={name}" for name in cfg.defense or ["none"]]
    return Labels(
        name=folder.name if in_sweep else f"{cfg.name} {folder.name}",
        group=folder.parent.name if in_sweep else None,
        tags=tuple(tag[:LONGEST_TAG] for tag in tags),
    )


def _typed(folder: Path) -> dict[str, Any]:
    """Hydra's record of the command that began a run; empty where there is none to be read."""
    try:
        record = yaml.safe_load((folder / ".hydra/hydra.yaml").read_text())["hydra"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        return {}
    return record if isinstance(record, dict) else {}


def build_loggers(
    cfg: DictConfig, folder: Path, facts: Mapping[str, Any], versions: Mapping[str, Any]
) -> dict[str, Any]:
    """The loggers by name, at work in the run's folder.

    Args:
        cfg: the whole configuration, which each logger gets,
        folder: of the run.
        facts: with these facts of the run.
        versions: what the loggers called a run that is resumed, by the loggers' names; they continue its curves.

    Raises:
        ValueError: in one line, if one cannot begin.
    """
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    labels, begun = labels_of(cfg, folder), dict[str, Any]()
    try:
        for name, own in settings["logger"].items():
            with kept_variable(MLFLOW_PLACE):
                begun[name] = connected(name, own, folder, labels, {**settings, **facts}, versions.get(name))
    except BaseException:
        for logger in begun.values():
            close(logger, exit_code=1)
        raise
    return begun


def connected(
    name: str, settings: Mapping[str, Any], folder: Path, labels: Labels, facts: Mapping[str, Any], version: Any
) -> Any:
    """One logger that has taken the facts.

    One that cannot get online (no key, no network) stays offline, and says so: a run of days is not lost to it.
    """
    try:
        return with_facts(instantiate_logger(settings, folder, labels, version), facts, resumed=version is not None)
    except Exception as error:  # the logger's library has its own kinds
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        if settings.get("mode") != "online":
            raise ValueError(f"logger.{name}: {reason}") from error
        print(f"warning: the logger cannot get online ({reason}); it continues offline", file=sys.stderr)
    offline = {**settings, "mode": "offline"}
    return with_facts(instantiate_logger(offline, folder, labels, version), facts, resumed=version is not None)


def instantiate_logger(settings: Mapping[str, Any], folder: Path, labels: Labels, version: Any) -> Any:
    """The logger of these settings; ``version``: what it called the run that is resumed, None for a new one."""
    kind = get_class(settings["_target_"])
    own: dict[str, Any] = {"save_dir": str(folder)}
    if issubclass(kind, WandbLogger):
        own |= {key: settings.get(key) or getattr(labels, key) for key in ("name", "group")}
        own |= {"tags": [*labels.tags, *settings.get("tags", ())], "version": version}
    elif issubclass(kind, MLFlowLogger):
        own = {"run_id": version, "run_name": settings.get("run_name") or labels.name}
        own["tags"] = by_group(labels.tags)
        if settings.get("tracking_uri") is None:
            own["tracking_uri"] = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
            own["artifact_location"] = settings.get("artifact_location") or (folder.absolute() / "mlruns").as_uri()
    elif version is not None and not kind.__module__.startswith("pytorch_lightning."):
        own["version"] = version  # Lightning's other loggers write files, and find their place again by themselves
    return instantiate(settings, **own, _convert_="all")


def by_group(tags: Sequence[str]) -> dict[str, str]:
    """Tags as MLflow has them, one for each group.

    Example:
        >>> by_group(["attack=none", "defense=rotation", "defense=median"])
        {'attack': 'none', 'defense': 'rotation,median'}
    """
    found: dict[str, str] = {}
    for group, _, option in (tag.partition("=") for tag in tags):
        found[group] = f"{found[group]},{option}" if group in found else option
    return found


@contextmanager
def kept_variable(name: str) -> Iterator[None]:
    """Leave an environment variable as it was, whatever a library makes of it."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def with_facts(logger: Any, facts: Mapping[str, Any], *, resumed: bool = False) -> Any:
    """The logger, once it has taken these facts; it connects with the first of them, and says where it is."""
    if resumed and isinstance(logger, MLFlowLogger):
        _ = logger.experiment  # connects: MLflow takes a run's settings once
    else:
        logger.log_hyperparams(facts)
    if line := getattr(logger, "summary_line", None):
        print(line, file=sys.stderr)
    return logger


def versions_of(loggers: Mapping[str, Any]) -> dict[str, Any]:
    """What each logger calls the run."""
    return {name: getattr(logger, "version", None) for name, logger in loggers.items()}


def conclude(trainer: Trainer, summary: Mapping[str, Any], generator: Path, facts: Mapping[str, Any]) -> None:
    """Give a finished run's results to the loggers that take them (``conclude``)."""
    for logger in trainer.loggers:
        if hasattr(logger, "conclude"):
            attempted(logger, lambda it: it.conclude(summary, generator, facts))


@contextmanager
def closing_loggers(trainer: Trainer) -> Iterator[None]:
    """End what the Trainer's loggers have begun, or the next run of a sweep would write into it."""
    code = 1
    try:
        yield
        code = 0
    except Interrupted:
        code = 0
        raise
    finally:
        for logger in trainer.loggers:
            close(logger, exit_code=code)
