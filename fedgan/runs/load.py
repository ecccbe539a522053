"""A finished run loaded from its folder, which may come from another machine."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fedgan.attacks.base import Attack
from fedgan.core.arguments import validated
from fedgan.core.checks import check
from fedgan.core.images import ImageSet, Splits
from fedgan.core.trigger import Trigger
from fedgan.core.words import reason_of
from fedgan.defenses.base import Defense
from fedgan.federated.data import FederatedData, set_apart, share_out, trigger_of
from fedgan.metrics.base import Unavailable
from fedgan.runs.allowlist import build_trusted, trusted_class
from fedgan.runs.export import Release, load_generator
from fedgan.runs.folder import Finished

_AT_SITES = "fedgan.flower."  # backends of clients whose images are elsewhere
# What a damaged, foreign or older folder leads to.
UNUSABLE = (LookupError, TypeError, AttributeError, ImportError)


@dataclass(frozen=True)
class FinishedRun:
    """What is left of a run when training is over.

    Attributes:
        folder: the run's folder.
        release: its generator.
        splits: the real images that it was trained and tested on.
        trigger: what its attacker pastes, or would paste if there were one; None with attack=none.
        seed: the run's.
        attacked: whether any client was malicious.
        trained: what its clients and its server have trained on; see ``Reference``.
    """

    folder: Path
    release: Release
    splits: Splits
    trigger: Trigger | None
    seed: int
    attacked: bool
    trained: Callable[[], Sequence[ImageSet]] | None = None


def open_run(folder: Path, root: str | None = None, trust: Sequence[str] = (), setting: str = "run") -> FinishedRun:
    """Load a run's generator, its data set and its trigger; nothing in the folder is executed.

    Args:
        folder: the run's folder.
        root: where the data set is now (its folder or file); None: where the run found it.
        trust: packages besides fedgan whose classes it may name; see ``fedgan.runs.allowlist``.
        setting: what errors call the run.

    Raises:
        ValueError: in one line, if this is no finished run, or if the data set is not the one it was trained on.
    """
    release = load_generator(folder, trust, setting)
    record, settings = _read(folder, setting)
    validated(setting, Finished, folder)
    try:
        splits = _load_data(settings["dataset"], root, trust, setting)
        attack = _build("attack", settings["attack"], trust, setting)
        seed, attacked = int(settings["seed"]), bool(record["malicious"])
        must = f"{setting}: its data set must be the one" if root is None else "root must contain the data set"
        _check_same_data(record["dataset"], splits, must)
        assert isinstance(attack, Attack)
        trigger = trigger_of(attack, splits.channels, splits.image_size, seed)
    except UNUSABLE as error:
        raise ValueError(f"{setting}: {folder} is not a run of this version of fedgan ({reason_of(error)})") from error
    _check_fits(release, splits, setting)
    trained = partial(_trained_on, splits, record, settings, trust, setting)
    return FinishedRun(folder, release, splits, trigger, seed, attacked, trained)


def _read(folder: Path, setting: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json and config.yaml."""
    try:
        record = json.loads((folder / "run.json").read_text())
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        return dict(record), dict(settings)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        allowed = "the folder of a finished run, with a readable run.json and config.yaml"
        raise ValueError(f"{setting} must be {allowed}; got {folder} ({reason_of(error)})") from error


def _trained_on(
    splits: Splits, record: Mapping[str, Any], settings: Mapping[str, Any], trust: Sequence[str], setting: str
) -> list[ImageSet]:
    """What the clients and the server of a run have trained on, dealt out and poisoned again; none if it is at sites.

    Raises:
        Unavailable: if it cannot be made again, or comes out otherwise than the run recorded it.
    """
    try:
        fl = settings["fl"]
        if str(fl["backend"]["_target_"]).startswith(_AT_SITES):
            return []
        own_images, images = _set_apart(splits, settings, trust, setting)
        partition, attack = (_build(group, settings[group], trust, setting) for group in ("partition", "attack"))
        malicious, seed = frozenset(record["malicious"]), int(settings["seed"])
        data = share_out(images, partition, attack, malicious, int(fl["num_clients"]), seed)
        check(_is_recorded(data, record), setting, "a run whose run.json is about these clients", "another")
    except (ValueError, OSError, *UNUSABLE) as error:
        raise Unavailable(f"what its clients trained on cannot be made again ({reason_of(error)})") from error
    return data.trained_on(int(fl["rounds"]), own_images)


