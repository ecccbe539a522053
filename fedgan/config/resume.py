"""Resuming from a run's folder: with its settings, but for the number of rounds, the device and where files are."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf

from fedgan.config.places import PLACES
from fedgan.config.refusals import SEVERAL, config_folders
from fedgan.config.validate import check_epochs
from fedgan.core.arguments import Allowed, Count, PathText, validated
from fedgan.core.checks import as_typed, check
from fedgan.core.files import atomic_write
from fedgan.runs.allowlist import Packages, is_trusted
from fedgan.runs.checkpoint import latest_checkpoint
from fedgan.runs.folder import is_finished
from fedgan.runs.load import place_of

WHERE = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes")
# Settings of earlier versions; a run that has one cannot be resumed by this version.
GONE = {
    "logger._target_": "each logger has a name now: logger.wandb",
    "fl.engine": "fl/backend chooses it now",
    "attack.malicious": "fl.malicious is what it is called now",
    "defense.feddetect.statistic": "that run's feddetect is now feddetect_mean or feddetect_code",
}
SINCE = ("fl.weighting", "partition", "model._target_")  # which every run of this version has
# What may be typed next to resume=.
OWN = (
    "resume",
    "trust",
    "sweep.dry_run",
    "fl.rounds",
    "trainer.max_epochs",
    "root",
    "dataset.cache_dir",
    *PLACES,
    *WHERE,
)
# What trainer=gpu may set too without being asked.
ON_SCREEN = ("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.profiler")
# Files of metrics that may be elsewhere today: a pretrained network is compared when training begins (``Evaluator``).
MOVABLE = ("metrics.*.weights", "metrics.*.cache", "metrics.*.classifier.cache")
# Settings that name files: relative to where the command was given, and kept so that they hold anywhere.
FILES = ("root", *PLACES, "dataset.cache_dir", *MOVABLE, "defense.*.spread")


def _has_settings(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


RunFolder = Annotated[Path, Predicate(_has_settings), Allowed("a run's folder, with config.yaml in it")]


def is_begun(folder: Path) -> bool:
    """Whether ``folder`` contains a run: finished, or at least a round of it. What is left of less is no run."""
    some = is_finished(folder) or latest_checkpoint(folder) is not None
    return _has_settings(folder) and some


def resumed_config(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The settings of the run to resume, extended to ``fl.rounds`` if that was asked for.

    Args:
        cfg: what was composed from the command line.
        overrides: what was typed.

    Raises:
        ValueError: in one line, if the folder is no run's, if a setting was changed, or if the run is longer already.
    """
    folder = Path(str(cfg.resume)).expanduser()
    recorded = recorded_settings(folder)
    typed_trust = OmegaConf.to_container(cfg)["trust"]  # type: ignore[index, call-overload]
    refuse_foreign(recorded, validated("trust", Packages, typed_trust))
    typed = [OverridesParser.create().parse_override(text).key_or_group for text in overrides]
    refuse_changes(recorded, cfg, typed)
    if "fl.rounds" in typed:
        validated("fl.rounds", Count, cfg.fl.rounds)
        recorded.fl.rounds = recorded.trainer.max_epochs = cfg.fl.rounds
    if "trainer.max_epochs" in typed:
        check_epochs(cfg.trainer.max_epochs, recorded.fl.rounds)
    for key in (*WHERE, *PLACES, "dataset.cache_dir"):
        if is_touched(key, typed) and OmegaConf.select(cfg, key) is not None:
            OmegaConf.update(recorded, key, OmegaConf.select(cfg, key))
    for key in (key for key in typed if may_move(key, recorded)):
        OmegaConf.update(recorded, key, OmegaConf.select(cfg, key))
    if cfg.root is not None:
        validated("root", PathText | None, cfg.root)
        OmegaConf.update(recorded, f"dataset.{place_of(recorded.dataset, cfg.root)}", cfg.root)
    recorded.resume, recorded.trust = str(folder), cfg.trust  # never the folder's own
    return recorded


def is_touched(key: str, typed: Sequence[str]) -> bool:
    """Whether what was typed says anything of a setting: itself, or the choice of its group.

    Example:
        >>> is_touched("trainer.devices", ["trainer"]), is_touched("trainer.devices", ["trainer.precision"])
        (True, False)
    """
    return any(key == part or key.startswith(f"{part}.") for part in typed)


def may_move(key: str, recorded: DictConfig) -> bool:
    """Whether a setting names a file of a metric of the run, which may be elsewhere when the run is resumed.

    Example:
        >>> recorded = OmegaConf.create({"metrics": {"lpips": {"weights": "a.pth", "seed": 0}}})
        >>> [may_move(f"metrics.{key}", recorded) for key in ("lpips.weights", "lpips.seed", "fid.weights")]
        [True, False, False]
    """
    return key in leaves(recorded) and any(fnmatchcase(key, pattern) for pattern in MOVABLE)


