"""What the server has sites train with: names of known components, and numbers; never a class, never a path."""

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from fedgan.config.refusals import CONF, options
from fedgan.config.resume import FILES, leaves
from fedgan.core.checks import check, check_choice
from fedgan.defenses.base import Defense

# What local training reads besides its components.
PLAIN = ("seed", "fl.local_epochs", "fl.batch_size", "fl.proximal.mu", "fl.proximal.decoupled")
LOCAL_HOOKS = ("adapt", "transform_batch")  # of a defense: what sites do
_WORD = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
_MOST = 64  # numbers of a list
Sent = dict[str, Any]


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a command in conf/, with overrides as a user types them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides))


def to_send(cfg: DictConfig) -> Sent:
    """Of a run's settings those that its sites train with.

    Returns:
        ``model`` and ``defense``: by name of the choice, the settings that differ from conf/'s; ``plain``: the others.

    Raises:
        ValueError: in one line, if a component is none of conf/'s, or a setting neither a number nor a name.
    """
    model = _closest(cfg, "model", "model", options("model"))
    local = [str(name) for name in cfg.defense if _is_local(cfg.defense[name])]
    defenses = {name: _closest(cfg, f"defense.{name}", "defense", [name])[name] for name in local}
    own = leaves(cfg)
    sent = {"model": model, "defense": defenses, "plain": {key: own[key] for key in PLAIN if key in own}}
    for place, settings in _places(sent):
        for key, value in settings.items():
            check_plain(f"{place}{key}", value)
    return sent


def taken(sent: Sent) -> DictConfig:
    """The settings that a site trains with: its own conf/, and of what the server sent the names and numbers.

    Raises:
        ValueError: in one line, on anything else.
    """
    for group in ("model", "defense", "plain"):
        check(isinstance(sent.get(group), Mapping), "settings", f"a mapping with {group}", sent.get(group))
    check(len(sent["model"]) == 1, "model", "one choice", list(sent["model"]))
    for group in ("model", "defense"):
        for name in sent[group]:
            check_choice(group, name, options(group))
    names = ",".join(sent["defense"]) or "none"
    cfg = composed("config", [f"model={next(iter(sent['model']))}", f"defense=[{names}]"])
    for place, settings in _places(sent):
        _take(cfg, place, settings)
    return cfg


def check_plain(setting: str, value: object) -> None:
    """Refuse what is neither a number, true, false, null, a name nor a list of numbers.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_plain("model.ema", "~/secret")
        Traceback (most recent call last):
        ...
        ValueError: model.ema must be a number, a truth value, a name, a list of numbers or null; got '~/secret'
    """
    is_list = isinstance(value, list) and len(value) <= _MOST and all(_is_number(each) for each in value)
    is_word = isinstance(value, str) and _WORD.fullmatch(value) is not None
    ok = value is None or is_list or is_word or _is_number(value)
    check(ok, setting, "a number, a truth value, a name, a list of numbers or null", value)


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _places(sent: Sent) -> list[tuple[str, Mapping[str, Any]]]:
    """Where the settings of each part belong, with the dot behind it."""
    models = [("model.", settings) for settings in sent["model"].values()]
    defenses = [(f"defense.{name}.", settings) for name, settings in sent["defense"].items()]
    return [*models, *defenses, ("", sent["plain"])]


def _take(cfg: DictConfig, place: str, settings: Mapping[str, Any]) -> None:
    own = leaves(cfg)
    for key, value in settings.items():
        name = f"{place}{key}"
        check(
            _is_free(name) and name in own and (place != "" or name in PLAIN), "settings", "settings of training", name
        )
        check_plain(name, value)
        OmegaConf.update(cfg, name, value)


def _is_free(name: str) -> bool:
    """Whether the server may set it: neither a class nor a file."""
    is_hydra = any(part.startswith("_") for part in name.split("."))
    return not is_hydra and not any(fnmatchcase(name, pattern) for pattern in FILES)


def _is_local(settings: Mapping[str, Any]) -> bool:
    kind = get_class(settings["_target_"])
    return any(getattr(kind, hook) is not getattr(Defense, hook) for hook in LOCAL_HOOKS)


def _closest(cfg: DictConfig, place: str, group: str, choices: Sequence[str]) -> dict[str, Sent]:
    """Of the choices with the same classes the one with the fewest other settings, and these."""
    own = _below(cfg, place)
    found: dict[str, Sent] = {}
    for name in choices:
        known = _below(composed("config", [f"{group}=[{name}]" if group == "defense" else f"{group}={name}"]), place)
        differing = {key: value for key, value in own.items() if key not in known or known[key] != value}
        if known.keys() == own.keys() and not any(part.startswith("_") for k in differing for part in k.split(".")):
            found[name] = {key: value for key, value in differing.items() if _is_free(f"{place}.{key}")}
    allowed = f"one of fedgan's own ({', '.join(options(group))}), of other numbers at most: sites build no other"
    check(bool(found), place, allowed, own.get("_target_"))
    name = min(found, key=lambda each: len(found[each]))
    return {name: found[name]}


def _below(cfg: DictConfig, place: str) -> dict[str, Any]:
    return {key.removeprefix(f"{place}."): value for key, value in leaves(cfg).items() if key.startswith(f"{place}.")}
