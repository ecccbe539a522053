"""What clients do: the networks and their training, as defenses change it."""

from collections.abc import Mapping
from dataclasses import fields

import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fedgan.config.building.component import instantiate, made
from fedgan.config.building.defenses import in_turn
from fedgan.config.validate import within
from fedgan.core.images import Splits
from fedgan.core.precision import laid_out
from fedgan.core.rng import derive_seed
from fedgan.defenses.base import Defense
from fedgan.federated.local import LocalAlgorithm, LocalSettings
from fedgan.gan.proximal import Proximal


def build_defended(cfg: DictConfig, splits: Splits, defenses: Mapping[str, Defense]) -> LocalAlgorithm:
    """What clients do, as FedProx and the defenses change it."""
    algorithm = build_algorithm(cfg.model, splits, cfg.seed)
    # Runs of before FedProx have no such setting.
    proximal = made(cfg, "fl.proximal", Proximal) if "proximal" in cfg.fl else Proximal()
    algorithm.defend([proximal.adapt, *(defense.adapt for defense in defenses.values())], in_turn(defenses))
    return algorithm


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
    return laid_out(network)


def build_local_settings(cfg: DictConfig) -> LocalSettings:
    """How long clients train in a round."""
    return within("fl", LocalSettings, {field.name: cfg.fl[field.name] for field in fields(LocalSettings)})
