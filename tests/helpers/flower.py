"""Sites in this process, behind a link that may lose, spoil or delay what they answer."""

import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.images import ImageSet, Splits
from fedgan.core.update import ClientUpdate
from fedgan.datasets.chest_phantom import ChestPhantom
from fedgan.federated.data import shares_of
from fedgan.flower.server import server_settings
from fedgan.flower.settings import to_send
from fedgan.flower.site import answer_hello, answer_order, site_settings
from fedgan.flower.sites import HELLO, KeyedSites
from fedgan.partitions.iid import IID
from tests.helpers.federation import sabotage, spoil

PHANTOM = {"image_size": 32, "train_per_class": 32, "test_per_class": 16, "seed": 0}
SETTINGS = (
    "attack=none",
    "model=dcgan",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "fl.batch_size=8",
    "metrics=[none]",
    "logger=none",
    "trainer.enable_progress_bar=false",
    "evaluation.samples_per_class=8",
)
Tamper = Callable[[int, int, bytes], bytes | str | None]


@cache
def phantom(**settings: Any) -> Splits:
    return ChestPhantom(**settings).load()


class Hospital:
    """A data set: what client ``client`` of ``clients`` gets of a phantom in a run on one machine with that seed."""

    def __init__(self, *, client: int, clients: int, run_seed: int = 0, **phantom: Any) -> None:
        self.client, self.clients, self.run_seed, self.phantom = client, clients, run_seed, phantom

    def load(self) -> Splits:
        splits = phantom(**self.phantom)
        own: ImageSet = shares_of(splits.train, IID(), self.clients, seed=self.run_seed)[self.client]
        return Splits("hospital", own, splits.test)


class FaultyHospital(Hospital):
    """One whose program spoils its update in a round, or takes some seconds more; Flower starts it for each message."""

    def __init__(self, *, spoiled: int | None = None, late: int | None = None, seconds: float = 0.0, **own: Any):
        super().__init__(**own)
        self.spoiled, self.late, self.seconds = spoiled, late, seconds

    def load(self) -> Splits:
        sabotage(pytest.MonkeyPatch(), lambda backend, round_, i: round_.index == self.spoiled, spoil)
        sabotage(pytest.MonkeyPatch(), lambda backend, round_, i: round_.index == self.late, self._wait)
        return super().load()

    def _wait(self, trained: ClientUpdate) -> ClientUpdate:
        time.sleep(self.seconds)
        return trained


def key_of(client: int) -> bytes:
    return f"key of {client}".encode()


def table_of(clients: int) -> dict[bytes, int]:
    return {key_of(client): client for client in range(clients)}


class FakeLink:
    """Nodes 100, 101, ... are the clients; ``tamper(node, asked, answer)`` changes what one answers, None loses it."""

    def __init__(self, folder: Path, clients: int, tamper: Tamper = lambda node, asked, answer: answer) -> None:
        self.folder, self.clients, self.tamper = folder, clients, tamper
        self.first = 100
        self.asked: list[int] = []
        self.extra: dict[int, bytes] = {}  # nodes that are nobody's
        self.own: dict[int, tuple[str, ...]] = {}  # by client, what its site sets besides

    def restart(self) -> None:
        """All nodes come back under other numbers."""
        self.first += 1000

    def nodes(self) -> Mapping[int, bytes]:
        return {self.first + client: key_of(client) for client in range(self.clients)} | self.extra

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        answers, start = {}, time.monotonic()
        for node, message in messages.items():
            site = self.site(node - self.first)
            answer = answer_hello(site) if kind == HELLO else answer_order(site, message)
            self.asked.append(node)
            sent = answer if kind == HELLO else self.tamper(node, self.asked.count(node) - 2, answer)
            if sent is not None:
                answers[node] = sent
        if timeout is not None and len(answers) < len(messages):  # as Flower does, who waits until the time is up
            time.sleep(max(0.0, timeout - (time.monotonic() - start)))
        return answers

    def site(self, client: int) -> DictConfig:
        own = [f"dataset.{name}={value}" for name, value in PHANTOM.items()]
        who = [f"+dataset.client={client}", f"+dataset.clients={self.clients}"]
        kind = ["dataset=chest_phantom", "dataset._target_=tests.helpers.flower.Hospital"]
        more = self.own.get(client, ())
        return site_settings([*kind, *own, *who, f"folder={self.folder / f'site_{client}'}", *more])


def serve(link: FakeLink, folder: Path, *overrides: str) -> dict[str, Any]:
    """A run as the ServerApp makes it, once the keys are read."""
    cfg = server_settings([*SETTINGS, f"fl.num_clients={link.clients}", *overrides], folder)
    return training.train(cfg, folder, KeyedSites(link, table_of(link.clients), to_send(cfg), pause=0.0))