def anchor(cfg: DictConfig, folder: Path) -> None:
    """Make the settings that name files absolute, in place: ``folder`` is where the command was given."""
    for key, value in leaves(cfg).items():
        if isinstance(value, str) and value and any(fnmatchcase(key, pattern) for pattern in FILES):
            OmegaConf.update(cfg, key, str(folder / Path(value).expanduser()))


def recorded_settings(folder: Path) -> DictConfig:
    """What a run's config.yaml says.

    Raises:
        ValueError: in one line, if there is no such file, if it has no settings, or those of an earlier version, or if
            one is an interpolation: what it stands for could change after it was checked.
    """
    recorded = OmegaConf.load(validated("resume", RunFolder, folder) / "config.yaml")
    check(isinstance(recorded, DictConfig), "resume", "a run's folder, with settings in config.yaml", str(folder))
    assert isinstance(recorded, DictConfig)
    others = differences(recorded)
    allowed = "a run of this version of fedgan (with fl.weighting and partition)"
    check(not others, "resume", allowed, f"{folder} {others[0]}" if others else None)
    for name, value in _inside(OmegaConf.to_container(recorded)):
        plain = not isinstance(value, str) or "${" not in value
        check(plain, f"resume: {name}", "a plain value: a run writes its settings resolved", value)
    return recorded


def differences(recorded: DictConfig) -> list[str]:
    """What makes settings those of an earlier version: each one that is gone since, and each that is missing.

    Example:
        >>> differences(OmegaConf.create({"fl": {"weighting": {}}, "partition": {}, "logger": {"_target_": "X"}}))
        ['with logger._target_=X (each logger has a name now: logger.wandb)', 'without model._target_']
    """
    found = {key: OmegaConf.select(recorded, key) for key in (*GONE, *SINCE)}
    gone = [f"with {key}={found[key]} ({why})" for key, why in GONE.items() if found[key] is not None]
    return gone + [f"without {key}" for key in SINCE if found[key] is None]


def is_repeated(text: str, recorded: DictConfig) -> bool:
    """Whether an override says of a setting what the run's own settings say.

    Args:
        text: as it was typed.
        recorded: the run's settings.

    Example:
        >>> recorded = OmegaConf.create({"attack": {"size": 8}, "fl": {"rounds": 2}})
        >>> [is_repeated(text, recorded) for text in ("attack.size=8", "attack.size=9", "fl.rounds=2")]
        [True, False, False]
    """
    override = OverridesParser.create().parse_override(text)
    key = override.key_or_group
    if override.type != OverrideType.CHANGE or key in OWN or override.is_sweep_override():
        return False
    own = OmegaConf.select(recorded, key)
    plain = OmegaConf.to_container(own, resolve=True) if OmegaConf.is_config(own) else own
    return plain is not None and (type(plain), plain) == (type(override.value()), override.value())


def refuse_changes(recorded: DictConfig, cfg: DictConfig, typed: Sequence[str]) -> None:
    """Refuse settings that were typed and differ from the run's."""
    # A choice like experiment=demo may change anything.
    parts = [key.replace("/", ".") for key in typed if key not in OWN]  # fl/backend chooses what is in fl.backend
    sets = [part for part in parts if part.partition(".")[0] not in cfg]
    now, then = leaves(cfg), leaves(recorded)
    for key in sorted(now.keys() | then.keys()):
        touched = bool(sets) or is_touched(key, parts)
        # What a setting follows is compared itself; what only shows on the screen decides nothing.
        moved = key in parts and may_move(key, recorded)
        own = key in OWN or moved or (key not in parts and (key in ON_SCREEN or follows(cfg, key)))
        if touched and not own and now.get(key) != then.get(key):
            by = next((part for part in parts if is_touched(key, [part])), next(iter(sets), None))
            raise ValueError(_change(key, recorded, cfg, None if key in parts else by))


def follows(cfg: DictConfig, key: str) -> bool:
    """Whether a setting is written as that of another.

    Example:
        >>> cfg = OmegaConf.create({"a": {"b": "${c}"}, "c": 1})
        >>> follows(cfg, "a.b"), follows(cfg, "c"), follows(cfg, "a.x"), follows(cfg, "x.y")
        (True, False, False, False)
    """
    folder, _, name = key.rpartition(".")
    place = OmegaConf.select(cfg, folder) if folder else cfg
    return OmegaConf.is_dict(place) and name in place and OmegaConf.is_interpolation(place, name)


