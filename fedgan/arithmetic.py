"""How a run's numbers are rounded (``trainer.precision``)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedgan.settings import TF32


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


def lightning_name(precision: str) -> str:
    """What Lightning, which knows nothing of TensorFloat-32, calls this precision.

    Example:
        >>> lightning_name("tf32-true"), lightning_name("bf16-mixed")
        ('32-true', 'bf16-mixed')
    """
    return "32-true" if precision == TF32 else precision