def _set_apart(
    splits: Splits, settings: Mapping[str, Any], trust: Sequence[str], setting: str
) -> tuple[ImageSet | None, ImageSet]:
    """The images that the server trains on, if it does, and those that are left to the clients."""
    for each in settings["defense"].values():
        kind = trusted_class(f"{setting}: its defense", str(each["_target_"]), "fedgan.defenses", trust)
        # Others are not built: what they are made of need not be here, such as a calibration file.
        asks = issubclass(kind, Defense) and kind.server_training is not Defense.server_training
        if asks and (training := _build("defense", each, trust, setting).server_training()):
            own_images, images = set_apart(splits, training.images_per_class, int(settings["seed"]))
            return own_images if training.trains else None, images
    return None, splits.train


def _is_recorded(data: FederatedData, record: Mapping[str, Any]) -> bool:
    """Whether these are the clients of ``run.json``: as many images of each class, poisoned as there."""
    poisoned = {each["client"]: each["sha256"] for each in record["poison_reports"]}
    return data.table == record["partition"] and {each.client: each.sha256 for each in data.reports} == poisoned


def _load_data(settings: Mapping[str, Any], root: str | None, trust: Sequence[str], setting: str) -> Splits:
    place = None if root is None else place_of(settings, root)
    moved = {} if place is None else {place: root}
    # Where to keep decoded pixels is this machine's affair.
    own_cache = {"cache_dir": None} if "cache_dir" in settings else {}
    try:
        splits = _build("dataset", {**settings, **moved, **own_cache}, trust, setting).load()
    except ValueError as error:
        if place is None:
            raise
        own = f"({re.escape(setting)}: its dataset: |dataset[.]){place}"  # under the name that it was typed by
        raise ValueError(re.sub(rf"\b{own}\b", "root", str(error))) from error
    assert isinstance(splits, Splits)
    return splits


def place_of(settings: Mapping[str, Any], root: object) -> str:
    """The setting of a run's data set that says where its files are.

    Args:
        settings: the data set's.
        root: where they are now, as typed.

    Raises:
        ValueError: in one line, if it is drawn, not read.
    """
    place = next((name for name in ("root", "file") if settings.get(name) is not None), None)
    check(place is not None, "root", "null: this run's data set is drawn, not read", root)
    return str(place)


def check_same_data(setting: str, run: FinishedRun, other: FinishedRun, parts: Sequence[str]) -> None:
    """Refuse two runs whose data sets differ.

    Args:
        setting: what the error calls the run.
        run: the one to be refused.
        other: what it is compared with.
        parts: of the data set that must be the same: train, test.

    Raises:
        ValueError: in one line.
    """
    same = all(getattr(run.splits, each).fingerprint == getattr(other.splits, each).fingerprint for each in parts)
    images = " and ".join({"train": "training", "test": "test"}[each] for each in parts)
    check(same, setting, f"a run on the same data set as {other.folder} (the same {images} images)", str(run.folder))


def _build(group: str, settings: Mapping[str, Any], trust: Sequence[str], setting: str) -> Any:
    arguments = {name: value for name, value in settings.items() if name != "_target_"}
    own = f"{setting}: its {group}"
    try:
        return build_trusted(own, str(settings["_target_"]), arguments, f"fedgan.{group}s", trust)
    except ValueError as error:
        said = str(error)
        raise ValueError(said if said.startswith(own) else f"{own}: {said}") from error


def _check_same_data(recorded: Mapping[str, Any], splits: Splits, must: str) -> None:
    """Refuse other images; ``must``: how the error begins."""
    for name, part in (("train", splits.train), ("test", splits.test)):
        before, now = str(recorded[name]["sha256"]), part.fingerprint
        if now != before:
            raise ValueError(
                f"{must} that the run was trained on ({name} images {before[:12]}...); "
                f"got {now[:12]}... with {part.counts}"
            )


def _check_fits(release: Release, splits: Splits, setting: str) -> None:
    spec = release.spec
    drawn = (tuple(spec.classes), spec.arguments.get("channels"), spec.arguments.get("image_size"))
    real = (splits.classes, splits.channels, splits.image_size)
    own = f"{setting}: its generator's classes, channels and image size"
    check(drawn == real, own, f"its data set's, {real}", drawn)
