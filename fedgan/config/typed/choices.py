"""Settings that the chosen options do not have: left over from another choice and dropped, or refused."""

import sys
from collections.abc import Collection, Iterator, Sequence

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from fedgan.config.refusals import SEVERAL, having, options, unknown_setting
from fedgan.core.checks import check

ADDED = (OverrideType.ADD, OverrideType.FORCE_ADD)
SETS = ("experiment", "arm", "hparams_search")  # groups whose options are sets of overrides, and no component


def fit_choices(cfg: DictConfig, free: Collection[str] = ()) -> None:
    """Drop what belongs to options that were not chosen, and refuse what nothing reads; changes ``cfg``.

    A named experiment sets what its own choices need, and ``++attack.size=8`` what one arm of a sweep needs: with
    another choice (``attack=none``) such settings are left over. What nothing has is refused, also where it was added
    with ``+``; a component refuses by itself what it does not take.

    Args:
        cfg: as composed within a command.
        free: settings in which any name may be given.

    Raises:
        ValueError: in one line.
    """
    typed, chosen = parsed(typed_overrides()), HydraConfig.get().runtime.choices
    for each in typed:
        if each.key_or_group in SEVERAL:
            _check_several(each.key_or_group, each.value())
    if not any(chosen.get(group) for group in SETS) and not any(each.type in ADDED for each in typed):
        return  # nothing but what conf/ has can be there
    drop_unchosen(cfg)
    # A group that was added with + is none of the command's own: what its option sets is checked.
    known = chosen.keys() - {each.key_or_group for each in typed if each.type in ADDED}
    wanted = [f"{group}={option}" for group, option in chosen.items() if group in known and _is_choice(group, option)]
    plain = compose(HydraConfig.get().job.config_name, overrides=wanted)
    added = {each.key_or_group for each in typed if each.type == OverrideType.ADD}
    for key in list(_missing(cfg, plain, "")):
        if key.partition(".")[0] not in (*SEVERAL, *free):
            _settle(key, cfg, plain, added)
    if HydraConfig.get().mode != RunMode.MULTIRUN:  # a sweep has runs that take them
        for each in typed:
            if each.type == OverrideType.FORCE_ADD and OmegaConf.select(cfg, each.key_or_group) is None:
                print(f"note: {each.input_line} has no effect with what is chosen", file=sys.stderr)


def _check_several(group: str, chosen: object) -> None:
    names = list(map(str, chosen)) if isinstance(chosen, list) else [str(chosen)]
    check(bool(names), group, f"at least one choice ({group}=none for none)", chosen)
    check(len(set(names)) == len(names), group, "a list of choices, each once at most", names)


def drop_unchosen(cfg: DictConfig) -> None:
    """Drop settings of defenses and metrics that were not chosen; changes ``cfg``."""
    several = [(group, name) for group in SEVERAL for name in cfg.get(group, ())]
    for group, name in several:
        if name in options(group) and OmegaConf.is_dict(cfg[group][name]) and "_target_" not in cfg[group][name]:
            _drop(f"{group}.{name}", cfg)


def typed_overrides() -> list[str]:
    """What was typed for this run, as it was typed; within a command."""
    texts = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)  # ${...} is the settings' affair
    assert isinstance(texts, list)
    return [str(text) for text in texts]


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(list(overrides))


def _is_choice(group: str, option: object) -> bool:
    return option is not None and "/" not in group and group not in SETS


def _missing(cfg: DictConfig, plain: DictConfig, place: str) -> Iterator[str]:
    """The full names of what is in ``cfg`` and not in ``plain``, without what is below them."""
    for key in map(str, cfg):
        if key not in plain:
            yield f"{place}{key}"
        else:
            own, inner = (each._get_node(key) for each in (cfg, plain))
            if all(isinstance(each, DictConfig) and not each._is_none() for each in (own, inner)):
                yield from _missing(own, inner, f"{place}{key}.")  # type: ignore[arg-type]


def _settle(key: str, cfg: DictConfig, plain: DictConfig, added: Collection[str]) -> None:
    """Leave a setting to its component, drop it or refuse it."""
    place = key.rpartition(".")[0]
    group, _, own = key.partition(".")
    node, elsewhere = OmegaConf.select(cfg, key), bool(having(group, own))
    component = OmegaConf.is_dict(node) and "_target_" in node
    if component or (_in_component(place, plain) and not elsewhere):
        return
    _drop(key, cfg)
    if key in added or not elsewhere:
        raise ValueError(unknown_setting(key, cfg, str(HydraConfig.get().job.config_name)))


def _drop(key: str, cfg: DictConfig) -> None:
    place, _, name = key.rpartition(".")
    parent = OmegaConf.select(cfg, place) if place else cfg
    with open_dict(parent):
        del parent[name]


def _in_component(place: str, cfg: DictConfig) -> bool:
    """Whether a setting at this place is an argument of a component, or lies within one."""
    parts = place.split(".")
    nodes = (OmegaConf.select(cfg, ".".join(parts[: i + 1])) for i in range(len(parts)))
    return any(OmegaConf.is_dict(node) and "_target_" in node for node in nodes)
