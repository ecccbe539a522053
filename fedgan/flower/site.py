"""A site: a client's images, its discriminator and optimizers stay here; a generator goes back and forth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from omegaconf import DictConfig
from pytorch_lightning.profilers import PassThroughProfiler

import fedgan
from fedgan.config.building.algorithm import build_defended, build_local_settings
from fedgan.config.building.component import instantiate, made
from fedgan.core.arguments import PathText, validated
from fedgan.core.checks import check
from fedgan.core.images import Splits
from fedgan.core.precision import Device, deterministic, rounding
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.base import Defense
from fedgan.federated.client_files import ClientFiles
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.data import ClientData
from fedgan.federated.faults import Tolerance
from fedgan.federated.serial import SerialBackend
from fedgan.flower.attacker import RECEIPTS, as_sent, attack_of, keep_receipts, receipt_of, training_data
from fedgan.flower.letters import Hello, Order, read_order, write_hello, write_update
from fedgan.flower.settings import composed, taken


def site_settings(overrides: list[str]) -> DictConfig:
    """A site's own settings (conf/site.yaml), as its hospital has set them.

    Raises:
        ValueError: in one line.
    """
    return checked_site(composed("site", overrides))


def checked_site(site: DictConfig) -> DictConfig:
    """The same settings.

    Raises:
        ValueError: in one line, if one that no component checks is not allowed.
    """
    folder = validated("folder", PathText, site.folder)
    check(Path(folder).is_absolute(), "folder", "an absolute path: Flower starts a site where it likes", site.folder)
    validated("device", Device, site.device)
    return site


def hello_of(site: DictConfig) -> Hello:
    """What images this site has: classes, size and counts.

    Raises:
        ValueError: in one line, if they cannot be read.
    """
    splits = _images(site)
    attack_of(site, splits)
    counts = splits.train.counts
    return Hello(
        version=fedgan.__version__,
        classes=list(counts),
        channels=splits.channels,
        image_size=splits.image_size,
        counts=list(counts.values()),
    )


def answer_hello(site: DictConfig) -> bytes:
    """``hello_of`` as a message."""
    return write_hello(hello_of(site))


def answer_order(site: DictConfig, message: bytes) -> bytes:
    """Train as ordered, and write what has to last until the next round.

    Raises:
        ValueError: in one line, if the order asks for more than names and numbers, or for a state that is not here.
    """
    order, reference = read_order(message)
    folder = Path(str(site.folder)) / order.run
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # an order that came too late for the server may still be at work
        return write_update(_train(site, order, reference, folder))


def _train(site: DictConfig, order: Order, reference: State, folder: Path) -> ClientUpdate:
    files = ClientFiles(folder, only=order.client)  # two sites on one machine may share their folder
    kept = {} if order.kept is None else {order.client: order.kept}
    files.rewind(kept)
    if order.checkpointed is not None:
        files.prune(range(order.checkpointed, order.round))
    cfg, splits = taken(dict(order.settings)), _images(site)
    attack = attack_of(site, splits)
    data, poisoning = training_data(attack, splits.train, order.client, cfg.seed)
    backend = _backend(cfg, splits, data, order.client, files)
    backend.settle(torch.device(site.device), PassThroughProfiler())
    round_ = Round(order.round, reference, frozenset(), order.client + 1, backend.seed)
    with deterministic(True), rounding("32-true"):
        trained = backend.train_client(order.client, round_, order.attempt)
    update, added_losses = as_sent(trained, round_)
    if attack.acts:
        done = receipt_of(attack, order.round, poisoning) | added_losses
        keep_receipts(folder / RECEIPTS, order.round, order.client, done)
    backend.keep()
    return update


def _backend(cfg: DictConfig, splits: Splits, data: ClientData, client_id: int, files: ClientFiles) -> SerialBackend:
    """What trains a client in a run on one machine, with this client alone."""
    defenses: Mapping[str, Defense] = {str(name): made(cfg, f"defense.{name}", Defense) for name in cfg.defense}
    algorithm = build_defended(cfg, splits, defenses)
    return SerialBackend(
        clients=ClientPool(algorithm.client, count=client_id + 1, places=1, files=files),
        data={client_id: data},
        algorithm=algorithm,
        local=build_local_settings(cfg),
        tolerance=Tolerance(),
        seed=cfg.seed,
    )


def _images(site: DictConfig) -> Splits:
    loaded: Any = instantiate(site.dataset).load()
    assert isinstance(loaded, Splits)
    return loaded
