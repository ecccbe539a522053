"""From the configuration to the parts of a run."""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from fedgan.attacks.base import Attack
from fedgan.config.validate import check_objective
from fedgan.core.checks import check, check_choice, check_flag
from fedgan.core.images import ImageSet, Splits
from fedgan.core.optimizers import check_optimizer
from fedgan.core.precision import lightning_name
from fedgan.core.rng import derive_seed
from fedgan.defenses.base import Defense, ServerFineTuning
from fedgan.federated.backend import Backend, LocalTraining
from fedgan.federated.client_files import CLIENTS, ClientFiles
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.data import FederatedData, set_apart, share_out
from fedgan.federated.faults import Tolerance
from fedgan.federated.federation import Federation
from fedgan.federated.server import Server
from fedgan.federated.strategy import FederatedStrategy, cluster, count_processes, is_first
from fedgan.gan.client import COMPILE_MODES, GANClient
from fedgan.gan.recipe import Recipe
from fedgan.metrics.base import Metric
from fedgan.runs.checkpoint import FOLDER, AtomicCheckpointIO
from fedgan.runs.export import GeneratorSpec
from fedgan.runs.progress import RoundProgress
from fedgan.runs.record import Recorder
from fedgan.scoring.callback import Evaluator


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
        fine_tuning: what comes after training.
    """

    splits: Splits
    federated_data: FederatedData
    attack: str
    defense: str
    federation: Federation
    server: Server
    evaluator: Evaluator
    recorder: Recorder
    fine_tuning: ServerFineTuning


def build_parts(cfg: DictConfig, folder: Path) -> Parts:
    """All that the configuration names but the Trainer and its loggers."""
    attack: Attack = instantiate(cfg.attack, _convert_="all")
    defenses = build_defenses(cfg)
    metrics: dict[str, Metric] = {name: instantiate(part, _convert_="all") for name, part in cfg.metrics.items()}
    check_objective(cfg.objective, [figure for metric in metrics.values() for figure in metric.names])
    splits: Splits = instantiate(cfg.dataset, _convert_="all").load()
    fine_tuning = single_fine_tuning(defenses)
    server_images, images = set_apart(splits, fine_tuning.images_per_class, cfg.seed)
    federated_data = share_out(images, attack, cfg.fl.num_clients, cfg.seed)
    own_images = server_images if fine_tuning.rounds else None
    federation = build_federation(cfg, splits, federated_data, attack, defenses, own_images, folder)
    server = Server(defenses)
    evaluator = build_evaluator(cfg, metrics, splits, federated_data, folder)
    writes = is_first(count_processes(cfg.trainer))
    recorder = Recorder(folder, server=server, evaluator=evaluator, federated_data=federated_data, writes=writes)
    recorder.note(name=cfg.name, seed=cfg.seed, rounds=cfg.fl.rounds, dataset=describe(splits))
    return Parts(
        splits=splits,
        federated_data=federated_data,
        attack=in_words(attack, federated_data),
        defense=", ".join(defenses) or "none",
        federation=federation,
        server=server,
        evaluator=evaluator,
        recorder=recorder,
        fine_tuning=fine_tuning,
    )


def in_words(attack: Attack, federated_data: FederatedData) -> str:
    """Who attacks and with what."""
    if federated_data.trigger is None:
        return "none"
    if not federated_data.malicious:
        return f"none, the control of {attack}, which metrics look for"
    ids = sorted(federated_data.malicious)
    who = f"client{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"
    changed, held = (sum(getattr(r, f) for r in federated_data.receipts) for f in ("images_changed", "num_examples"))
    return f"{who} of {len(federated_data.data)}: {attack}, on {changed:,} of {held:,} images"


def build_evaluator(
    cfg: DictConfig, metrics: Mapping[str, Metric], splits: Splits, federated_data: FederatedData, folder: Path
) -> Evaluator:
    """What scores the released generator every few rounds."""
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
    )


def build_trainer(cfg: DictConfig, folder: Path, parts: Parts, callbacks: Sequence[Callback]) -> Trainer:
    """Lightning's Trainer at work on these parts, without a logger; a round is its epoch."""
    shown = cfg.trainer.get("enable_progress_bar", True) and parts.recorder.writes
    bars = [RoundProgress()] if shown else []
    keeper = instantiate(cfg.checkpoint, dirpath=folder / FOLDER)
    trainer: Trainer = instantiate(
        cfg.trainer,
        precision=lightning_name(str(cfg.trainer.precision)),
        logger=False,
        callbacks=[parts.server, parts.evaluator, parts.recorder, *callbacks, keeper, *bars],
        plugins=[AtomicCheckpointIO(), *cluster()],
        strategy=FederatedStrategy(folder) if count_processes(cfg.trainer) > 1 else "auto",
        use_distributed_sampler=False,  # every process is told who takes part, and takes its own
        default_root_dir=folder,
        max_epochs=cfg.fl.rounds + parts.fine_tuning.rounds,
    )
    return trainer


