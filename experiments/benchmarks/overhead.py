"""A round of the federation against a plain PyTorch loop of the same arithmetic.

python -m experiments.benchmarks overhead
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from experiments.benchmarks.base import Benchmark, Row, paired_ratio, spread, timed
from experiments.benchmarks.plain_loop import PlainLoop
from fedgan.config.building.algorithm import build_algorithm, build_network
from fedgan.config.building.run import build_parts, build_trainer
from fedgan.core.arguments import Count, checked
from fedgan.core.images import Splits
from fedgan.core.update import State
from fedgan.federated.federation import Federation
from fedgan.partitions.iid import IID


@checked
class Overhead(Benchmark):
    """What Lightning, the server, the records and the checkpoint add to the bare arithmetic.

    Args:
        common: overrides of conf/config.yaml for all cases; every client takes part, for one local epoch.
        cases: further overrides, by the case's name.
        repeats: rounds that count; one before and the evaluated one at the end do not.
    """

    title = "a round of the federation against a plain loop with equal results"
    goal = "a ratio of at most 1.03 for dcgan at 32 x 32, at most 1.01 for stylegan2 at 64 x 64"

    def __init__(self, *, common: Sequence[str], cases: Mapping[str, Sequence[str]], repeats: Count = 5) -> None:
        super().__init__(repeats=repeats)
        self.common, self.cases = common, cases

    def measure(self, folder: Path) -> list[Row]:
        """One row per case."""
        return [self._measure(str(name), overrides, folder / str(name)) for name, overrides in self.cases.items()]

    def _measure(self, name: str, overrides: Sequence[str], folder: Path) -> Row:
        cfg = configured(*self.common, *overrides, f"fl.rounds={self.repeats + 2}")
        folder.mkdir()
        parts = build_parts(cfg, folder)
        turns = Turns(plain_loop(cfg, parts.splits))
        trainer = build_trainer(cfg, folder, parts, [turns])
        trainer.fit(parts.federation, val_dataloaders=parts.evaluator.loader(parts.federation.z_dim))
        federated, plain = turns.federated[1:-1], turns.plain[1:-1]
        return {
            "case": name,
            "ours (s/round)": median(federated),
            "plain (s/round)": median(plain),
            "ratio": paired_ratio(federated, plain),
            "ratios": spread([mine / other for mine, other in zip(federated, plain, strict=True)]),
            "share of the checkpoint": paired_ratio(turns.checkpoint[1:], federated),
        }


class Turns(Callback):
    """After each round of the federation one of the plain loop; what is between two of those is the federation's.

    Attributes:
        federated: seconds from the end of the plain loop's round to its next.
        plain: seconds of its rounds.
        checkpoint: of ``federated``, those at a round's end in which the checkpoint of the round before is written.
    """

    def __init__(self, loop: PlainLoop) -> None:
        self.loop = loop
        self.federated: list[float] = []
        self.plain: list[float] = []
        self.checkpoint: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The federation begins."""
        self.resumed = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The round before is written."""
        if self.federated:
            self.checkpoint.append(time.perf_counter() - self.resumed)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The plain loop's turn; Lightning calls the checkpoint's callback after all others."""
        self.federated.append(time.perf_counter() - self.resumed)
        self.plain.append(timed(self.loop.round))
        assert isinstance(pl_module, Federation)
        difference = differing(pl_module.generator.state_dict(), self.loop.generator.state_dict())
        assert not difference, f"round {pl_module.round}: the plain loop's {difference} differ from the federation's"
        self.resumed = time.perf_counter()


def configured(*overrides: str) -> DictConfig:
    """The configuration of ``python -m fedgan.train`` with these overrides; within a command, which finds conf/."""
    return compose("config", overrides=list(overrides))


def plain_loop(cfg: DictConfig, splits: Splits) -> PlainLoop:
    """The loop with a federation's models, optimizers and shares of the images."""
    return PlainLoop(
        build_algorithm(cfg.model, splits, cfg.seed).generator,
        build_network(cfg.model.discriminator, splits, cfg.seed, "discriminator"),
        instantiate(cfg.model.optimizer_g),
        instantiate(cfg.model.optimizer_d),
        [splits.train.subset(part) for part in IID().split(splits.train, cfg.fl.num_clients, cfg.seed)],
        batch_size=cfg.fl.batch_size,
        seed=cfg.seed,
    )


def differing(one: State, other: State) -> list[str]:
    """The names of the tensors that are not the same to the bit.

    Example:
        >>> differing({"a": torch.zeros(1), "b": torch.zeros(1)}, {"a": torch.zeros(1), "b": torch.ones(1)})
        ['b']
    """
    return [name for name in one if not torch.equal(one[name], other[name])]
