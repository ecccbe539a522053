"""Equal parts at random; more of them in tests/federated/test_data.py."""

import hashlib

import pytest

from fedgan.partitions.iid import iid


@pytest.mark.parametrize(
    ("count", "clients", "seed", "digest"), [(3297, 4, 0, "a6da741367869416"), (1003, 7, 5, "34ed602c1636e4ea")]
)
def test_the_parts_are_those_of_every_run_so_far(count: int, clients: int, seed: int, digest: str) -> None:
    """As version 0 dealt them: published runs can be repeated."""
    parts = iid(count, clients, seed)
    assert hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()[:16] == digest
