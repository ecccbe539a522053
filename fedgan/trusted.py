"""Building what a run's folder names: classes of fedgan and nothing else, since run folders come from others."""

import importlib
from collections.abc import Mapping
from typing import Any

from fedgan.checks import check


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
    # What a module has merely imported is not its own.
    own = isinstance(cls, type) and cls.__module__ == module_name
    check(own, setting, f"a class of {package}", target)
    return cls(**arguments)
