"""Memory that one step frees is there for the next, as it was left."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_memory() -> bool:
    """Have the C library keep what is freed, instead of handing it back to the system (glibc; nothing elsewhere).

    A step on the CPU frees the same large tensors that the next one asks for. glibc maps those above its threshold
    (32 MiB at most) anew each time, and the kernel clears every page of them: a fifth of the time of a StyleGAN2 step
    at 64 x 64. The price: memory stays at the process's peak, which itself rises by a tenth there.

    Returns:
        Whether the C library took it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, -1))


@contextmanager
def unfilled() -> Iterator[None]:
    """Have torch leave new memory as it is.

    With deterministic algorithms torch first writes NaN into every new tensor, so that a program that reads what
    nobody wrote at least reads the same twice. Networks here do not (tests compare the bits), and on small ones it
    takes a twentieth of the time.
    """
    memory: Any = torch.utils.deterministic  # a module whose setting torch's type hints do not have
    before = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = before
