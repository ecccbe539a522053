"""What honest clients' losses depend on, of control runs and of a run that relies on them."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig

from fedgan.config.resume import leaves
from fedgan.core.words import counted

# Where the data lie and what changes no training is left out.
RECIPE = ("dataset.*", "partition.*", "fl.*", "model.*", "defense.*", "trainer.precision")
IDLE = ("dataset.root", "dataset.file", "dataset.cache_dir", "fl.malicious", "fl.backend.*", "model.arrival_samples")
CLIENTS = "fl.num_clients"  # of which a detector warns by itself
MOST_SAID = 3  # settings of a warning
LONGEST = 40  # characters of a value in it


def recipe_of(settings: DictConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that honest losses depend on, by their full names, and what was read as the data set.

    Args:
        settings: of a run, all of them.
        data: ``Splits.describe()``, as in run.json.
    """
    own = leaves(settings)
    kept = {key: value for key, value in own.items() if _matches(key, RECIPE) and not _matches(key, IDLE)}
    images = {f"dataset.{part}.sha256": (data.get(part) or {}).get("sha256") for part in ("train", "test")}
    return {"dataset.name": data.get("name"), **kept, **images}


def _matches(key: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def in_other_words(measured: Mapping[str, Any], own: Mapping[str, Any], acting: Collection[str]) -> str | None:
    """That a run's recipe is another than the one that was measured, with both; None if it is the same.

    Args:
        measured: the recipe of control runs; empty where nothing was measured.
        own: the run's.
        acting: names of the run's defenses that act at the server, which control runs do without.

    Example:
        >>> in_other_words({"fl.batch_size": 16, "fl.rounds": 9}, {"fl.batch_size": 8, "fl.rounds": 9}, acting=())
        'measured with fl.batch_size=16, and this run has fl.batch_size=8'
    """
    idle = tuple(f"defense.{name}." for name in acting)
    keys = dict.fromkeys([*measured, *own]) if measured else {}
    differ = [key for key in keys if measured.get(key) != own.get(key) and key != CLIENTS and not key.startswith(idle)]
    if not differ:
        return None
    then, now = (", ".join(f"{key}={_short(each.get(key))}" for key in differ[:MOST_SAID]) for each in (measured, own))
    more = len(differ) - MOST_SAID
    others = f" ({counted(more, 'more setting')} differ)" if more > 0 else ""
    return f"measured with {then}, and this run has {now}{others}"


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
