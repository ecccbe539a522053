"""What a command says that is refused or stopped: one line, with what is allowed and what was probably meant."""

import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from inspect import signature
from pathlib import Path

import yaml
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedgan.config.places import PLACES
from fedgan.config.typed.quoting import quoting_hint
from fedgan.core.checks import unknown

PACKAGE = Path(__file__).parents[1]
# In a checkout conf/ lies next to the package; an installed wheel carries it inside.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
SEVERAL = ("defense", "metrics", "logger")  # groups of which several options can be chosen, each under its own name
INTERRUPTED = 130  # the exit code of a command that a signal stopped
# What a user can fix; anything else is a bug of fedgan and keeps its traceback.
REFUSALS = (ValueError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError)


class Interrupted(Exception):
    """Raised by a command that a signal stopped and that can be resumed; its message says how."""


def explain(error: BaseException, config_name: str = "config") -> str:
    """One line: what was set, what is allowed, what was given.

    Args:
        error: what was raised.
        config_name: of the command's file in conf/.
    """
    said: str | None = None
    if isinstance(error, OverrideParseException):
        said = _unreadable(error.override, config_name)
    elif isinstance(error, MissingConfigException):
        said = _unknown_choice(error)
    elif isinstance(error, ConfigCompositionException):
        said = _of_composition(error, config_name)
    elif isinstance(error, OmegaConfBaseException):
        said = _removed(str(error))
    elif isinstance(error, InstantiationException):
        said = _of_component(error)
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        said = f"{mark.name}: not readable as YAML: line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join((said or _no_choice(str(error)) or str(error)).split())


def options(group: str) -> list[str]:
    """The choices of a group: the files of conf/ and of the command's own ``--config-dir``."""
    return sorted({file.stem for folder in config_folders() for file in (folder / group).glob("*.yaml")})


def config_folders() -> list[Path]:
    """conf/, and what the command line names with ``--config-dir``."""
    given = [argument for argument in sys.argv if argument.startswith(("--config-dir=", "-cd="))]
    names = [argument.partition("=")[2] for argument in given]
    names += [value for flag, value in zip(sys.argv, sys.argv[1:], strict=False) if flag in ("--config-dir", "-cd")]
    return [CONF, *(Path(name) for name in names)]


def having(group: str, key: str) -> list[str]:
    """The options of a group in whose files a setting is written.

    Example:
        >>> having("attack", "amplitude"), having("fl", "amplitude")
        (['sinusoidal'], [])
    """
    files = (file for folder in config_folders() for file in sorted((folder / group).glob("**/*.yaml")))
    found = {file.stem: OmegaConf.load(file) for file in files}
    return [name for name, own in found.items() if OmegaConf.is_dict(own) and _has(own, key)]


def _has(own: object, key: str) -> bool:
    for part in key.split("."):
        if not OmegaConf.is_dict(own) or part not in own:  # type: ignore[operator]
            return False
        own = own._get_node(part)  # type: ignore[attr-defined]
    return True


def unknown_setting(key: str, config: DictConfig, config_name: str) -> str:
    """That a setting does not exist, where it was looked for, and what was probably meant.

    Args:
        key: its full name.
        config: the whole configuration without it.
        config_name: of the command's file in conf/.
    """
    groups = sorted({*_groups(config_name), *_mappings(config)})
    if groups and "." in key and key.partition(".")[0] not in config:
        return _unknown_group(key, groups)
    place, _, last = key.rpartition(".")
    group, _, own = key.partition(".")
    chosen = _names(group, config)
    if group in SEVERAL and (name := own.partition(".")[0]) in options(group) and name not in chosen:
        return f"{key} is not a setting: {group}={name} is not chosen; in a sweep over {group} write ++{key}=..."
    others = [name for name in having(group, own) if name in options(group)] if own else []
    if group in SEVERAL and (owner := next((name for name in chosen if name in others), None)):
        return f"{key} is not a setting; did you mean {group}.{owner}.{own}?"
    if others:
        return (
            f"{key} is not a setting of the {group} that is chosen; {group}={' | '.join(others)} has it; "
            f"in a sweep over {group} write ++{key}=..."
        )
    above, _, name_of_place = place.rpartition(".")
    if place and name_of_place not in _names(above, config):
        return unknown_setting(place, config, config_name)
    everything = {*_names(place, config), *(() if place else _groups(config_name))}
    known = sorted(each for each in everything if not each.startswith(("_", "hydra")))
    where, meant = place or "the configuration", _meant(place, last, known, config)
    hint = f"; did you mean {meant}?" if meant else ""
    return f"{key} is not a setting; {where} has: {', '.join(known) or 'no settings'}{hint}"


