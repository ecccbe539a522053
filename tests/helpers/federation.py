"""A federation small enough to run in seconds, and what may go wrong with its clients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning import Trainer
from pytorch_lightning.profilers import Profiler

from fedgan.attacks.base import Attack
from fedgan.config.building.attackers import build_attackers, build_malicious
from fedgan.config.building.component import made
from fedgan.config.building.federation import build_federation
from fedgan.core.images import ImageSet
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Defense
from fedgan.federated.data import share_out
from fedgan.federated.federation import Federation
from fedgan.federated.serial import SerialBackend
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from fedgan.partitions.base import Partition
from fedgan.update_attacks.base import UpdateAttack

TINY = (
    "dataset.image_size=32",
    "dataset.train_per_class=32",
    "dataset.test_per_class=16",
    "attack=white_square",
    "attack.size=8",
    "model=dcgan",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "fl.rounds=2",
    "fl.batch_size=8",
    "metrics=[none]",
    "logger=none",
    "trainer=cpu",
    "trainer.enable_progress_bar=false",
    "evaluation.samples_per_class=8",
)
# A detector that acts from the first round on, and takes milliseconds: few images to measure, few trees.
FEDDETECT = (
    "defense=feddetect",
    "defense.feddetect.warmup=0",
    "defense.feddetect.samples=8",
    "defense.feddetect.trees=10",
)
STYLEGAN2 = ("model=stylegan2", "model.generator.channel_base=256", "model.generator.mapping_layers=2")
SMALL = ("model=dcgan_small", "model.generator.base_channels=4", "model.discriminator.base_channels=4")
DCGAN = ("model=dcgan", "model.generator.base_channels=4", "model.discriminator.base_channels=4")


def build(
    cfg: DictConfig,
    update_attack: UpdateAttack | None = None,
    defenses: dict[str, Defense] | None = None,
    server_images: ImageSet | None = None,
    folder: Path | None = None,
) -> Federation:
    """The federation of a configuration, as ``train`` makes it; what is given replaces what it says."""
    splits, attack = made(cfg, "dataset", object).load(), made(cfg, "attack", Attack)
    update_attack = update_attack or made(cfg, "update_attack", UpdateAttack)
    malicious = build_malicious(cfg, attack, update_attack)
    data = share_out(splits.train, made(cfg, "partition", Partition), attack, malicious, cfg.fl.num_clients, cfg.seed)
    attackers = build_attackers(cfg, malicious, update_attack)
    return build_federation(cfg, splits, data, attackers, defenses or {}, server_images, folder)


def fit(
    federation: Federation,
    tmp_path: Path,
    rounds: int = 2,
    server: Server | None = None,
    profiler: Profiler | None = None,
) -> Trainer:
    """Train for some rounds on the CPU with neither logger nor checkpoints; files go to ``tmp_path``."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=rounds,
        logger=False,
        profiler=profiler,
        callbacks=[server or Server({}, Uniform())],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(federation)
    return trainer


def sabotage(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[SerialBackend, Round, int], bool], how: Callable[..., Any]
) -> None:
    """Have ``how`` change what a client trained, in the rounds and for the clients that ``when`` says."""
    original = SerialBackend.train_client

    def train_client(self: SerialBackend, client_id: int, round_: Round, attempt: int = 0) -> ClientUpdate:
        trained = original(self, client_id, round_, attempt)
        return how(trained) if when(self, round_, client_id) else trained

    monkeypatch.setattr(SerialBackend, "train_client", train_client)


def spoil(trained: ClientUpdate) -> ClientUpdate:
    """The same update with one tensor that is not finite."""
    name = next(iter(trained.state))
    state = {**trained.state, name: torch.full_like(trained.state[name], float("nan"))}
    return ClientUpdate(trained.client_id, trained.num_examples, state, trained.metrics)
