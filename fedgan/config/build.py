"""From the configuration to the parts of a run: what ``conf/`` names by ``_target_`` is made here, and put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import MaxLen
from hydra.utils import get_class
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from fedgan.attacks.base import Attack
from fedgan.config.validate import check_objective, within
from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import check, placed
from fedgan.core.images import ImageSet, Splits
from fedgan.core.precision import lightning_name
from fedgan.core.rng import derive_seed
from fedgan.defenses.base import Defense, ServerTraining
from fedgan.federated.attackers import Attackers, choose_malicious
from fedgan.federated.backend import Backend
from fedgan.federated.client_files import CLIENTS, ClientFiles
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.data import ClientData, FederatedData, set_apart, share_out
from fedgan.federated.engines.sites import SiteFacts, Sites, check_same_kind, data_of
from fedgan.federated.faults import Tolerance
from fedgan.federated.federation import Federation
from fedgan.federated.local import LocalAlgorithm, LocalSettings
from fedgan.federated.server import Server
from fedgan.federated.strategy import FederatedStrategy, cluster, count_processes, is_first
from fedgan.federated.weighting import Weighting
from fedgan.gan.proximal import Proximal
from fedgan.metrics.base import Metric
from fedgan.partitions.base import Partition
from fedgan.runs.checkpoint import FOLDER, AtomicCheckpointIO
from fedgan.runs.export import GeneratorSpec
from fedgan.runs.progress import RoundProgress
from fedgan.runs.record import Recorder
from fedgan.scoring.callback import Evaluator
from fedgan.update_attacks.base import UpdateAttack

instantiate = partial(hydra_instantiate, _convert_="all")  # lists and mappings arrive as Python's own
_ServerTrained = Annotated[Sequence[str], MaxLen(1), Allowed("at most one that sets images apart for the server")]


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
    evaluator = build_evaluator(cfg, metrics, splits, federated_data, folder)
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


def check_engine(cfg: DictConfig, sites: Sites | None) -> None:
    """Refuse a backend for clients at sites where there are none, and the other way round.

    Raises:
        ValueError: in one line.
    """
    backend = instantiate(cfg.fl.backend)
    remote = bool(getattr(getattr(backend, "func", backend), "remote", False))
    allowed = "flower, with sites" if sites else "serial or vectorized: the sites of flower are reached by flwr run"
    check(remote == (sites is not None), "fl/backend", allowed, cfg.fl.backend["_target_"])


def check_remote(attack: Attack, update_attack: UpdateAttack, trainer: str | None) -> None:
    """Refuse what needs the clients' images, or the attacker, in the server's process.

    Raises:
        ValueError: in one line.
    """
    for place, component in (("attack", attack), ("update_attack", update_attack)):
        check(not component.acts, place, "none with clients at sites, which attack or not by themselves", component)
    allowed = f"without {trainer} with clients at sites, of whose images the server has none"
    check(trainer is None, "defense", allowed, trainer)


def data_at(sites: Sites, cfg: DictConfig, metrics: Mapping[str, Metric]) -> tuple[Splits, FederatedData]:
    """What metrics see, the public data set of ``dataset`` or without metrics nothing, and the clients' counts.

    Raises:
        ValueError: in one line, if the public images are of another kind than the sites'.
    """
    facts = sites.facts()
    elsewhere, federated_data = data_of(facts)
    if not any(metric.names for metric in metrics.values()):
        return elsewhere, federated_data
    public: Splits = instantiate(cfg.dataset).load()
    own = SiteFacts(public.classes, public.channels, public.image_size, tuple(public.train.counts.values()))
    check_same_kind("the server's public images", own, facts[0])
    return public, federated_data


def made(cfg: DictConfig, place: str, kind: type) -> Any:
    """The component whose settings are at a place of the configuration.

    Raises:
        ValueError: in one line, if it is not of its group's kind.
    """
    component = instantiate(OmegaConf.select(cfg, place))
    base = f"{kind.__module__}.{kind.__name__}"
    check(isinstance(component, kind), place, f"the settings of a {base}, with its _target_", type(component).__name__)
    return component


def build_malicious(cfg: DictConfig, attack: Attack, update_attack: UpdateAttack) -> frozenset[int]:
    """The malicious clients' ids; without any attack there are none."""
    acting = {name: each for name, each in (("attack", attack), ("update_attack", update_attack)) if each.acts}
    if not acting:
        return frozenset()
    for name, each in acting.items():
        with placed(name):
            each.window.check_reached(cfg.fl.rounds)
    malicious = cfg.fl.malicious
    given = list(malicious) if OmegaConf.is_list(malicious) else malicious
    return choose_malicious(given, cfg.fl.num_clients, cfg.seed)


