"""Keyed randomness: every random stream is named by its purpose, not by when it is used.

A stream depends on (seed, key) alone, so results do not depend on which client ran first, on which
process it ran, or on whether the run was interrupted.
"""

import hashlib

import torch


def derive_seed(seed: int, *key: int | str) -> int:
    """A seed in [0, 2**63) for the stream named ``key``.

    Example:
        >>> derive_seed(0, "round", 3) == derive_seed(0, "round", 3)
        True
        >>> derive_seed(0, "round", 3) == derive_seed(0, "round", 4)
        False
    """
    digest = hashlib.sha256(repr((seed, *key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keyed_generator(seed: int, *key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh ``torch.Generator`` on ``device`` for the stream named ``key``.

    Example:
        >>> g = keyed_generator(7, "client", 2, "training")
        >>> torch.randn(2, generator=g).shape
        torch.Size([2])
    """
    return torch.Generator(device).manual_seed(derive_seed(seed, *key))
