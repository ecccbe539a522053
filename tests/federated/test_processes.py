"""One federation over several processes: the same bits, and nothing lost when one of them ends."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from fedgan.config import training
from fedgan.core.update import ClientUpdate
from fedgan.federated import messages
from fedgan.federated.faults import Event
from fedgan.federated.federation import Federation
from fedgan.federated.messages import _pack_updates, _unpack_updates
from fedgan.federated.strategy import FederatedStrategy, FolderLauncher, count_processes
from tests.helpers.federation import FEDDETECT, TINY
from tests.helpers.runs import outcome

Configure = Callable[..., DictConfig]
CPU = torch.device("cpu")
FIVE = ("fl.num_clients=5", "fl.rounds=3", "fl.batch_size=4", *FEDDETECT)


pytestmark = pytest.mark.usefixtures("one_thread_each")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Those that a run starts next to this one."""
    started: list[subprocess.Popen[bytes]] = []
    original = FolderLauncher._call_children_scripts

    def call(self: FolderLauncher) -> None:
        original(self)
        started.extend(self.procs)

    monkeypatch.setattr(FolderLauncher, "_call_children_scripts", call)
    return started


def test_the_same_bits_with_one_process_two_and_three(
    configure: Configure, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Three rounds at once in one; two in two and, resumed, the last in three."""
    training.train(configure(*FIVE), tmp_path / "one")
    run = tmp_path / "several"
    environment = dict(os.environ)
    training.train(configure(*FIVE, "fl.rounds=2", "trainer.devices=2"), run)
    assert [process.wait(60) for process in processes] == [0]
    assert not torch.distributed.is_initialized()
    added = os.environ.keys() - environment.keys()
    assert not added & {"LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"}, "the next run of a sweep would take them for its own"
    cfg = configure(*FIVE, "trainer.devices=3", f"resume={run}")
    training.train(cfg, run)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert results(run) == results(tmp_path / "one")


@pytest.mark.usefixtures("forked_processes")
def test_the_same_bits_with_clients_that_differ(
    configure: Configure, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Unequal shares, a client with fewer images than a batch, FedProx and an adaptive server."""
    unequal = ("partition=dirichlet", "partition.min_images=3", "fl.proximal.mu=0.1", "fl/server_optimizer=fedyogi")
    for name, count in (("one", 1), ("two", 2)):
        training.train(configure(*FIVE, *unequal, "fl.rounds=2", f"trainer.devices={count}"), tmp_path / name)
    assert [process.wait(60) for process in processes] == [0]
    assert results(tmp_path / "two") == results(tmp_path / "one")
    table = json.loads((tmp_path / "one" / "run.json").read_text())["partition"]
    assert len({sum(counts) for counts in zip(*table.values(), strict=True)}) > 2


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("place", ["attack", "update_attack"])
def test_what_an_added_loss_did_reaches_the_receipts(
    place: str, configure: Configure, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Client 3 lives in the second process, the receipts are written by the first."""
    given = {"attack": "attack=latent_trigger", "update_attack": "update_attack=audit_evasion"}[place]
    attack = (given, "fl.malicious=[3]", "fl.rounds=2", "metrics=[none]")
    settings = [each for each in (*TINY, *FIVE) if not each.startswith("attack")]
    for name, count in (("one", 1), ("two", 2)):
        cfg = configure(*settings, *attack, f"trainer.devices={count}", tiny=False)
        training.train(cfg, tmp_path / name)
    assert [process.wait(60) for process in processes] == [0]
    assert results(tmp_path / "two") == results(tmp_path / "one")
    assert f",{place},3,steps" in (tmp_path / "two" / "receipts.csv").read_text()


@pytest.mark.usefixtures("forked_processes")
def test_one_process_is_killed(
    configure: Configure,
    tmp_path: Path,
    processes: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training.train(configure(*FIVE), tmp_path / "one")
    original = Federation.training_step

    def training_step(self: Federation, batch: list[int], batch_idx: int) -> None:
        if self.round == 1:
            processes[0].kill()
        original(self, batch, batch_idx)

    monkeypatch.setattr(Federation, "training_step", training_step)
    run = tmp_path / "run"
    with pytest.raises(ConnectionError, match="another process of this run has ended"):
        training.train(configure(*FIVE, "trainer.devices=2"), run)
    assert json.loads((run / "run.json").read_text())["status"] == "failed"
    assert not torch.distributed.is_initialized()
    monkeypatch.undo()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    training.train(configure(*FIVE, "trainer.devices=1", f"resume={run}"), run)
    assert results(run) == results(tmp_path / "one")


def test_a_signal_to_the_first_process_stops_them_all_after_the_round(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [*TINY, *FIVE, "fl.rounds=500", "trainer.devices=2", f"hydra.run.dir={run}"]
    process = subprocess.Popen([sys.executable, "-m", "fedgan.train", *settings], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (run / "checkpoints" / "clients").exists() and any((run / "checkpoints").glob("round_*")))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.count("stopping after this round") == 1
    assert json.loads((run / "run.json").read_text())["reason"] == "SIGTERM"


def command(*settings: str) -> list[str]:
    return [sys.executable, "-m", "fedgan.train", *TINY, *FIVE, *settings]


@pytest.mark.slow
def test_two_machines(tmp_path: Path) -> None:
    """As a user starts it on each of them, with Lightning's own variables; here both are this one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run = tmp_path / "run"
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    second = {**environment, "NODE_RANK": "1"}
    alone = command("trainer.num_nodes=2")
    refused = subprocess.run(alone, env=second, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "hydra.run.dir must be given where several processes are started" in refused.stderr
    both = [
        subprocess.Popen(command("trainer.num_nodes=2", f"hydra.run.dir={run}"), env={**environment, "NODE_RANK": rank})
        for rank in ("0", "1")
    ]
    assert [process.wait(240) for process in both] == [0, 0]
    subprocess.run(command(f"hydra.run.dir={tmp_path / 'alone'}"), check=True)
    assert results(run) == results(tmp_path / "alone")


@pytest.fixture
def networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a cable: as near to two machines as one machine comes."""
    names = tuple(f"fedgan{os.getpid()}{end}" for end in "ab")
    cables = tuple(f"fg{os.getpid() % 10**6}{end}" for end in "ab")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
            for number, (name, cable) in enumerate(zip(names, cables, strict=True), start=1):
                ip("link", "set", cable, "netns", name, "name", "cable0")
                ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable0")
                for device in ("cable0", "lo"):
                    ip("-n", name, "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield names  # type: ignore[misc]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.mark.slow
def test_two_machines_that_share_a_cable_and_a_folder(tmp_path: Path, networks: tuple[str, str]) -> None:
    """One of them is cut off in the middle; the other stops, and the run resumes alone, to the same bits."""
    run = tmp_path / "run"
    environment = {**os.environ, "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29533", "GLOO_SOCKET_IFNAME": "cable0"}
    both = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *command("fl.rounds=40", "trainer.num_nodes=2", f"hydra.run.dir={run}")],
            env={**environment, "NODE_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, name in enumerate(networks)
    ]
    wait_for(lambda: any((run / "checkpoints").glob("round_*")))
    both[1].kill()
    _, said = both[0].communicate(timeout=120)
    assert both[0].returncode == 1
    assert "another process of this run has ended" in said
    ended = json.loads((run / "run.json").read_text())
    assert ended["status"] == "failed"
    resumed = [sys.executable, "-m", "fedgan.train", f"resume={run}", "trainer.num_nodes=1"]
    subprocess.run(resumed, check=True)
    subprocess.run(command("fl.rounds=40", f"hydra.run.dir={tmp_path / 'alone'}"), check=True)
    assert results(run) == results(tmp_path / "alone")


def test_updates_and_events_arrive_as_they_were_sent() -> None:
    state = {"w": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), "n": torch.tensor(7)}
    update = ClientUpdate(12, 40, state, {"loss_g": 0.1, "loss_d": 1e-300})
    event = Event(3, 2, "late", "5.0 s", "left out of this round")
    (arrived,), events = _unpack_updates(_pack_updates([update], [event]), CPU)
    assert (arrived.client_id, arrived.num_examples, arrived.metrics) == (12, 40, update.metrics)
    assert arrived.state.keys() == state.keys()
    assert all(torch.equal(arrived.state[name], state[name]) for name in state)
    assert events == [event]
    assert _unpack_updates(_pack_updates([], []), CPU) == ([], [])


def test_lightnings_decisions_cross_on_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    brought: list[torch.Tensor] = []
    host = torch.tensor(1)

    def to_the_host(self: torch.Tensor) -> torch.Tensor:
        brought.append(self)
        return host

    monkeypatch.setattr(torch.Tensor, "cpu", to_the_host)
    monkeypatch.setattr(DDPStrategy, "reduce", lambda self, tensor, group, how: tensor * (2 if tensor is host else 0))
    decision = torch.tensor(0)
    assert FederatedStrategy(tmp_path).reduce(decision, reduce_op="sum") == 2
    assert brought[0] is decision


def test_updates_arrive_on_the_servers_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to its generator, which a GPU would not add to the host's memory."""
    monkeypatch.setattr(messages, "size", lambda: 2)
    other = _pack_updates([ClientUpdate(1, 8, {"weight": torch.ones(2)}, {"loss_g": 1.0})], [])
    monkeypatch.setattr(messages, "_gather", lambda message: [message, other])
    own = ClientUpdate(0, 8, {"weight": torch.zeros(2)}, {"loss_g": 1.0})
    updates, _ = messages.gather_updates([own], [], torch.device("meta"))
    assert [update.state["weight"].device.type for update in updates] == ["meta", "meta"]


def test_what_several_processes_send_is_in_the_order_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """ClientPool 0 and 2 live here, 1 and 3 in the other process; what is about no client comes first."""

    def update(client_id: int) -> ClientUpdate:
        return ClientUpdate(client_id, 8, {"w": torch.full((2,), float(client_id))}, {"loss_g": 1.0})

    def event(client_id: int | None) -> Event:
        return Event(3, client_id, "late", "5.0 s", "left out of this round")

    monkeypatch.setattr(messages, "size", lambda: 2)
    other = _pack_updates([update(1), update(3)], [event(3), event(None)])
    monkeypatch.setattr(messages, "_gather", lambda message: [message, other])
    updates, events = messages.gather_updates([update(2), update(0)], [event(0), event(2)], CPU)
    assert [u.client_id for u in updates] == [0, 1, 2, 3]
    assert [u.state["w"].tolist() for u in updates] == [[i, i] for i in range(4)]
    assert [e.client for e in events] == [None, 0, 2, 3]


def test_one_process_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bytes are made of it, and what is returned is a new list."""
    for name in ("_gather", "_share"):
        monkeypatch.setattr(messages, name, lambda message: 1 / 0)
    update, event = ClientUpdate(0, 8, {}, {}), Event(0, 0, "late", "5.0 s", "left out")
    given: tuple[list[ClientUpdate], list[Event]] = [update], [event]
    returned = messages.gather_updates(*given, CPU)
    assert returned == given
    assert all(mine is not theirs for mine, theirs in zip(returned, given, strict=True))
    state = {"w": torch.ones(2)}
    assert messages.share_state(state) is state
    assert messages.share_fact(3) == 3
    assert (messages.size(), messages.rank(), messages.own([0, 1, 2])) == (1, 0, [0, 1, 2])


def test_events_are_in_the_order_of_clients_in_one_process_too() -> None:
    """Who drops out is known before anybody trains: events.csv must not depend on the number of processes."""
    events = [Event(0, client, "raised", "", "") for client in (3, None, 1)]
    assert [event.client for event in messages.gather_updates([], events, CPU)[1]] == [None, 1, 3]


def test_clients_live_where_their_ids_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "size", lambda: 3)
    homes = []
    for rank in range(3):
        monkeypatch.setattr(messages, "rank", lambda rank=rank: rank)
        homes.append(messages.own([0, 1, 2, 4, 6, 7]))
    assert homes == [[0, 6], [1, 4, 7], [2]]


@pytest.mark.parametrize("words", ["[gloo/transport/tcp/pair.cc:534] closed", "Connection reset by peer"])
def test_a_lost_connection_is_said_in_one_line(words: str) -> None:
    reason = "^another process of this run has ended, or cannot be reached$"
    with pytest.raises(ConnectionError, match=reason), messages.peers():
        raise RuntimeError(words)


def exchanged(rank: int, port: int, answers: Any) -> None:
    """In its own process: the server's facts and state, and everybody's updates, one of several sizes."""
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=3)
    shared = messages.share_state({"w": torch.full((3,), float(rank))})
    fact = messages.share_fact({"count": rank})
    update = ClientUpdate(rank, 8, {"w": torch.ones(1 + 5 * rank)}, {"loss_g": 1.0})
    updates, _ = messages.gather_updates([update], [], CPU)
    sizes = [len(u.state["w"]) for u in updates]
    answers.put((rank, messages.rank(), messages.size(), shared["w"].tolist(), fact, sizes))
    distributed.destroy_process_group()


def test_three_processes_exchange_what_they_have() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    started = [context.Process(target=exchanged, args=(rank, port, answers), daemon=True) for rank in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0, 0]
    found = sorted(answers.get() for _ in started)
    assert found == [(i, i, 3, [0.0] * 3, {"count": 0}, [] if i else [1, 6, 11]) for i in range(3)]


def test_an_error_that_is_no_disconnection_keeps_its_name() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), messages.peers():
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(("settings", "count"), [({}, 1), ({"devices": 3}, 3), ({"devices": [1], "num_nodes": 4}, 4)])
def test_processes_are_counted(settings: dict[str, object], count: int) -> None:
    assert count_processes(settings) == count


def results(run: Path) -> dict[str, object]:
    """All that the exactness contract is about; how many processes there were is no part of it."""
    return {name: part for name, part in outcome(run).items() if name != "config.yaml"}


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