def known_malicious(cfg: DictConfig) -> frozenset[int]:
    """The clients that tables and metrics take for malicious where it is the sites that attack: those that are listed.

    A number does not say who, and nobody draws them: it stands for none.

    Raises:
        ValueError: in one line.
    """
    listed, fl = OmegaConf.is_list(cfg.fl.malicious), cfg.fl
    return choose_malicious(list(fl.malicious), fl.num_clients, cfg.seed) if listed else frozenset()


def build_attackers(cfg: DictConfig, malicious: frozenset[int], update_attack: UpdateAttack) -> Attackers:
    """The malicious clients, their attack on updates ready for this federation."""
    attackers, fl = Attackers(malicious, update_attack), cfg.fl
    with placed("update_attack"):
        attackers.setup(
            num_clients=fl.num_clients, clients_per_round=fl.clients_per_round or fl.num_clients, rounds=fl.rounds
        )
    return attackers


def in_words(attack: Attack, update_attack: UpdateAttack, data: FederatedData) -> str:
    """Who attacks and with what."""
    changed, images = (sum(getattr(r, name) for r in data.reports) for name in ("images_changed", "num_examples"))
    on_images = f"{attack} on {changed:,} of {images:,} images" if data.reports else str(attack)
    acting = [
        (words, each.window) for words, each in ((on_images, attack), (update_attack, update_attack)) if each.acts
    ]
    what = " and ".join(f"{words} {window}".strip() for words, window in acting)
    if not what and not data.malicious:
        return "none"
    if not data.malicious:
        return f"none, the control of {what}"
    ids = sorted(data.malicious)
    who = f"client{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))} of {len(data.clients)}"
    return f"{who}: {what or 'an attack that the site sets'}"


def build_defenses(cfg: DictConfig) -> dict[str, Defense]:
    """The defenses by name, ready for this federation."""
    defenses = {str(name): made(cfg, f"defense.{name}", Defense) for name in cfg.defense}
    for name, defense in defenses.items():
        defense.name = name
        taking_part = cfg.fl.num_clients if cfg.fl.clients_per_round is None else cfg.fl.clients_per_round
        with placed(f"defense.{name}"):
            defense.setup(num_clients=cfg.fl.num_clients, clients_per_round=taking_part, rounds=cfg.fl.rounds)
    return defenses


def single_server_training(defenses: Mapping[str, Defense]) -> tuple[str | None, ServerTraining]:
    """The defense that asks for images of the server's own, and what is trained on them; there may be one at most."""
    asked = {name: training for name, defense in defenses.items() if (training := defense.server_training())}
    validated("defense", _ServerTrained, list(asked))
    return next(iter(asked.items()), (None, ServerTraining(images_per_class=0)))


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


