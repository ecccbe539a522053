"""Who is who, what crosses, and what is refused; without Flower, and without training."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

import fedgan
from fedgan.core.update import ClientUpdate
from fedgan.federated.messages import pack, unpack
from fedgan.flower import sites
from fedgan.flower.__main__ import main
from fedgan.flower.attacker import keep_receipts
from fedgan.flower.backend import FlowerBackend
from fedgan.flower.keys import read_table
from fedgan.flower.letters import (
    Hello,
    Order,
    read_hello,
    read_order,
    read_update,
    write_hello,
    write_order,
    write_update,
)
from fedgan.flower.server import server_settings
from fedgan.flower.sites import HELLO, TRAIN, KeyedSites

METRICS = ("loss_g", "loss_d", "loss_g_last", "loss_g_final")
UPDATE = ClientUpdate(3, 8, {"p": torch.ones(2)}, {"loss_g": 0.5, "loss_d": 0.1 + 0.2})
ORDER = Order(run="0" * 32, client=3, round=2, attempt=1, kept=None, checkpointed=1, settings={"model": {"dcgan": {}}})
HELLO_FACTS: dict[str, Any] = {
    "version": fedgan.__version__,
    "classes": ["a", "b"],
    "channels": 1,
    "image_size": 32,
    "counts": [3, 4],
}


class Echo:
    """A link whose nodes answer with their own number."""

    def __init__(self, *rounds: Mapping[int, bytes]) -> None:
        self.rounds = list(rounds)
        self.asked: list[int] = []

    def nodes(self) -> Mapping[int, bytes]:
        return self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        self.asked += messages
        return {node: str(node).encode() for node in messages}


TABLE = {b"red": 0, b"blue": 1}


def test_a_key_says_who_a_node_is_and_nothing_else() -> None:
    keyed = KeyedSites(Echo({7: b"blue", 5: b"red"}), TABLE, {})
    assert keyed.train({0: b"", 1: b""}, None) == {0: b"5", 1: b"7"}


def test_an_unknown_key_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    link = Echo({7: b"blue", 5: b"red", 9: b"green"})
    keyed = KeyedSites(link, TABLE, {})
    assert set(keyed.train({0: b"", 1: b""}, None)) == {0, 1}
    keyed.train({0: b"", 1: b""}, None)
    assert 9 not in link.asked
    said = capsys.readouterr().err.splitlines()
    assert said == ["warning: node 9 is refused: its public key is not in the file of sites="]


def test_a_site_that_restarts_under_another_number_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    link = Echo({5: b"red"}, {5: b"red"}, {5: b"red", 8: b"blue"})
    assert KeyedSites(link, TABLE, {}, pause=0.0).train({0: b"", 1: b""}, None) == {0: b"5", 1: b"8"}
    assert capsys.readouterr().err == "waiting for the sites of clients [1] to connect\n"


def test_nobody_is_waited_for_longer_than_the_timeout() -> None:
    keyed = KeyedSites(Echo({5: b"red"}), TABLE, {}, pause=0.0)
    assert keyed.train({0: b"", 1: b""}, 0.01) == {0: b"5"}


class Losing(Echo):
    """The first so many times that it is asked node 8 is lost, and comes back under another number."""

    def __init__(self, times: int) -> None:
        super().__init__({5: b"red", 8: b"blue"})
        self.times = times

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        found = super().ask(kind, messages, timeout)
        if self.asked.count(8) + self.asked.count(9) > self.times:
            return found
        self.rounds = [{5: b"red", 9: b"blue"}]
        return {node: answer for node, answer in found.items() if node == 5}


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_site_that_is_lost_is_asked_again_and_the_others_are_not(
    timeout: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    link = Losing(times=1)
    assert KeyedSites(link, TABLE, {}, pause=0.0).train({0: b"", 1: b""}, timeout) == {0: b"5", 1: b"9"}
    assert link.asked == [5, 8, 9]
    said = "the sites of clients [1] were lost: they are asked again once they are back\n"
    assert capsys.readouterr().err == said


def test_a_site_that_stays_lost_is_asked_until_the_time_is_up() -> None:
    assert KeyedSites(Losing(times=10**9), TABLE, {}, pause=0.001).train({0: b"", 1: b""}, 0.05) == {0: b"5"}


class Recording(Echo):
    """Remembers what its nodes are asked; they answer as is said here, at once or after so many seconds."""

    def __init__(self, nodes: Mapping[int, bytes], answers: Mapping[int, bytes | str], clock: "Clock | None" = None):
        super().__init__(nodes)
        self.answers, self.clock, self.calls = answers, clock, list[tuple[str, dict[int, bytes], float | None]]()

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        self.calls.append((kind, dict(messages), timeout))
        if self.clock is not None:
            self.clock.now += 9
        return self.answers


class Clock:
    """The time as the sites' module sees it: a pause makes it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_each_site_gets_its_own_order_in_the_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "time", Clock())
    link = Recording({7: b"blue", 5: b"red"}, {5: b"five", 7: b"seven", 9: b"nobody asked"})
    answers = KeyedSites(link, TABLE, {}).train({0: b"for red", 1: b"for blue"}, 60.0)
    assert link.calls == [(TRAIN, {5: b"for red", 7: b"for blue"}, 60.0)]
    assert answers == {0: b"five", 1: b"seven"}


