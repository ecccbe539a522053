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


def test_every_client_has_an_image_or_is_refused() -> None:
    assert sorted(part.tolist() for part in iid(4, 4, seed=0)) == [[0], [1], [2], [3]]
    with pytest.raises(ValueError, match=r"^fl\.num_clients must be at most 3, the number of training images; got 4$"):
        iid(3, 4, seed=0)
