"""Flower itself: a SuperLink and two SuperNodes on this machine; minutes, run by hand."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import DictConfig

import fedgan.flower
from fedgan.config import training
from fedgan.runs.folder import is_finished
from tests.helpers.flower import PHANTOM, SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("flwr") is None, reason="pip install 'fedgan[flower]'"),
]
Configure = Callable[..., DictConfig]
APP = Path(fedgan.flower.__path__[0]) / "hospital"
PATIENCE = 240.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Flower with its children; both are ended by their group's id."""
    command = [shutil.which(arguments[0]) or arguments[0], *arguments[1:]]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(folder), start_new_session=True)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def environment(folder: Path) -> dict[str, str]:
    home = folder / "flwr"
    home.mkdir(exist_ok=True)
    return os.environ | {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1"}


def new_key(file: Path) -> str:
    """A site's private key in a file, and its public key in a line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(file)], check=True)
    return file.with_suffix(".pub").read_text()


def new_certificate(folder: Path) -> None:
    """server.key and server.crt, of this machine, which is its own authority."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)


def register(folder: Path, client: int) -> None:
    command = ["flwr", "supernode", "register", str(folder / f"node{client}.pub"), "loop"]
    subprocess.run(command, check=True, env=environment(folder), timeout=120, capture_output=True)


def site_settings(folder: Path, client: int) -> str:
    own = " ".join(f"dataset.{name}={value}" for name, value in PHANTOM.items())
    kind = "dataset=chest_phantom dataset._target_=tests.helpers.flower.Hospital"
    return f"{kind} {own} +dataset.client={client} +dataset.clients=2 folder={folder / f'site_{client}'}"


def superlink(folder: Path, port: int) -> list[str]:
    certificate = folder / "server.crt"
    tls = ["--ssl-ca-certfile", certificate, "--ssl-certfile", certificate, "--ssl-keyfile", folder / "server.key"]
    place = ["--host", "127.0.0.1", "--port", port, "--disable-runtime-dependency-installation"]
    return [str(each) for each in ("flower-superlink", *tls, "--enable-supernode-auth", *place)]


def supernode(folder: Path, port: int, client: int) -> list[str]:
    known = ["--root-certificates", folder / "server.crt", "--auth-supernode-private-key", folder / f"node{client}"]
    place = ["--superlink", f"127.0.0.1:{port}", "--host", "127.0.0.1", "--port", free_port()]
    settings = ["--node-config", f'settings="{site_settings(folder, client)}"']
    return [str(each) for each in ("flower-supernode", *known, *place, *settings)]


def run_over_flower(folder: Path, run: Path, overrides: str) -> None:
    """Until the run is finished, a process has ended, or patience has."""
    port, certificate = free_port(), folder / "server.crt"
    home = Path(environment(folder)["FLWR_HOME"])
    home.joinpath("config.toml").write_text(
        f'[superlink.loop]\naddress = "127.0.0.1:{port}"\nroot-certificates = "{certificate}"\n'
    )
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(started(folder, "link", *superlink(folder, port)))]
        time.sleep(10)
        for client in (1, 0):  # the order in which they connect does not matter
            register(folder, client)
            processes.append(stack.enter_context(started(folder, f"node{client}", *supernode(folder, port, client))))
        settings = f'folder="{run}" sites="{folder / "sites.txt"}" overrides="{overrides}"'
        begin = ["flwr", "run", str(APP), "loop", "--run-config", settings, "--stream"]
        stack.enter_context(started(folder, "run", *begin))
        end = time.monotonic() + PATIENCE
        while not is_finished(run) and time.monotonic() < end and all(each.poll() is None for each in processes):
            time.sleep(1)


def test_two_sites_over_flower(configure: Configure, tmp_path: Path) -> None:
    run, own = tmp_path / "run", [*SETTINGS, "fl.num_clients=2", "fl.rounds=2"]
    new_certificate(tmp_path)
    keys = [new_key(tmp_path / f"node{client}") for client in (0, 1)]
    (tmp_path / "sites.txt").write_text("".join(f"{client} {key}" for client, key in enumerate(keys)))
    run_over_flower(tmp_path, run, " ".join(own))
    assert is_finished(run), "".join(f"\n{log.name}\n{log.read_text()[-3000:]}" for log in tmp_path.glob("*.log"))
    local = [f"dataset.{name}={value}" for name, value in PHANTOM.items()]
    training.train(configure(*own, *local, tiny=False), tmp_path / "local")
    assert (run / "clients.csv").read_text() == (tmp_path / "local" / "clients.csv").read_text()
    ends = [json.loads((folder / "summary.json").read_text()) for folder in (run, tmp_path / "local")]
    assert ends[0]["generator_sha256"] == ends[1]["generator_sha256"]
