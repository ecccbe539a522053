"""Building what a run's folder names: classes of fedgan and of packages that the user trusts, and nothing else.

Run folders come from others. Which packages are trusted is typed on the command line (``trust=[my_lab]``) and never
read from a folder.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Predicate

from fedgan.core.arguments import Allowed, Trial
from fedgan.core.checks import check

LIBRARY_CLASSES = {
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    *(f"pytorch_lightning.loggers.{kind}Logger" for kind in ("CSV", "MLFlow", "TensorBoard", "Wandb")),
    "wandb.Artifact",
    "wandb.Settings",
}


def _names_package(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _try_import(setting: str, packages: Sequence[str]) -> None:
    for name in packages:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"{setting}: {name} cannot be imported ({error}); is it installed here?") from error


# The names of packages that the user trusts: typed, and imported where they are declared.
Packages = Annotated[
    Sequence[Annotated[str, Predicate(_names_package)]],
    Allowed("a list of names of your own packages, such as [my_lab]"),
    Trial(_try_import),
]


def build_trusted(
    setting: str, target: str, arguments: Mapping[str, Any], package: str, trust: Sequence[str] = ()
) -> Any:
    """``target(**arguments)``, if ``target`` is a class written in ``package`` (``fedgan.models``, say).

    Args:
        setting: what the error calls it.
        target: a class's dotted path.
        arguments: its keyword arguments.
        package: where it must come from,
        trust: or from one of these packages.

    Raises:
        ValueError: in one line, if it comes from elsewhere.
        ImportError, AttributeError, TypeError: if this version of fedgan has no such class or arguments.

    Example:
        >>> build_trusted("run", "os.system", {"command": "reboot"}, "fedgan.models")
        Traceback (most recent call last):
        ...
        ValueError: run must be a class of fedgan.models (trust=[PACKAGE] adds your own); got 'os.system'
    """
    return trusted_class(setting, target, package, trust)(**arguments)


def trusted_class(setting: str, target: str, package: str, trust: Sequence[str] = ()) -> type:
    """The class alone; see ``build_trusted``."""
    module_name, _, class_name = target.rpartition(".")
    allowed = f"a class of {' or '.join((package, *trust))}{'' if trust else ' (trust=[PACKAGE] adds your own)'}"
    known = any(is_within(module_name, each) for each in (package, *trust))
    cls = getattr(importlib.import_module(module_name), class_name) if known else None
    check(is_own(cls, module_name), setting, allowed, target)
    assert isinstance(cls, type)
    return cls


def is_within(module_name: str, package: str) -> bool:
    """Whether a module is a package or within it.

    Example:
        >>> is_within("my_lab.attacks", "my_lab"), is_within("my_laboratory", "my_lab")
        (True, False)
    """
    return f"{module_name}.".startswith(f"{package}.")


def is_trusted(target: str, trust: Sequence[str] = ()) -> bool:
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
    if not any(is_within(module_name, package) for package in ("fedgan", *trust)):
        return False
    try:
        return is_own(getattr(importlib.import_module(module_name), class_name), module_name)
    except (ImportError, AttributeError):
        return False


def is_own(found: object, module_name: str) -> bool:
    """Whether ``found`` is a class written in that module: what it only imports is not its own."""
    return isinstance(found, type) and found.__module__ == module_name