def _change(key: str, recorded: DictConfig, cfg: DictConfig, by: str | None) -> str:
    """That a setting differs from the run's; ``by``: the choice that set it, if it was not typed itself."""
    place = next((value for each in PLACES if (value := OmegaConf.select(cfg, each)) is not None), None)
    if by == "dataset" and place is not None:
        return f"dataset must be the run's own, which resume= knows: leave dataset= away and type root={place}"
    before, got = (as_typed(OmegaConf.select(each, key)) for each in (recorded, cfg))
    sets = f", which {by}= sets" if by else ""
    if by and key.endswith("._target_"):  # users know it by the choice
        group = key.removesuffix("._target_").replace(".", "/")
        key, sets = top if (top := group.partition("/")[0]) in SEVERAL else group, ""
        before, got = chosen(recorded, key), chosen(cfg, key)
    may_change = "fl.rounds, the device, the processes and root= may change"
    return f"{key} must be {before}, as in the run that is resumed ({may_change}); got {got}{sets}"


def chosen(cfg: DictConfig, group: str) -> str:
    """The choice that made a group's component, or the names of several defenses or metrics, as a user types them.

    Example:
        >>> chosen(OmegaConf.create({"attack": {"_target_": "fedgan.attacks.base.Attack"}}), "attack")
        'none'
        >>> chosen(OmegaConf.create({"defense": {"rotation": {}, "feddetect": {}}}), "defense")
        '[rotation,feddetect]'
    """
    if group in SEVERAL:
        names = list(map(str, cfg[group]))
        return names[0] if len(names) == 1 else f"[{','.join(names)}]" if names else "none"
    target = OmegaConf.select(cfg, f"{group.replace('/', '.')}._target_")
    if target is None:
        return "none"
    module, _, class_name = str(target).rpartition(".")
    files = [file for each in config_folders() for file in sorted((each / group).glob("*.yaml"))]
    making = [file.stem for file in files if OmegaConf.select(OmegaConf.load(file), "_target_") == target]
    own = module.rpartition(".")[2]  # several may name one class: chestx and isic are image folders
    return own if own in making else making[0] if making else class_name


def refuse_foreign(recorded: DictConfig, trust: Sequence[str], why: str = "resume") -> None:
    """Refuse settings that would build something else: a folder may come from others, and building is executing.

    In lists too: Hydra builds what is in them before the component that has the list sees its arguments.
    """
    for name, value in _inside(OmegaConf.to_container(recorded, resolve=True)):
        if name.endswith("_target_"):
            allowed = "a class of fedgan, torch.optim or Lightning that conf/ names, or of a package in trust=[...]"
            check(is_trusted(str(value), trust), f"{why}: {name}", allowed, value)


def logger_versions(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the loggers called a run, by name; Hydra builds a logger with it, and a folder may come from others.

    Args:
        record: the run's run.json.

    Raises:
        ValueError: in one line, if one is neither a number nor a name.

    Example:
        >>> logger_versions({"loggers": {"wandb": "x7k2", "csv": 0, "mine": None}}), logger_versions({})
        ({'wandb': 'x7k2', 'csv': 0, 'mine': None}, {})
    """
    versions = dict(record.get("loggers") or {})
    for name, version in versions.items():
        plain = version is None or isinstance(version, int) or (isinstance(version, str) and "${" not in version)
        check(plain, f"resume: loggers.{name} in run.json", "a number or a name", version)
    return versions


def _inside(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in mappings and lists, at any depth, by its full name."""
    if isinstance(node, Mapping):
        parts = [(f"{name}.{key}" if name else str(key), value) for key, value in node.items()]
    else:
        parts = [(f"{name}[{place}]", value) for place, value in enumerate(node)] if isinstance(node, list) else []
    for part, value in parts:
        yield part, value
        yield from _inside(value, part)


def leaves(cfg: DictConfig) -> dict[str, Any]:
    """Every setting by its full name, resolved; lists are one setting."""

    def walk(prefix: str, node: Any) -> dict[str, Any]:
        if not isinstance(node, dict):
            return {prefix: node}
        found: dict[str, Any] = {}
        for key, value in node.items():
            found |= walk(f"{prefix}.{key}" if prefix else str(key), value)
        return found

    return walk("", OmegaConf.to_container(cfg, resolve=True))


def keep_settings(cfg: DictConfig, folder: Path) -> None:
    """Write config.yaml, resolved, whole or not at all; how the run was started is not a setting of it."""
    of_the_run = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])
    own = OmegaConf.merge(of_the_run, {"resume": None, "trust": []})
    atomic_write(folder / "config.yaml", lambda file: OmegaConf.save(own, file, resolve=True))


def keep_typed(folder: Path) -> None:
    """Write Hydra's own record of a command into ``.hydra/``, where its users look for it; none without a command."""
    if not HydraConfig.initialized():
        return
    typed = folder / ".hydra"
    typed.mkdir(exist_ok=True)
    own = HydraConfig.get()
    atomic_write(typed / "hydra.yaml", lambda file: OmegaConf.save(OmegaConf.create({"hydra": own}), file))
    atomic_write(typed / "overrides.yaml", lambda file: OmegaConf.save(own.overrides.task, file))
