"""Clients at sites instead of in this process: what that asks of the settings, and where the data is."""

from collections.abc import Mapping

from omegaconf import DictConfig

from fedgan.attacks.base import Attack
from fedgan.config.building.component import instantiate
from fedgan.core.checks import check
from fedgan.core.images import Splits
from fedgan.federated.data import FederatedData
from fedgan.federated.engines.sites import SiteFacts, Sites, check_same_kind, data_of
from fedgan.metrics.base import Metric
from fedgan.update_attacks.base import UpdateAttack


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
