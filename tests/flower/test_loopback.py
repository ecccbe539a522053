"""Flower itself: a SuperLink and SuperNodes on this machine; minutes, run by hand."""

import csv
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import DictConfig

from experiments.benchmarks.loopback import NAME, Loopback, stop
from fedgan.config import training
from fedgan.core.update import ClientUpdate
from fedgan.federated.faults import NO_VARIETY
from fedgan.runs.folder import is_finished
from tests.helpers.federation import sabotage
from tests.helpers.flower import PHANTOM, SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("flwr") is None, reason="pip install 'fedgan[flower]'"),
]
Configure = Callable[..., DictConfig]
PATIENCE = 300.0  # seconds for three rounds
TIMEOUT = 75.0  # seconds for a round of sites that may be late; far more than an honest one takes
DEFENSES = ("defense=[feddetect,horizontal_flip]", "defense.feddetect.warmup=1")


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """One SuperLink for all tests here."""
    with Loopback(tmp_path_factory.mktemp("loopback")) as started:
        yield started


class Hospitals:
    """The sites of one run, with keys and SuperNodes; ``faults``: by client, what only its first start sets."""

    def __init__(self, flower: Loopback, run: Path, clients: int, faults: Mapping[int, str]) -> None:
        self.flower, self.run, self.clients, self.faults = flower, run, clients, faults
        self.keys = {client: flower.key(self.name(client)) for client in range(clients)}
        for client in range(clients):
            flower.register(self.name(client))
        self.nodes = [self.start(client, faults.get(client, "")) for client in range(clients)]

    def name(self, client: int) -> str:
        return f"{self.run.name}{client}"

    def start(self, client: int, fault: str = "") -> subprocess.Popen[bytes]:
        own = [f"dataset.{name}={value}" for name, value in PHANTOM.items()]
        kind = ["dataset=chest_phantom", "dataset._target_=tests.helpers.flower.FaultyHospital"]
        place = self.run.parent / self.name(client)
        who = [f"+dataset.client={client}", f"+dataset.clients={self.clients}", f"folder={place}"]
        return self.flower.node(self.name(client), " ".join([*kind, *own, *who, fault]))

    def restart(self, client: int) -> None:
        stop(self.nodes[client])
        self.nodes[client] = self.start(client)

    def begin(self, *overrides: str) -> subprocess.Popen[bytes]:
        return self.flower.run(self.run, self.keys, *SETTINGS, f"fl.num_clients={self.clients}", *overrides)

    def check_same(self, configure: Configure, *overrides: str) -> None:
        """The run is, to the bit, one on this machine."""
        assert is_finished(self.run), self.flower.said(self.run.name)[-3000:]
        local = [*(f"dataset.{name}={value}" for name, value in PHANTOM.items()), f"fl.num_clients={self.clients}"]
        folder = self.run.parent / f"{self.run.name}_local"
        alone = training.train(configure(*SETTINGS, *overrides, *local, tiny=False), folder)
        assert json.loads((self.run / "summary.json").read_text())["generator_sha256"] == alone["generator_sha256"]
        assert (self.run / "clients.csv").read_text() == (folder / "clients.csv").read_text()


def test_two_and_four_sites_with_faults_and_restarts(
    flower: Loopback, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Hospitals(flower, tmp_path / "two", 2, {})
    faults = {1: "+dataset.spoiled=1", 2: f"+dataset.late=2 +dataset.seconds={10 * TIMEOUT}"}
    four = Hospitals(flower, tmp_path / "four", 4, faults)
    for rounds in ("fl.rounds=3", "fl.rounds=6"):  # both at once, over one SuperLink
        runs = [two.begin(rounds), four.begin(rounds, *DEFENSES, f"fl.straggler_timeout={TIMEOUT}")]
        for run in runs:
            run.wait(PATIENCE)
        if rounds == "fl.rounds=3":
            two.restart(0)
            four.restart(2)  # while it is still at its late update
    stop(*two.nodes, *four.nodes)
    with (four.run / "events.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != NO_VARIETY]
    found = [(row["round"], row["client"], row["kind"]) for row in rows]
    assert found == [("1", "1", "bad_update"), ("2", "2", "late")], flower.said("four")[-3000:]
    two.check_same(configure, "fl.rounds=6")

    def collapse(trained: ClientUpdate) -> ClientUpdate:
        raise RuntimeError("as if it had not answered")

    sabotage(monkeypatch, lambda backend, round_, i: (round_.index, i) in ((1, 1), (2, 2)), collapse)
    four.check_same(configure, "fl.rounds=6", *DEFENSES)


@pytest.mark.parametrize(
    ("root", "said"),
    [("server", "Failed to activate SuperNode"), ("other", "certificate verify failed")],
    ids=["not registered", "wrong root certificate"],
)
def test_a_node_that_is_a_stranger_or_would_trust_one_gets_no_message(root: str, said: str, flower: Loopback) -> None:
    flower.key(key := f"key_{root}")
    if root == "other":
        flower.certificate(root)
        flower.register(key)
    node = flower.node(key, "folder=nowhere", root=root)
    assert node.wait(60) != 0
    assert said in flower.said(key)
    assert "message" not in flower.said(key)
    listed = json.loads(flower.flwr("supernode", "list", NAME, "--format", "json"))["nodes"]
    assert "online" not in {each["status"] for each in listed}