def build_defenses(cfg: DictConfig) -> dict[str, Defense]:
    """The defenses by name, ready for this federation."""
    defenses: dict[str, Defense] = {name: instantiate(part, _convert_="all") for name, part in cfg.defense.items()}
    for defense in defenses.values():
        taking_part = cfg.fl.num_clients if cfg.fl.clients_per_round is None else cfg.fl.clients_per_round
        defense.setup(num_clients=cfg.fl.num_clients, clients_per_round=taking_part, rounds=cfg.fl.rounds)
    return defenses


def single_fine_tuning(defenses: Mapping[str, Defense]) -> ServerFineTuning:
    """What comes after training; at most one of the defenses may ask for something."""
    epilogues = {name: fine_tuning for name, defense in defenses.items() if (fine_tuning := defense.fine_tuning())}
    check(len(epilogues) <= 1, "defense", "at most one that acts after training", list(epilogues))
    return next(iter(epilogues.values()), ServerFineTuning(rounds=0, images_per_class=0))


def build_federation(
    cfg: DictConfig,
    splits: Splits,
    federated_data: FederatedData,
    attack: Attack,
    defenses: Mapping[str, Defense],
    server_images: ImageSet | None = None,
    folder: Path | None = None,
) -> Federation:
    """The clients, all equal at first (as in the first code), and the federation of them.

    With ``server_images`` the server has a client of its own, which fine-tunes the generator after training. In a
    run's ``folder`` only the clients that take part are in memory, without one all of them.
    """
    if cfg.model.compile is not None:
        check_choice("model.compile", cfg.model.compile, COMPILE_MODES)

    def transform_batch(images: Tensor, rng: Any) -> Tensor:
        for defense in defenses.values():
            images = defense.transform_batch(images, rng)
        return images

    generator = build_module(cfg.model.generator, splits, cfg.seed, "generator")
    untrained, recipe = copy.deepcopy(generator), build_recipe(cfg, splits, defenses)

    def client() -> GANClient:
        own = replace(recipe, discriminator=copy.deepcopy(recipe.discriminator))
        return GANClient(
            generator=copy.deepcopy(untrained),
            recipe=own,
            transform_batch=transform_batch,
            compile_mode=cfg.model.compile,
        )

    data = [*federated_data.data, *([] if server_images is None else [server_images])]
    places = len(data) if folder is None else cfg.fl.clients_per_round or len(data)
    files = None if folder is None else ClientFiles(folder / FOLDER / CLIENTS)
    backend = Backend(
        clients=ClientPool(client, count=len(data), places=places, files=files),
        data=data,
        generator=generator,
        attack=attack,
        malicious=federated_data.malicious,
        local=LocalTraining(cfg.fl.local_epochs, cfg.fl.batch_size, cfg.fl.engine),
        tolerance=Tolerance(**{field.name: cfg.fl[field.name] for field in fields(Tolerance)}),
        own_client=None if server_images is None else cfg.fl.num_clients,
        seed=cfg.seed,
    )
    return Federation(
        backend=backend,
        generator=generator,
        server_optimizer=instantiate(cfg.fl.server_optimizer),
        clients_per_round=cfg.fl.clients_per_round,
        fine_tuning_start=None if server_images is None else cfg.fl.rounds,
        ema=cfg.model.ema,
        seed=cfg.seed,
    )


