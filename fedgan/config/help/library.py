"""What the library offers: attacks, defenses, partitions, server optimizers, each with its source, limits and control.

Read from the comments in conf/ and from the components themselves; nothing is trained.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from fedgan.attacks.base import Attack
from fedgan.config.help.reference import Option, groups
from fedgan.config.refusals import CONF, SEVERAL
from fedgan.defenses.base import Defense, ServerTraining, overrides
from fedgan.update_attacks.base import UpdateAttack

Row = dict[str, str]
_SOURCE = re.compile(r"\s*\(([^()]*\b(?:19|20)\d\d\b[^()]*)\)")  # in brackets, with a year
_PLACES = {  # where a defense acts, by what it overrides
    "adapt": "local training (objective)",
    "transform_batch": "local training (batches)",
    "filter": "filter",
    "reweight": "reweight",
    "aggregate": "aggregate",
    "finish": "finish",
    "rewinds": "rewind",
}


def tables(conf: Path = CONF) -> dict[str, list[Row]]:
    """A row for each option of a group that does something, by the group: column to text."""
    found = groups(conf)
    extra: Mapping[str, Callable[[Option, Path], Row]] = {
        "attack": _attack,
        "update_attack": _update_attack,
        "defense": _defense,
        "partition": lambda option, conf: {},
        "fl/server_optimizer": lambda option, conf: {},
    }
    made = dict[str, list[Row]]()
    for group, columns in extra.items():
        acting = [option for option in found[group] if option.name != "none"]
        everywhere = shared(acting, group)
        made[group] = [_common(option, group, everywhere) | columns(option, conf) for option in acting]
    return made


def shared(options: Sequence[Option], group: str) -> dict[str, str]:
    """The settings that all options of a group have with the same default: that default by their short names.

    Example:
        >>> from fedgan.config.help.reference import groups
        >>> shared([option for option in groups()["update_attack"] if option.name != "none"], "update_attack")
        {'start': '0', 'stop': 'null', 'every': '1'}
    """
    first, *others = [_defaults(option, group) for option in options]
    return {key: default for key, default in first.items() if all(each.get(key) == default for each in others)}


def source(option: Option) -> str:
    """Where it comes from: the comment's part on it, or the brackets with a year in its first part; empty without.

    Example:
        >>> from fedgan.config.help.reference import Option
        >>> parts = {"": "A wave (SIG, Barni et al. 2019), drawn once."}
        >>> source(Option("wave", "", (), "", {}, (), parts))
        'SIG, Barni et al. 2019'
    """
    found = _SOURCE.findall(option.parts[""])
    return option.parts.get("Source:", "; ".join(found)).removesuffix(".")


def build(name: str, group: str, conf: Path = CONF) -> Any:
    """The component of an option that has a class, with its settings there."""
    return instantiate(_config(conf / group / f"{name}.yaml"), _convert_="all")


def _config(file: Path) -> DictConfig:
    """A file with those that it builds on in its own folder."""
    own = OmegaConf.load(file)
    assert isinstance(own, DictConfig)
    bases = [_config(file.parent / f"{each}.yaml") for each in own.pop("defaults", []) if each != "_self_"]
    merged = OmegaConf.merge(*bases, own)
    assert isinstance(merged, DictConfig)
    return merged


def _common(option: Option, group: str, everywhere: Mapping[str, str]) -> Row:
    """What every table has; ``knowledge`` has a column of its own."""
    own = {key: value for key, value in _defaults(option, group).items() if key not in (*everywhere, "knowledge")}
    return {
        "name": option.name,
        "what it does": _SOURCE.sub("", option.parts[""]),
        "source": source(option),
        "defaults": ", ".join(f"`{key}={value}`" for key, value in own.items()) or "-",
    }


def _defaults(option: Option, group: str) -> dict[str, str]:
    """An option's defaults by the settings' keys without their place: of ``defense.krum.selected`` the end."""
    place = group.count("/") + 1 + (group in SEVERAL)
    return {s.key.split(".", place)[place]: s.default for s in option.settings if s.default}


def _attack(option: Option, conf: Path) -> Row:
    """The metric of what it puts on images, or the one that the comment names."""
    attack = build(option.name, "attack", conf)
    assert isinstance(attack, Attack)
    trigger = attack.trigger(channels=3, image_size=64, seed=0)
    looks = trigger.metric if trigger else None
    return {"found by": option.parts.get("Found by:", looks or "-").removesuffix(".")}


def _update_attack(option: Option, conf: Path) -> Row:
    """What malicious clients know, and what the setting says if it is one."""
    attack = build(option.name, "update_attack", conf)
    assert isinstance(attack, UpdateAttack)
    meaning = next((s.meaning for s in option.settings if s.key == "update_attack.knowledge"), "")
    return {"knowledge": f"`{attack.knowledge}`" + (f" ({meaning})" if meaning else "")}


def _defense(option: Option, conf: Path) -> Row:
    """How many malicious clients it tolerates, where it acts, what it does where nobody attacks."""
    defense = build(option.name, "defense", conf)
    assert isinstance(defense, Defense)
    hooks = [place for hook, place in _PLACES.items() if overrides(defense, hook)]
    return {
        "tolerates": option.parts["Tolerates"].removesuffix("."),
        "acts in": ", ".join([*hooks, *server_places(defense.server_training())]),
        "control without attack": option.parts["Control:"].removesuffix("."),
    }


def server_places(training: ServerTraining | None) -> list[str]:
    """When the server itself trains.

    Example:
        >>> server_places(ServerTraining(50, every_round=True)), server_places(ServerTraining(50, rounds_after=9))
        (['training at the server, each round'], ['after training'])
    """
    if training is None:
        return []
    times = {"training at the server, each round": training.every_round, "after training": training.rounds_after > 0}
    return [time for time, does in times.items() if does]
