"""Kernel distance in a classifier's features: like the Frechet distance, but unbiased with few images."""

import torch
from torch import Tensor

from fedgan.metrics.features import FeatureDistance

_BLOCK = 1024  # rows of the kernel matrix in memory at once


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """``(x . y / D + 1)^3`` of all pairs: (M, D) and (N, D) to (M, N) (Binkowski et al. 2018, Section 4)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy under that kernel; 0 or less where nothing differs.

    Gretton et al. 2012, Equation 3: means over pairs of different rows of ``x``, of different rows of ``y``, minus
    twice that over pairs from both.

    Args:
        x: float64, (M, D), M >= 2.
        y: float64, (N, D), N >= 2.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.0]]).double(), torch.tensor([[1.0], [1.0]]).double()
        >>> squared_mmd(x, y)  # 1 + 2^3 - 2 * 1
        7.0
    """
    return _mean_of_others(x) + _mean_of_others(y) - 2 * _total(x, y) / (len(x) * len(y))


def _mean_of_others(x: Tensor) -> float:
    with_itself = (x.square().mean(dim=1) + 1) ** 3
    return (_total(x, x) - float(with_itself.sum())) / (len(x) * (len(x) - 1))


def _total(x: Tensor, y: Tensor) -> float:
    return sum(float(polynomial_kernel(block, y).sum()) for block in torch.split(x, _BLOCK))


class KernelDistance(FeatureDistance):
    """The squared kernel distance between synthetic and real test images of a class, in a classifier's features.

    The same features as the Frechet distance's, and like it no KID. Without bias a perfect generator scores 0 on
    average, and may score less.
    """

    names = ("kernel_classifier",)

    @staticmethod
    def distance(x: Tensor, y: Tensor) -> float:
        """``squared_mmd`` of features (M, D) and (N, D)."""
        return squared_mmd(x, y)
