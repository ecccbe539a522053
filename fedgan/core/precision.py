"""How numbers are rounded (``trainer.precision``), and the same numbers twice."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from annotated_types import Predicate
from torch import nn

from fedgan.core.arguments import Allowed, also
from fedgan.core.memory import unfilled

TF32 = "tf32-true"
Network = TypeVar("Network", bound=nn.Module)


def laid_out(network: Network) -> Network:
    """``network`` with its weights in the memory layout that all networks compute in, channels last.

    Another layout sums in another order: some pixels of the images that a generator draws are then a gray level off.
    """
    return network.to(memory_format=torch.channels_last)


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Have a GPU round float32 to TensorFloat-32 where ``precision`` says so, and nowhere else.

    torch by itself lets a GPU do so in convolutions and not in products: neither float32 nor as fast as it could be.
    On a CPU it changes nothing.

    Args:
        precision: ``trainer.precision``.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == TF32
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Have ``device`` give the same numbers twice, in float32, where no Trainer does it.

    An operation of which a GPU has no deterministic form warns (under a Trainer it is an error).
    On a CPU it changes nothing.

    Args:
        device: cpu or cuda.
    """
    alike = nullcontext() if device == "cpu" else deterministic(True, warn_only=True)
    with rounding("32-true"), alike, unfilled():
        yield


@contextmanager
def deterministic(wanted: bool, *, warn_only: bool = False) -> Iterator[None]:
    """Have torch take deterministic algorithms, or not, and then again what it took before; new memory stays unfilled.

    Args:
        wanted: whether.
        warn_only: an operation that has none warns, and raises no error.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does; read when CUDA starts
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted, warn_only=warn_only)
    try:
        with unfilled():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def lightning_name(precision: str) -> str:
    """What Lightning, which knows nothing of TensorFloat-32, calls this precision.

    Example:
        >>> lightning_name("tf32-true"), lightning_name("bf16-mixed")
        ('32-true', 'bf16-mixed')
    """
    return "32-true" if precision == TF32 else precision


def cpu_name() -> str:
    """The processor's model and how many cores there are to use."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def is_here(device: str) -> bool:
    """Whether this machine has what ``device`` asks for, cpu, cuda, gpu or auto: without a GPU the CPU alone."""
    return device in ("cpu", "auto") or torch.cuda.is_available()


_Here = Annotated[str, Predicate(is_here), Allowed("cpu: no GPU is to be found here")]
Device = Annotated[Literal["cpu", "cuda"], also(_Here)]  # where a command computes