def test_only_the_sites_that_have_an_order_are_asked() -> None:
    link = Recording({7: b"blue", 5: b"red"}, {7: b"seven"})
    assert KeyedSites(link, TABLE, {}).train({1: b"for blue"}, None) == {1: b"seven"}
    assert link.calls == [(TRAIN, {7: b"for blue"}, None)]


def test_waiting_for_a_lost_site_takes_no_longer_than_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of ten seconds were spent asking both; site 1 is gone, and one second is left to wait for it."""
    clock = Clock()
    monkeypatch.setattr(sites, "time", clock)
    link = Recording({5: b"red", 7: b"blue"}, {5: b"five"}, clock)
    answered = link.ask

    def ask(kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        link.rounds = [{5: b"red"}]
        return answered(kind, messages, timeout) if messages else {}

    monkeypatch.setattr(link, "ask", ask)
    assert KeyedSites(link, TABLE, {}, pause=0.25).train({0: b"", 1: b""}, 10.0) == {0: b"five"}
    assert [timeout for _, _, timeout in link.calls] == [10.0]
    assert clock.now == 10.0


def test_every_site_says_what_it_has() -> None:
    said = {5: Hello(**HELLO_FACTS), 7: Hello(**HELLO_FACTS | {"counts": [8, 9]})}
    link = Recording({7: b"blue", 5: b"red"}, {node: write_hello(each) for node, each in said.items()})
    keyed = KeyedSites(link, TABLE, {"model": "dcgan"})
    assert [facts.counts for facts in keyed.facts()] == [(3, 4), (8, 9)]
    assert link.calls == [(HELLO, {5: b"", 7: b""}, None)]
    assert keyed.settings == {"model": "dcgan"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("ValueError", "the site of client 1 does not say what images it has: ValueError"),
        (
            write_hello(Hello(**HELLO_FACTS | {"version": "0"})),
            f"the site of client 1: fedgan must be {fedgan.__version__} at all sites, as at the server; got '0'",
        ),
    ],
)
def test_a_site_that_does_not_say_what_it_has_is_named(answer: bytes | str, said: str) -> None:
    link = Recording({5: b"red", 7: b"blue"}, {5: write_hello(Hello(**HELLO_FACTS)), 7: answer})
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        KeyedSites(link, TABLE, {}).facts()


def test_what_a_site_says_of_a_failure_is_one_short_line() -> None:
    class Talker(Echo):
        def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
            return dict.fromkeys(messages, "a\nb" + "x" * 1000)

    (said,) = KeyedSites(Talker({5: b"red"}), {b"red": 0}, {}).train({0: b""}, None).values()
    assert isinstance(said, str)
    assert (said[:3], len(said)) == ("a b", 200)


def test_messages_arrive_as_they_were_sent() -> None:
    order, reference = read_order(write_order(ORDER, {"p": torch.tensor([0.1])}))
    assert (order, reference["p"].tolist()) == (ORDER, torch.tensor([0.1]).tolist())
    update = read_update(write_update(UPDATE), 3, 8, ("loss_g", "loss_d"), METRICS)
    assert (update.client_id, update.num_examples, update.metrics) == (3, 8, UPDATE.metrics)
    assert torch.equal(update.state["p"], UPDATE.state["p"])
    assert read_hello(write_hello(Hello(**HELLO_FACTS)), fedgan.__version__).counts == (3, 4)


def _facts(**changes: Any) -> bytes:
    facts = {"num_examples": 8, "metrics": dict(UPDATE.metrics)}
    return pack(UPDATE.state, facts | changes)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x80\x04\x95pickled",
        save({"p": torch.ones(2)}),
        (2**62).to_bytes(8, "little") + b"{}",
        _facts(num_examples=800),
        _facts(num_examples=True),
        _facts(metrics={"loss_g": 0.5}),
        _facts(metrics={"loss_g": 0.5, "loss_d": "high"}),
        _facts(metrics={"loss_g": 0.5, "loss_d": float("nan")}),
        _facts(metrics={"loss_g": 0.5, "loss_d": 0.5, "diagnosis": 1.0}),
        _facts(metrics=[1, 2]),
        _facts(images=[1, 2]),
    ],
    ids=[
        "empty",
        "pickle",
        "no facts",
        "long head",
        "examples",
        "truth",
        "loss",
        "text",
        "nan",
        "name",
        "list",
        "more",
    ],
)
def test_what_is_no_update_is_refused_in_one_line(message: bytes) -> None:
    with pytest.raises(ValueError) as refusal:
        read_update(message, 3, 8, ("loss_g", "loss_d"), METRICS)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [{"run": "../../etc"}, {"client": -1}, {"round": 1.5}, {"kept": "1"}, {"command": "reboot"}],
    ids=lambda change: next(iter(change)),
)
def test_a_site_refuses_an_order_that_is_none(change: dict[str, Any]) -> None:
    _, facts = unpack(write_order(ORDER, {}))
    with pytest.raises(ValueError, match=next(iter(change))):
        read_order(pack({}, facts | change))


def test_a_hello_of_another_version_or_with_other_counts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fedgan must be 9\.9 at all sites"):
        read_hello(write_hello(Hello(**HELLO_FACTS)), "9.9")
    with pytest.raises(ValueError, match="counts must be one for each of 2 classes"):
        read_hello(write_hello(Hello(**HELLO_FACTS | {"counts": [1]})), fedgan.__version__)


def test_a_run_needs_a_name_and_an_order_fits_flowers_words() -> None:
    with pytest.raises(ValueError, match=r"fl\.backend\.run must be 32 digits"):
        FlowerBackend(sites=None, run=None, algorithm=_Algorithm(), sizes={}, local=None, tolerance=None)
    assert (HELLO, TRAIN) == ("query", "train")  # flwr.app.MessageType


class _Algorithm:
    losses = metrics = ("loss_g",)


def test_a_new_run_is_named_at_random_and_settings_of_the_server_are_its_own(tmp_path: Path) -> None:
    names = {server_settings(["attack=none"], tmp_path / "run").fl.backend.run for _ in range(2)}
    assert len(names) == 2
    with pytest.raises(ValueError, match="resume must be left away"):
        server_settings(["resume=elsewhere"], tmp_path / "run")


def test_a_hospital_sees_what_its_site_would_say(
    call: Callable[..., Any], image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(main, f"dataset.root={image_folder}", "dataset.image_size=32", f"folder={tmp_path / 'site'}")
    assert capsys.readouterr().out == "benign 24, malignant 24; 32 x 32, RGB\n"
    assert not (tmp_path / "site").exists()
    own = (f"dataset.root={image_folder}", "dataset.image_size=32", f"folder={tmp_path / 'site'}")
    call(main, *own, "attack=white_square", "attack.size=8")
    said = "attack: white_square of 8 x 8 pixels at the bottom right on this site's images, of which the server"
    assert capsys.readouterr().out.splitlines()[1:] == [f"{said} does not learn"]
    with pytest.raises(SystemExit, match=r"error: attack\.size must be at most 31"):
        call(main, *own, "attack=white_square", "attack.size=40")
    with pytest.raises(SystemExit, match="error: folder must be an absolute path: .*; got 'site9'$"):
        call(main, f"dataset.root={image_folder}", "folder=site9")
    with pytest.raises(SystemExit, match="error: folder must be a path; got null"):
        call(main, f"dataset.root={image_folder}")


def _public_key(curve: str = "SECP384R1") -> str:
    kinds = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(getattr(ec, curve)()).public_key()
    return public.public_bytes(kinds.Encoding.OpenSSH, kinds.PublicFormat.OpenSSH).decode()


def test_the_table_of_keys_is_read_as_ssh_keygen_writes_them(tmp_path: Path) -> None:
    kinds = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    keys = [_public_key(), _public_key("SECP256R1")]
    (tmp_path / "sites").write_text(f"# who is who\n\n1 {keys[1]} dr@hospital\n0 {keys[0]}\n")
    found = read_table(tmp_path / "sites", 2)
    for pem, client in found.items():
        own = kinds.load_pem_public_key(pem).public_bytes(kinds.Encoding.OpenSSH, kinds.PublicFormat.OpenSSH)
        assert own.decode() == keys[client]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0\n", "line 1 must be a client's id and its public key"),
        ("0 ssh-rsa AAAA\n", "line 1 must be a client's id and its public key"),
        ("zero ecdsa-sha2-nistp384 AAAA\n", "line 1 must be a client's id and its public key"),
        ("# nobody\n", r"a key for each client from 0 to 0 \(fl.num_clients=1\); got \[\]"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sites").write_text(text)
    with pytest.raises(ValueError, match=said) as refusal:
        read_table(tmp_path / "sites", 1)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="sites must be a file"):
        read_table(tmp_path / "nowhere", 1)


def test_one_key_cannot_be_two_clients(tmp_path: Path) -> None:
    key = _public_key()
    (tmp_path / "sites").write_text(f"0 {key}\n1 {key}\n")
    with pytest.raises(ValueError, match="line 2 must be a key that no other client has"):
        read_table(tmp_path / "sites", 2)


def test_facts_are_plain_json() -> None:
    message = write_order(ORDER, {})
    head = json.loads(message[8 : 8 + int.from_bytes(message[:8], "little")])
    assert json.loads(head["__metadata__"]["facts"])["round"] == 2


def test_a_round_that_a_malicious_site_trains_again_replaces_its_receipts(tmp_path: Path) -> None:
    file = tmp_path / "receipts.csv"
    for round_, changed in ((0, 5), (1, 6), (1, 7)):
        keep_receipts(file, round_, 3, {"images_changed": changed})
    head = "round,component,client,measure,value"
    assert file.read_text().splitlines() == [head, "0,attack,3,images_changed,5", "1,attack,3,images_changed,7"]
    keep_receipts(file, 0, 1, {"images_changed": 4})  # another site in the same folder
    assert len(file.read_text().splitlines()) == 4
    keep_receipts(file, 0, 3, {})  # the server has gone back to its start, and the attack rests
    assert file.read_text().splitlines() == [head, "0,attack,1,images_changed,4"]
