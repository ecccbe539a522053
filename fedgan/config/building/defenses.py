"""The defenses of a run."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import MaxLen
from omegaconf import DictConfig
from torch import Tensor

from fedgan.config.building.component import made
from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import placed
from fedgan.defenses.base import Defense, ServerTraining

_ServerTrained = Annotated[Sequence[str], MaxLen(1), Allowed("at most one that sets images apart for the server")]


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


def in_turn(defenses: Mapping[str, Defense]) -> Any:
    """A batch of real images through every defense, one after the other."""

    def transform_batch(images: Tensor, rng: torch.Generator) -> Tensor:
        for defense in defenses.values():
            images = defense.transform_batch(images, rng)
        return images

    return transform_batch
