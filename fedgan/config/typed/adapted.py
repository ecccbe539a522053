"""What was typed, as Hydra is to read it: paths as text, names short, and no setting twice that a resumed run has."""

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from fedgan.config.places import AUTO, NAMING_PLACES
from fedgan.config.refusals import not_to_be_removed, options
from fedgan.config.typed.choices import parsed

_PATHS = "|".join(map(re.escape, (*NAMING_PLACES, "hydra.run.dir", "hydra.sweep.dir")))
_NUMBERED = re.compile(rf"^((?:{_PATHS})=)([-+]?[0-9.][0-9_.eE+-]*)$")


def check_flags(arguments: list[str]) -> Namespace:
    """Refuse options that Hydra does not have (settings are typed without dashes), and settings that are removed.

    Returns:
        What was typed, as Hydra reads it.

    Raises:
        ValueError: in one line.
    """
    own, unknown = get_args_parser().parse_known_args(arguments)
    for removed in (typed for typed in own.overrides if typed.startswith("~") and "." not in typed.partition("=")[0]):
        raise ValueError(not_to_be_removed(removed[1:].partition("=")[0]))
    dashed = [argument for argument in unknown if argument.startswith("-")]
    if dashed:
        name = dashed[0].lstrip("-").partition("=")[0]
        raise ValueError(f"{dashed[0]} is not an option; settings are typed without dashes: {name}=...")
    if unknown:
        raise ValueError(f"options such as -m go before all settings; got {' '.join(arguments)}")
    return own


@contextmanager
def named_by_what_varies(argv: list[str]) -> Iterator[None]:
    """Have Hydra name a sweep's folders by what varies in it alone; settings that all runs share are left out."""
    own = get_args_parser().parse_known_args(argv[1:])[0]
    typed = parsed(own.overrides) if own.multirun else []
    varying = {each.key_or_group for each in typed if each.is_sweep_override()}
    constant = [each.key_or_group for each in typed if each.key_or_group not in varying]
    added: list[str] = []
    if varying:
        added = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(['resume', *constant])}]"]
    argv.extend(added)
    try:
        yield
    finally:
        del argv[len(argv) - len(added) :]


@contextmanager
def paths_as_typed(argv: list[str]) -> Iterator[None]:
    """Have Hydra take a file or folder whose name is a number as text: it would read 2026_01_31 as 20260131."""
    before = list(argv)
    argv[:] = [_NUMBERED.sub(r"\1'\2'", text) for text in argv]
    try:
        yield
    finally:
        argv[:] = before


@contextmanager
def without_repeated(argv: list[str]) -> Iterator[None]:
    """With ``resume=FOLDER``, take no notice of settings that say what the run's own say.

    Hydra composes the defaults first, in which a setting of another choice (``attack.size=8``) does not exist. One of
    them that may differ, such as ``metrics.lpips.weights``, is added with its component.
    """
    before = list(argv)
    typed = next((each.partition("=")[2] for each in argv if each.startswith("resume=")), AUTO)
    folder = Path.cwd() / Path(typed).expanduser()
    if typed != AUTO and (folder / "config.yaml").is_file() and not {"-m", "--multirun"} & set(argv):
        from fedgan.config.resume import recorded_settings  # here: it waits for torch

        own = get_args_parser().parse_known_args(argv[1:])[0].overrides
        if not any(options(text.partition("=")[0]) for text in own):  # a choice brings its other settings along
            recorded = recorded_settings(folder)
            argv[:] = [each for text in argv for each in (_resumed(text, recorded) if text in own else [text])]
    try:
        yield
    finally:
        argv[:] = before


def _resumed(text: str, recorded: DictConfig) -> list[str]:
    """What Hydra reads in place of an override of a run that is resumed."""
    from fedgan.config.resume import is_repeated, may_move  # here: it waits for torch

    if is_repeated(text, recorded):
        return []
    setting = text.lstrip("+")
    key = setting.partition("=")[0]
    if not may_move(key, recorded):
        return [text]
    target = f"{'.'.join(key.split('.')[:2])}._target_"
    return [f"++{target}={OmegaConf.select(recorded, target)}", f"++{setting}"]
