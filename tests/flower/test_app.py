"""The two apps as Flower loads and calls them; skipped where Flower is missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fedgan
from fedgan.flower.grid import GridLink, unwrapped, wrapped
from fedgan.flower.letters import read_hello
from fedgan.flower.sites import HELLO, TRAIN
from tests.helpers.flower import PHANTOM

flwr = pytest.importorskip("flwr.app", reason="pip install 'fedgan[flower]'")


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower tells a process which task it is before it loads an app."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("task_id", "run_id", "node_id"):
        monkeypatch.setattr(TaskIdentity, f"_{name}", 1)


def context(folder: Path) -> Any:
    own = " ".join(f"dataset.{name}={value}" for name, value in PHANTOM.items())
    settings = f"dataset=chest_phantom {own} folder={folder / 'site'}"
    return flwr.Context(
        1, 7, {"settings": settings, "partition-id": 3}, flwr.RecordDict(), {"settings": "dataset=isic"}
    )


def letter(body: bytes, kind: str) -> Any:
    message = flwr.Message(wrapped(body), 7, kind)
    message.metadata.__dict__["_message_id"] = "a"  # a Grid gives it one
    return message


def test_flower_finds_both_apps() -> None:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

    from fedgan.flower import app

    assert isinstance(app.client, ClientApp)
    assert isinstance(app.server, ServerApp)


def test_a_site_answers_with_its_own_settings_not_the_runs(tmp_path: Path) -> None:
    from fedgan.flower import app

    reply = app.client(letter(b"", HELLO), context(tmp_path))
    answer = unwrapped(reply)
    assert isinstance(answer, bytes)
    assert read_hello(answer, fedgan.__version__).counts == (32, 32)


def test_of_an_error_the_server_learns_the_kind_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fedgan.flower import app

    reply = app.client(letter(b"\x80\x04pickled", TRAIN), context(tmp_path))
    assert reply.error.reason == "ValueError"
    assert capsys.readouterr().err.splitlines() == [
        "error: ValueError: no message of fedgan: neither tensors nor plain values can be read"
    ]


def test_a_run_that_is_refused_says_so_where_flower_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    from fedgan.flower import app

    own = flwr.Context(1, 7, {}, flwr.RecordDict(), {"folder": "run", "sites": "sites.txt", "overrides": ""})
    line = "folder must be an absolute path: Flower starts the server where it likes; got 'run'"
    with pytest.raises(app.RefusedError) as ended:  # an Exception: of any other end Flower sends no words on
        app.server(None, own)
    assert str(ended.value) == line
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ((3, "secret\nwords"), "Flower: error 3"),
        ((0, "OSError"), "OSError"),
        ((0, "secret words"), "Flower: error 0"),
        ((8, "OSError"), "Flower: error 8"),
    ],
)
def test_a_grid_carries_bytes_and_kinds_of_errors(error: tuple[int, str], said: str) -> None:
    class Grid:
        def send_and_receive(self, messages: list[Any], *, timeout: float | None) -> list[Any]:
            asked = {message.metadata.dst_node_id: dict(message.content["fedgan"])["body"] for message in messages}
            assert (asked, timeout) == ({7: b"ask", 8: b"me"}, 5.0)
            answers = [flwr.Message(wrapped(b"said"), reply_to=_from(messages[0], 7))]
            gone = flwr.Message(flwr.Error(5, "node gone"), reply_to=_from(messages[0], 7))
            gone.metadata.__dict__["_src_node_id"] = 1  # Flower's own, of a node that it has given up
            answers.append(gone)
            return [*answers, flwr.Message(flwr.Error(*error), reply_to=_from(messages[1], 8))]

    found = GridLink(Grid()).ask(TRAIN, {7: b"ask", 8: b"me"}, 5.0)
    assert found == {7: b"said", 8: said}


def _from(message: Any, node: int) -> Any:
    message.metadata.__dict__["_message_id"] = "a"
    assert message.metadata.dst_node_id == node
    return message


def test_nothing_of_fedgan_waits_for_flower() -> None:
    loads = "import sys, fedgan.flower.app, fedgan.flower.server, fedgan.flower.site; sys.exit('flwr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads]).returncode == 0