def _groups(config_name: str) -> list[str]:
    """The groups that a command chooses from; not all of them leave a key of their own name."""
    defaults = _own_file(config_name).get("defaults", [])
    return [str(group) for entry in defaults if OmegaConf.is_dict(entry) for group in entry]


def _names(place: str, config: DictConfig) -> list[str]:
    """The settings at a place; none where it is not a mapping."""
    parent = OmegaConf.select(config, place) if place else config
    return [str(each) for each in parent] if OmegaConf.is_dict(parent) else []


def _own_file(config_name: str) -> DictConfig:
    own = OmegaConf.load(CONF / f"{config_name}.yaml")
    assert isinstance(own, DictConfig)
    return own


def _mappings(config: DictConfig) -> list[str]:
    """The settings at the top that contain others."""
    return [str(key) for key in config if key != "hydra" and OmegaConf.is_dict(config._get_node(key))]


def _unknown_group(key: str, groups: Sequence[str]) -> str:
    group, _, own = key.partition(".")
    near = get_close_matches(group, groups, n=1)
    meant = f"; did you mean {near[0]}.{own}?" if near else ""
    return f"{key} is not a setting: there is no group {group}; groups are: {', '.join(groups)}{meant}"


def _meant(place: str, last: str, known: Sequence[str], config: DictConfig) -> str | None:
    """The setting that was probably meant: of the same place, of the group's other options, or anywhere."""
    near = get_close_matches(last, known, n=1)
    if near:
        return f"{place}.{near[0]}" if place else near[0]
    if place:
        others = {str(key) for option in options(place) for key in OmegaConf.load(_file(place, option))}
        near = get_close_matches(last, sorted(others), n=1)
        return f"{place}.{near[0]} of {place}={' | '.join(having(place, near[0]))}" if near else None
    leaves = sorted(_leaves(config, ""), key=lambda leaf: not leaf.startswith("fl."))  # most are asked for there
    return next((leaf for leaf in leaves if leaf.endswith((f".{last}", f"_{last}"))), None)


def _file(group: str, option: str) -> Path:
    return next(file for folder in config_folders() if (file := folder / group / f"{option}.yaml").is_file())


def _leaves(node: DictConfig, prefix: str) -> Iterator[str]:
    for key in map(str, node):
        inner, name = node._get_node(key), f"{prefix}{key}"
        if isinstance(inner, DictConfig) and not inner._is_none():
            yield from _leaves(inner, f"{name}.")
        elif not key.startswith("_") and not name.startswith("hydra"):
            yield name


