"""A whole run: its parts, put together, and the Trainer at work on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from fedgan.attacks.base import Attack
from fedgan.config.building.at_sites import check_engine, check_remote, data_at
from fedgan.config.building.attackers import build_attackers, build_malicious, in_words, known_malicious
from fedgan.config.building.component import instantiate, made
from fedgan.config.building.defenses import build_defenses, single_server_training
from fedgan.config.building.federation import build_federation
from fedgan.config.validate import check_objective
from fedgan.core.images import ImageSet, Splits
from fedgan.core.precision import lightning_name
from fedgan.defenses.base import ServerTraining
from fedgan.federated.data import FederatedData, set_apart, share_out
from fedgan.federated.engines.sites import Sites
from fedgan.federated.federation import Federation
from fedgan.federated.server import Server
from fedgan.federated.strategy import FederatedStrategy, cluster, count_processes, is_first
from fedgan.federated.weighting import Weighting
from fedgan.metrics.base import Metric
from fedgan.partitions.base import Partition
from fedgan.runs.checkpoint import FOLDER, AtomicCheckpointIO
from fedgan.runs.export import GeneratorSpec
from fedgan.runs.loop import RoundLoop
from fedgan.runs.progress import RoundProgress
from fedgan.runs.record import Recorder
from fedgan.scoring.callback import Evaluator
from fedgan.update_attacks.base import UpdateAttack


@dataclass(frozen=True)
class Parts:
    """A run, ready to be trained.

    Attributes:
        splits: the data set.
        federated_data: who the clients are.
        attack: who attacks and with what, in words.
        defense: the defenses that are on, in words.
        federation: the clients and the global generator.
        server: aggregates.
        evaluator: scores.
        recorder: writes the run's folder.
        server_training: what the server trains itself.
    """

    splits: Splits
    federated_data: FederatedData
    attack: str
    defense: str
    federation: Federation
    server: Server
    evaluator: Evaluator
    recorder: Recorder
    server_training: ServerTraining


def build_parts(cfg: DictConfig, folder: Path, splits: Splits | None = None, sites: Sites | None = None) -> Parts:
    """All that the configuration names but the Trainer and its loggers.

    Args:
        cfg: the run's settings.
        folder: the run's.
        splits: its data, if read already.
        sites: where the clients are, if not in this process.
    """
    attack, update_attack = made(cfg, "attack", Attack), made(cfg, "update_attack", UpdateAttack)
    defenses = build_defenses(cfg)
    server = Server(defenses, made(cfg, "fl.weighting", Weighting))
    metrics = {str(name): made(cfg, f"metrics.{name}", Metric) for name in cfg.metrics}
    check_objective(cfg.objective, [metric for each in metrics.values() for metric in each.names])
    trainer, training = single_server_training(defenses)
    check_engine(cfg, sites)
    if sites is not None:
        check_remote(attack, update_attack, trainer)
    malicious = build_malicious(cfg, attack, update_attack)
    attackers = build_attackers(cfg, malicious, update_attack)
    if sites is not None:
        splits, federated_data, own_images = *data_at(sites, cfg, metrics), None
        federated_data = replace(federated_data, malicious=known_malicious(cfg))
    else:
        splits = splits or instantiate(cfg.dataset).load()
        setting = f"defense.{trainer}.images_per_class"
        server_images, images = set_apart(splits, training.images_per_class, cfg.seed, setting)
        own_images = server_images if training.trains else None
        partition = made(cfg, "partition", Partition)
        federated_data = share_out(images, partition, attack, malicious, cfg.fl.num_clients, cfg.seed)
    federation = build_federation(cfg, splits, federated_data, attackers, defenses, own_images, folder, sites)
    evaluator = build_evaluator(cfg, metrics, splits, federated_data, folder, own_images)
    recorder = Recorder(
        folder,
        server=server,
        evaluator=evaluator,
        federated_data=federated_data,
        backend=federation.backend,
        writes=is_first(count_processes(cfg.trainer)),
    )
    recorder.note(name=cfg.name, seed=cfg.seed, rounds=cfg.fl.rounds, dataset=splits.describe())
    if facts := {name: dict(defense.facts()) for name, defense in defenses.items() if defense.facts()}:
        recorder.note(defenses=facts)
    return Parts(
        splits=splits,
        federated_data=federated_data,
        attack=in_words(attack, update_attack, federated_data),
        defense=", ".join(defenses) or "none",
        federation=federation,
        server=server,
        evaluator=evaluator,
        recorder=recorder,
        server_training=training,
    )


def build_evaluator(
    cfg: DictConfig,
    metrics: Mapping[str, Metric],
    splits: Splits,
    federated_data: FederatedData,
    folder: Path,
    own_images: ImageSet | None = None,
) -> Evaluator:
    """What scores the released generator every few rounds; ``own_images``: those that the server trains on."""
    return Evaluator(
        metrics,
        splits=splits,
        trigger=federated_data.trigger,
        seed=cfg.seed,
        samples_per_class=cfg.evaluation.samples_per_class,
        grid_per_class=cfg.evaluation.grid_per_class,
        latent_seed=cfg.evaluation.latent_seed,
        folder=folder / "samples",
        always=[cfg.fl.rounds - 1],  # the generator as it left the federation, also where it is fine-tuned later
        trained=partial(federated_data.trained_on, cfg.fl.rounds, own_images),
    )


def build_trainer(
    cfg: DictConfig, folder: Path, parts: Parts, callbacks: Sequence[Callback], label: str = ""
) -> Trainer:
    """Lightning's Trainer at work on these parts, without a logger; a round is its epoch.

    Args:
        cfg: the run's settings.
        folder: the run's.
        parts: what is trained.
        callbacks: further ones.
        label: what begins each line about a round on the screen.
    """
    shown = cfg.trainer.get("enable_progress_bar", True) and parts.recorder.writes
    bars = [RoundProgress(label)] if shown else []
    keeper = instantiate(cfg.checkpoint, dirpath=folder / FOLDER)
    trainer: Trainer = instantiate(
        cfg.trainer,
        precision=lightning_name(str(cfg.trainer.precision)),
        logger=False,
        callbacks=[parts.server, parts.evaluator, parts.recorder, *callbacks, keeper, *bars],
        plugins=[AtomicCheckpointIO(), *cluster()],
        strategy=FederatedStrategy(folder, list(cfg.trust)) if count_processes(cfg.trainer) > 1 else "auto",
        use_distributed_sampler=False,  # every process knows who takes part, and takes its own
        default_root_dir=folder,
        max_epochs=cfg.fl.rounds + parts.server_training.rounds_after,
    )
    trainer.fit_loop = RoundLoop(trainer, trainer.min_epochs, trainer.max_epochs)
    return trainer


def build_spec(cfg: DictConfig, parts: Parts) -> GeneratorSpec:
    """What it takes to build the generator again, and what it was trained under."""
    arguments: dict[str, Any] = OmegaConf.to_container(cfg.model.generator, resolve=True)  # type: ignore[assignment]
    target = arguments.pop("_target_")
    return GeneratorSpec(
        target=target,
        arguments=arguments | parts.splits.shape,
        classes=parts.splits.classes,
        dataset=parts.splits.name,
        rounds=cfg.fl.rounds,
        attack=parts.attack,
        defense=parts.defense,
        emission=parts.evaluator.latest.get("emission"),
    )
