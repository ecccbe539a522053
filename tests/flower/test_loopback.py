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
    from cryptography.hazmat.primitives import serialization as kinds
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    file.write_bytes(key.private_bytes(kinds.Encoding.PEM, kinds.PrivateFormat.OpenSSH, kinds.NoEncryption()))
    public = key.public_key().public_bytes(kinds.Encoding.OpenSSH, kinds.PublicFormat.OpenSSH)
    file.with_suffix(".pub").write_bytes(public)
    return public.decode()


def site_settings(folder: Path, client: int) -> str:
    own = " ".join(f"dataset.{name}={value}" for name, value in PHANTOM.items())
    kind = "dataset=chest_phantom dataset._target_=tests.helpers.flower.Hospital"
    return f"{kind} {own} +dataset.client={client} +dataset.clients=2 folder={folder / f'site_{client}'}"


def test_two_sites_over_flower(configure: Configure, tmp_path: Path) -> None:
    link, run = free_port(), tmp_path / "run"
    keys = [new_key(tmp_path / f"node{client}") for client in (0, 1)]
    (tmp_path / "sites.txt").write_text("".join(f"{client} {key}\n" for client, key in enumerate(keys)))
    config = tmp_path / "flwr" / "config.toml"
    environment(tmp_path)
    config.write_text(f'[superlink.loop]\naddress = "127.0.0.1:{link}"\ninsecure = true\n')
    with contextlib.ExitStack() as stack:
        at = f"127.0.0.1:{link}"
        superlink = ["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(link)]
        installed = "--disable-runtime-dependency-installation"
        processes = [stack.enter_context(started(tmp_path, "link", *superlink, installed))]
        time.sleep(10)
        for client in (1, 0):  # the order in which they connect does not matter
            node = ["flower-supernode", "--insecure", "--superlink", at, "--host", "127.0.0.1", "--port"]
            node += [str(free_port()), "--auth-supernode-private-key", str(tmp_path / f"node{client}")]
            node += ["--node-config", f'settings="{site_settings(tmp_path, client)}"']
            processes.append(stack.enter_context(started(tmp_path, f"node{client}", *node)))
        overrides = " ".join([*SETTINGS, "fl.num_clients=2", "fl.rounds=2"])
        settings = f'folder="{run}" sites="{tmp_path / "sites.txt"}" overrides="{overrides}"'
        begin = ["flwr", "run", str(APP), "loop", "--run-config", settings, "--stream"]
        stack.enter_context(started(tmp_path, "run", *begin))
        end = time.monotonic() + PATIENCE
        while not is_finished(run) and time.monotonic() < end and all(each.poll() is None for each in processes):
            time.sleep(1)
    assert is_finished(run), "".join(f"\n{log.name}\n{log.read_text()[-3000:]}" for log in tmp_path.glob("*.log"))
    local = [f"dataset.{name}={value}" for name, value in PHANTOM.items()]
    cfg = configure(*SETTINGS, *local, "fl.num_clients=2", "fl.rounds=2", tiny=False)
    training.train(cfg, tmp_path / "local")
    assert (run / "clients.csv").read_text() == (tmp_path / "local" / "clients.csv").read_text()
    ends = [json.loads((folder / "summary.json").read_text()) for folder in (run, tmp_path / "local")]
    assert ends[0]["generator_sha256"] == ends[1]["generator_sha256"]