def build_federation(
    cfg: DictConfig,
    splits: Splits,
    federated_data: FederatedData,
    attackers: Attackers,
    defenses: Mapping[str, Defense],
    server_images: ImageSet | None = None,
    folder: Path | None = None,
    sites: Sites | None = None,
) -> Federation:
    """The clients, all equal at first (as in the first code), and the federation of them.

    With ``server_images`` the server has a client of its own, which trains when a defense wants it to. In a run's
    ``folder`` only the clients that take part are in memory, without one all of them; with ``sites`` none.
    """
    algorithm = build_defended(cfg, splits, defenses)
    tolerance = within("fl", Tolerance, {field.name: cfg.fl[field.name] for field in fields(Tolerance)})
    _, training = single_server_training(defenses)
    settings = {
        "algorithm": algorithm,
        "local": build_local_settings(cfg),
        "tolerance": tolerance,
        "own_client": None if server_images is None else cfg.fl.num_clients,
        "own_epochs": cfg.fl.local_epochs if training.every_round else 1,
        "seed": cfg.seed,
    }
    make: Callable[..., Backend] = instantiate(cfg.fl.backend)
    if sites is not None:
        backend = make(sites=sites, sizes={i: len(each) for i, each in enumerate(federated_data.clients)}, **settings)
    else:
        local = [client for client in federated_data.clients if isinstance(client, ClientData)]
        data = [*attackers.equip(local), *([] if server_images is None else [ClientData(server_images)])]
        at_once = None if cfg.fl.clients_per_round is None else cfg.fl.clients_per_round + training.every_round
        pool = build_pool(algorithm, len(data), at_once, folder)
        backend = make(clients=pool, data=dict(enumerate(data)), **settings)
    processes = count_processes(cfg.trainer)
    allowed = "serial with several processes: stacked clients' sums depend on how many there are"
    check(backend.spreads or processes == 1, "fl/backend", allowed, "vectorized" if sites is None else "flower")
    return Federation(
        backend=backend,
        attackers=attackers,
        generator=algorithm.generator,
        server_optimizer=instantiate(cfg.fl.server_optimizer),
        tolerance=tolerance,
        num_clients=cfg.fl.num_clients,
        num_classes=len(splits.classes),
        image_size=splits.image_size,
        clients_per_round=cfg.fl.clients_per_round,
        fine_tuning_start=cfg.fl.rounds if server_images is not None and training.rounds_after else None,
        server_trains=training.every_round,
        ema=algorithm.ema,
        seed=cfg.seed,
    )


def build_pool(algorithm: LocalAlgorithm, count: int, at_once: int | None, folder: Path | None) -> ClientPool:
    """The clients, in memory as many as train in a round; all where ``at_once`` is None, or without a folder."""
    places = count if folder is None or at_once is None else min(at_once, count)
    files = None if folder is None else ClientFiles(folder / FOLDER / CLIENTS)
    return ClientPool(algorithm.client, count=count, places=places, files=files)


def build_local_settings(cfg: DictConfig) -> LocalSettings:
    """How long clients train in a round."""
    return within("fl", LocalSettings, {field.name: cfg.fl[field.name] for field in fields(LocalSettings)})


def build_defended(cfg: DictConfig, splits: Splits, defenses: Mapping[str, Defense]) -> LocalAlgorithm:
    """What clients do, as FedProx and the defenses change it."""
    algorithm = build_algorithm(cfg.model, splits, cfg.seed)
    # Runs of before FedProx have no such setting.
    proximal = made(cfg, "fl.proximal", Proximal) if "proximal" in cfg.fl else Proximal()
    algorithm.defend([proximal.adapt, *(defense.adapt for defense in defenses.values())], in_turn(defenses))
    return algorithm


def in_turn(defenses: Mapping[str, Defense]) -> Any:
    """A batch of real images through every defense, one after the other."""

    def transform_batch(images: Tensor, rng: torch.Generator) -> Tensor:
        for defense in defenses.values():
            images = defense.transform_batch(images, rng)
        return images

    return transform_batch


def build_algorithm(model: DictConfig, splits: Splits, seed: int) -> LocalAlgorithm:
    """What clients do, with its networks made for the data set."""
    networks = {
        str(name): build_network(part, splits, seed, str(name)) for name, part in model.items() if is_network(part)
    }
    algorithm: LocalAlgorithm = instantiate(model, **networks)
    return algorithm


def is_network(part: object) -> bool:
    """Whether a part of a model is a torch module, which has to know the data's classes, channels and size."""
    if not (OmegaConf.is_dict(part) and "_target_" in part):  # type: ignore[operator]
        return False
    try:
        target = get_class(part["_target_"]) if not part.get("_partial_") else None  # type: ignore[index, attr-defined]
    except Exception:  # Hydra has many kinds for a class that is not there; building it names the place
        return False
    return isinstance(target, type) and issubclass(target, nn.Module)


def build_network(part: DictConfig, splits: Splits, seed: int, name: str) -> nn.Module:
    """A network for this data set, its weights drawn from the seed and nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init", name))
        network: nn.Module = instantiate(part, **splits.shape)
    return network.to(memory_format=torch.channels_last)


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
        strategy=FederatedStrategy(folder, list(cfg.trust)) if count_processes(cfg.trainer) > 1 else "auto",
        use_distributed_sampler=False,  # every process knows who takes part, and takes its own
        default_root_dir=folder,
        max_epochs=cfg.fl.rounds + parts.server_training.rounds_after,
    )
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