def _unreadable(override: str, config_name: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or key.startswith("-"):
        meant = f" (perhaps run={override})" if "run" in _own_file(config_name) else ""
        return f"settings are typed as name=value; got {override!r}{meant}"
    if any(value.count(left) != value.count(right) for left, right in ("[]", "{}")):
        return f"{key} must have a closing bracket for each opening one; got {value}"
    hint = quoting_hint(key, value)
    if hint is None:
        return f"{key}: each text in the value takes double quotes, the whole takes single quotes; got {value}"
    return f"{key}: quote a value with such characters: {hint}"


def _unknown_choice(error: MissingConfigException) -> str | None:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    known = options(group) if group else []  # Hydra lists them only outside of lists
    said = f"{group}={name} is not one of the choices; {group} has: {', '.join(known)}{_near(name, known)}"
    return said if known else None


def _of_composition(error: ConfigCompositionException, config_name: str) -> str | None:
    """What Hydra says when it puts a configuration together, in the words of the settings."""
    cause, said = error.__cause__, str(error)
    if (instead := _removed(f"{said} {cause}") or _several_values(said)) is not None:
        return instead
    if there := re.match(r"Could not append to config\. An item is already at '([^']+)'", said):
        return f"{there[1]} is a setting already: type {there[1]}=VALUE without +"
    if there := re.match(r"([\w/]+) appears more than once in the final defaults list", said):
        return f"{there[1]} is chosen once: type {there[1]}=NAME without +"
    if group := re.match(r"Could not override '([^']+)'\. No match in the defaults list", said):
        return _not_chosen_from(group[1], config_name)
    if not isinstance(cause, OmegaConfBaseException):
        return None
    if null := re.match(r"Error merging override ([\w.]+)=null", said):
        return f"{null[1]} must be given, and cannot be null"
    return _unknown_key(error, cause, config_name) or _no_list(error, cause) or f"{said}: {cause}"


def _removed(said: str) -> str | None:
    """That a setting which was removed with ~ is needed, if the error is about one."""
    for key in (argument[1:].partition("=")[0] for argument in sys.argv if argument.startswith("~")):
        if re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", said) and "Could not delete" not in said:
            return not_to_be_removed(key)
    return None


def not_to_be_removed(key: str) -> str:
    """That a setting is needed, and what to type in its place."""
    instead = f"{key}=none" if "none" in options(key) else f"{key}=VALUE"
    return f"~{key}: this setting is needed and cannot be removed; type {instead}"


def _no_choice(said: str) -> str | None:
    """That a group takes the name of an option, not null or a number."""
    if "Config group override must be a string" not in said:
        return None
    for argument in sys.argv:
        key, equals, value = argument.partition("=")
        if equals and options(key) and re.fullmatch(r"null|true|false|[-+.\d]+", value):
            return f"{key} must be one of {', '.join(options(key))}; got {value}"
    return None


def _several_values(said: str) -> str | None:
    """That a sweep takes -m; a list takes brackets, but not where one option of a group is chosen."""
    typed = re.match(r"\s*Ambiguous value for argument '([^']*)'", said)
    if typed is None:
        return None
    key, _, value = typed[1].partition("=")
    listed = "" if options(key) and key not in SEVERAL else f"; for a list type {key}=[{value}]"
    return f"{key} must be one value; got {value}; for a sweep type -m in front of all settings{listed}"


def _not_chosen_from(group: str, config_name: str) -> str:
    """That a command has no such group: the settings that it has or, of a group within one (fl/backend), the groups."""
    groups = _groups(config_name)
    if "/" not in group:
        own = sorted({*map(str, _own_file(config_name)), *groups} - {"defaults", "hydra"})
        return f"{group} is not a setting; the configuration has: {', '.join(own)}{_near(group, own)}"
    known = sorted([*groups, *(f"{each}/{name}" for each in groups for name in _groups_within(each))])
    return f"there is no group {group}; groups are: {', '.join(known)}{_near(group, known)}"


def _near(typed: str, known: Sequence[str]) -> str:
    near = get_close_matches(typed, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _groups_within(group: str) -> list[str]:
    return [folder.name for folder in (CONF / group).glob("*/") if folder.is_dir() and folder.name != "parts"]


def _unknown_key(error: ConfigCompositionException, cause: OmegaConfBaseException, config_name: str) -> str | None:
    typed = re.match(r"Could not override '([^']+)'", str(error))
    parent = cause.parent_node
    if typed is None or cause.key is None or not OmegaConf.is_dict(parent):
        return None
    if any(re.match(r"resume=(?!auto$|null$)", argument) for argument in sys.argv):
        allowed = "as in the run that is resumed: only fl.rounds, the device, the processes and root= may be typed"
        moved = "; where the data have moved, type root=PATH" if typed[1] in PLACES else ""
        return f"{typed[1]} must be {allowed}{moved}"
    if "/" in typed[1]:
        return _not_chosen_from(typed[1], config_name)
    root = parent._get_root()
    assert isinstance(root, DictConfig)
    return unknown_setting(typed[1], root, config_name)


def _no_list(error: ConfigCompositionException, cause: OmegaConfBaseException) -> str | None:
    typed = re.match(r"Error merging override ([\w.]+)=(.*)", str(error), re.DOTALL)
    if typed is None or "Cannot merge DictConfig with ListConfig" not in str(cause):
        return None
    return f"{typed[1]} must be a list, such as [a,b]; got {typed[2]}"


def _of_component(error: InstantiationException) -> str:
    """What a component's constructor raised, under the name that the setting has in this configuration."""
    said = str(error.__cause__ or error)
    key = re.search(r"full_key: (\S+)", str(error))
    if key is None:
        return said
    target = re.search(r"call to target '([^']+)'", str(error))
    own = _arguments(target[1]) if target else []
    unexpected = re.match(r"[\w.]+\(\) got an unexpected keyword argument '(\w+)'", said)
    if unexpected and own and unexpected[1] not in own:  # of a component that does not check them itself
        said = unknown(unexpected[1], own)
    name = re.match(r"(\w+)((?:\.\w+)*) (is not an argument)?", said)  # its own, or such as dataset.image_size
    if name and (name[3] or name[1] in own):
        return f"{key[1]}.{said}"
    return said if name and name[2] else f"{key[1]}: {said}"


def _arguments(target: str) -> list[str]:
    """The names of a component's arguments."""
    try:
        return list(signature(get_object(target)).parameters)
    except (TypeError, ValueError):  # of what is not written in Python
        return []
