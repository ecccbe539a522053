"""Flower's processes on this machine: a SuperLink, SuperNodes with keys, and runs, all on 127.0.0.1 and all ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import fedgan.flower
from fedgan.core.checks import check
from fedgan.flower.keys import INSTALL

APP = Path(fedgan.flower.__path__[0]) / "hospital"
NAME = "loopback"  # of the SuperLink in Flower's configuration
GRACE = 20.0  # seconds for a process to end by itself


class Loopback:
    """A SuperLink with TLS and keys; leaving the context ends what was started, by the ids of its groups.

    Args:
        folder: for keys, certificates, logs and Flower's own files.

    Raises:
        ValueError: in one line, where Flower is missing.
    """

    def __init__(self, folder: Path) -> None:
        check(find_spec("flwr") is not None, "flwr", f"installed ({INSTALL})", None)
        self.folder, self.port = folder, free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> "Loopback":
        try:
            self._begin()
        except BaseException:
            stop(*self.processes)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        stop(*self.processes)

    def _begin(self) -> None:
        self.folder.joinpath("flwr").mkdir(parents=True)
        certificate = self.certificate("server")
        self.folder.joinpath("flwr", "config.toml").write_text(
            f'[superlink.{NAME}]\naddress = "127.0.0.1:{self.port}"\nroot-certificates = "{certificate}"\n'
        )
        tls = ["--ssl-ca-certfile", certificate, "--ssl-certfile", certificate]
        tls += ["--ssl-keyfile", certificate.with_suffix(".key"), "--enable-supernode-auth"]
        place = ["--host", "127.0.0.1", "--port", self.port, "--disable-runtime-dependency-installation"]
        self.start("link", "flower-superlink", *tls, *place)
        self._wait_for_port()

    def start(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        """A process in a group of its own; what it prints goes to ``<name>.log``."""
        words = [shutil.which(str(command[0])) or str(command[0]), *map(str, command[1:])]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        self.processes.append(process)
        return process

    def certificate(self, name: str) -> Path:
        """A new certificate of this machine, which is its own authority: ``<name>.crt``, next to it ``<name>.key``."""
        file = self.folder / f"{name}.crt"
        who = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        files = ["-keyout", str(file.with_suffix(".key")), "-out", str(file)]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *who, *files]
        subprocess.run(command, check=True, capture_output=True)
        return file

    def key(self, name: str) -> str:
        """A site's new private key in a file ``name``, and its public key in a line."""
        file = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(file)], check=True)
        return file.with_suffix(".pub").read_text()

    def flwr(self, *arguments: object) -> str:
        """What a command of ``flwr`` prints."""
        command = ["flwr", *map(str, arguments)]
        done = subprocess.run(command, check=True, env=self.environment, timeout=120, capture_output=True, text=True)
        return done.stdout

    def register(self, name: str) -> None:
        """Let a site with this key take part."""
        self.flwr("supernode", "register", self.folder / f"{name}.pub", NAME)

    def node(self, name: str, settings: str, *, root: str = "server") -> subprocess.Popen[bytes]:
        """A SuperNode.

        Args:
            name: of its key.
            settings: of its site.
            root: the certificate by which it knows the server.
        """
        known = ["--root-certificates", self.folder / f"{root}.crt", "--auth-supernode-private-key", self.folder / name]
        place = ["--superlink", f"127.0.0.1:{self.port}", "--host", "127.0.0.1", "--port", free_port()]
        return self.start(name, "flower-supernode", *known, *place, "--node-config", f'settings="{settings}"')

    def run(self, run: Path, sites: Mapping[int, str], *overrides: str) -> subprocess.Popen[bytes]:
        """One ``flwr run``, whose process ends with it.

        Args:
            run: the run's folder.
            sites: for each client its public key.
            overrides: of conf/config.yaml.
        """
        table = self.folder / f"{run.name}.sites"
        table.write_text("".join(f"{client} {key.strip()}\n" for client, key in sites.items()))
        settings = f'folder="{run}" sites="{table}" overrides="{" ".join(overrides)}"'
        return self.start(run.name, "flwr", "run", APP, NAME, "--run-config", settings, "--stream")

    def said(self, name: str) -> str:
        """What a process has printed."""
        return (self.folder / f"{name}.log").read_text()

    def _wait_for_port(self) -> None:
        end = time.monotonic() + 60.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return
            time.sleep(0.2)
        raise TimeoutError(f"no SuperLink on port {self.port} after 60 s: see {self.folder / 'link.log'}")


def free_port() -> int:
    """One that nothing listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """End processes and all that they have started: asked first, then made to."""
    everyone = family({process.pid for process in processes})
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE)
    for pid in everyone & family(everyone):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def family(roots: set[int]) -> set[int]:
    """These processes and all that they have started, some of which Flower puts into sessions of their own.

    Args:
        roots: ids of processes; those that have ended are left out.
    """
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            state, parent = place.joinpath("stat").read_text().rpartition(")")[2].split()[:2]
            parents |= {int(place.name): int(parent)} if state != "Z" else {}
    found, newer = set[int](), roots & parents.keys()
    while newer:
        found |= newer
        newer = {pid for pid, parent in parents.items() if parent in newer} - found
    return found
