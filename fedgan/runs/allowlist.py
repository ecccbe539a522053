"""Building what a run's folder names: classes of fedgan and nothing else, since run folders come from others."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch

from fedgan.core.checks import check

LIBRARY_CLASSES = {
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    *(f"pytorch_lightning.loggers.{kind}Logger" for kind in ("CSV", "MLFlow", "TensorBoard", "Wandb")),
    "wandb.Settings",
}


def build_trusted(setting: str, target: str, arguments: Mapping[str, Any], package: str) -> Any:
    """``target(**arguments)``, if ``target`` is a class written in ``package`` (``fedgan.models``, say).

    Args:
        setting: what the error calls it.
        target: a class's dotted path.
        arguments: its keyword arguments.
        package: where it must come from.

    Raises:
        ValueError: in one line, if it comes from elsewhere.
        ImportError, AttributeError, TypeError: if this version of fedgan has no such class or arguments.

    Example:
        >>> build_trusted("run", "os.system", {"command": "reboot"}, "fedgan.models")
        Traceback (most recent call last):
        ...
        ValueError: run must be a class of fedgan.models; got 'os.system'
    """
    module_name, _, class_name = target.rpartition(".")
    check(module_name.startswith(f"{package}."), setting, f"a class of {package}", target)
    cls = getattr(importlib.import_module(module_name), class_name)
    check(is_own(cls, module_name), setting, f"a class of {package}", target)
    return cls(**arguments)


def is_trusted(target: str) -> bool:
    """Whether a resumed run's settings may name ``target``: a class of fedgan, or one of those that conf/ names.

    Example:
        >>> [is_trusted(name) for name in ("torch.optim.Adam", "pytorch_lightning.trainer.trainer.os.system")]
        [True, False]
    """
    module_name, _, class_name = target.rpartition(".")
    if target in LIBRARY_CLASSES:
        return True
    if module_name == "torch.optim":
        found = getattr(torch.optim, class_name, None)
        return isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    if not module_name.startswith("fedgan."):
        return False
    try:
        return is_own(getattr(importlib.import_module(module_name), class_name), module_name)
    except (ImportError, AttributeError):
        return False


def is_own(found: object, module_name: str) -> bool:
    """Whether ``found`` is a class written in that module: what it has merely imported is not its own."""
    return isinstance(found, type) and found.__module__ == module_name
