"""The clients and the global generator."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from omegaconf import DictConfig

from fedgan.config.building.algorithm import build_defended, build_local_settings
from fedgan.config.building.component import instantiate
from fedgan.config.building.defenses import single_server_training
from fedgan.config.validate import within
from fedgan.core.checks import check
from fedgan.core.images import ImageSet, Splits
from fedgan.defenses.base import Defense
from fedgan.federated.attackers import Attackers
from fedgan.federated.backend import Backend
from fedgan.federated.client_files import CLIENTS, ClientFiles
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.data import ClientData, FederatedData
from fedgan.federated.engines.sites import Sites
from fedgan.federated.faults import Tolerance
from fedgan.federated.federation import Federation
from fedgan.federated.local import LocalAlgorithm
from fedgan.federated.strategy import count_processes
from fedgan.runs.checkpoint import FOLDER


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