def build_recipe(cfg: DictConfig, splits: Splits, defenses: Mapping[str, Defense]) -> Recipe:
    """What clients train with: the model's, as the defenses change it, one after the other."""
    check_flag("model.shared_fakes", cfg.model.shared_fakes)
    recipe = Recipe(
        discriminator=build_module(cfg.model.discriminator, splits, cfg.seed, "discriminator"),
        loss=instantiate(cfg.model.loss),
        optimizer_g=instantiate(cfg.model.optimizer_g),
        optimizer_d=instantiate(cfg.model.optimizer_d),
        shared_fakes=cfg.model.shared_fakes,
    )
    check_optimizer("model.optimizer_g", recipe.optimizer_g)
    check_optimizer("model.optimizer_d", recipe.optimizer_d)
    for defense in defenses.values():
        recipe = defense.adapt(recipe)
    measured = not recipe.loss_samples or recipe.loss.saturating(torch.zeros(1)) is not None
    allowed = "without feddetect where the critic gives no probability (Eq. 6): feddetect_code takes any loss"
    check(measured, "defense", allowed, list(defenses))
    return recipe


def build_module(part: DictConfig, splits: Splits, seed: int, purpose: str) -> Any:
    """A generator or discriminator for this data set, its weights drawn from the seed and nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init", purpose))
        module = instantiate(part, _convert_="all", **image_shape(splits))
    return module.to(memory_format=torch.channels_last)


def instantiate_logger(cfg: DictConfig, folder: Path, version: str | None) -> Any:
    """The logger that the configuration names, at work in the run's folder; ``version`` is its name for the run."""
    logger = instantiate(cfg.logger, save_dir=folder, **({} if version is None else {"version": version}))
    # Lightning 2.6 passes on a setting, None, that Weights & Biases has given up and warns of in every run.
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def build_logger(cfg: DictConfig, folder: Path, splits: Splits, version: str | None = None) -> Any:
    """The logger, with the whole configuration and the data set; None for none.

    With the ``version`` of a run that is resumed, the logger goes on with its curves. One that cannot get online
    (no key, no network) stays offline, and says so: a run of days is not lost to it.
    """
    if not cfg.logger:
        return None
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    facts = {**settings, "data": describe(splits)}
    try:
        return told(instantiate_logger(cfg, folder, version), facts)
    except Exception as error:  # the logger's library has its own kinds
        if cfg.logger.get("mode") != "online":
            raise
        reason = " ".join(str(error).split())[:200]
        print(f"warning: the logger cannot get online ({reason}); it goes on offline", file=sys.stderr)
    offline = OmegaConf.merge(cfg, {"logger": {"mode": "offline"}})
    assert isinstance(offline, DictConfig)
    return told(instantiate_logger(offline, folder, version), facts)


def told(logger: Any, facts: Mapping[str, Any]) -> Any:
    """The logger, once it has taken these facts; it connects when it is first told something."""
    logger.log_hyperparams(facts)
    return logger


def close_loggers(trainer: Trainer, *, exit_code: int) -> None:
    """End a logger's run, or the next run of a sweep would write into it."""
    for logger in trainer.loggers:
        run = getattr(logger, "experiment", None)
        if run is not None and hasattr(run, "finish"):
            run.finish(exit_code=exit_code)


def build_spec(cfg: DictConfig, parts: Parts) -> GeneratorSpec:
    """What it takes to build the generator again, and what it was trained under."""
    splits = parts.splits

    arguments: dict[str, Any] = OmegaConf.to_container(cfg.model.generator, resolve=True)  # type: ignore[assignment]
    target = arguments.pop("_target_")
    return GeneratorSpec(
        target=target,
        arguments=arguments | image_shape(splits),
        classes=splits.classes,
        dataset=splits.name,
        rounds=cfg.fl.rounds,
        attack=parts.attack,
        defense=parts.defense,
        emission=parts.evaluator.latest.get("emission"),
    )


def image_shape(splits: Splits) -> dict[str, int]:
    """What a model has to know of the data."""
    return {
        "num_classes": len(splits.classes),
        "channels": splits.channels,
        "image_size": splits.image_size,
    }


def describe(splits: Splits) -> dict[str, Any]:
    """The data set for run.json and the logger: name, sizes, fingerprints of both splits, and what was not read."""
    return {
        "name": splits.name,
        **image_shape(splits),
        "train": {"counts": splits.train.counts, "sha256": splits.train.fingerprint},
        "test": {"counts": splits.test.counts, "sha256": splits.test.fingerprint},
        "pooled": splits.pooled,
        "left_out": dict(splits.left_out),
        "notes": list(splits.notes),
    }
