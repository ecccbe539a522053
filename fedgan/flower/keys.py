"""Who is who: a file says which client has which public key; what a site says of itself counts for nothing."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

from annotated_types import Predicate

from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import check

INSTALL = "pip install 'fedgan[flower]'"
KEY_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def _is_file(path: Path) -> bool:
    return path.is_file()


KeyFile = Annotated[Path, Predicate(_is_file), Allowed("a file with a line for each client: its id, its public key")]


def read_table(file: Path, num_clients: int) -> dict[bytes, int]:
    """The clients' ids by their public keys, as PEM.

    Args:
        file: for each client a line with its id and its key as ``ssh-keygen -t ecdsa`` writes it into ``*.pub``;
            empty lines and those that begin with # are comments.
        num_clients: N; the ids are those from 0 to N - 1.

    Raises:
        ValueError: in one line.
    """
    validated("sites", KeyFile, file)
    lines = [(number, line.split()) for number, line in enumerate(file.read_text().splitlines(), start=1)]
    table: dict[bytes, int] = {}
    for number, words in (each for each in lines if each[1] and not each[1][0].startswith("#")):
        complete = len(words) >= 3 and words[0].isdecimal() and words[1] in KEY_TYPES
        allowed = f"a client's id and its public key ({KEY_TYPES[1]} AAAA...)"
        check(complete, f"sites: {file}, line {number}", allowed, " ".join(words)[:40])
        key = _as_pem(" ".join(words[1:3]), f"sites: {file}, line {number}")
        check(key not in table, f"sites: {file}, line {number}", "a key that no other client has", " ".join(words)[:40])
        table[key] = int(words[0])
    wanted = f"a file with a key for each client from 0 to {num_clients - 1} (fl.num_clients={num_clients})"
    check(sorted(table.values()) == list(range(num_clients)), "sites", wanted, sorted(table.values()))
    return table


def _as_pem(text: str, place: str) -> bytes:
    """A public key as Flower keeps it."""
    try:
        ssh = import_module("cryptography.hazmat.primitives.serialization")  # flwr brings it
    except ImportError as error:
        raise ValueError(f"sites: keys are read by the package cryptography: {INSTALL}") from error
    try:
        key = ssh.load_ssh_public_key(text.encode())
    except ValueError as error:
        raise ValueError(f"{place} must be a public key as ssh-keygen writes it; got {text[:40]!r}") from error
    pem: bytes = key.public_bytes(ssh.Encoding.PEM, ssh.PublicFormat.SubjectPublicKeyInfo)
    return pem
