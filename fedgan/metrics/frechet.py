"""Frechet distance in a classifier's features: how far synthetic images are from real ones as a federated_data."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedgan.metrics.features import FeatureDistance

Array = NDArray[np.float64]


class Gaussian(NamedTuple):
    """A mean (D,) and a covariance (D, D)."""

    mean: Array
    covariance: Array


def fit_gaussian(features: Array) -> Gaussian:
    """The mean and the unbiased covariance of the rows of ``features``, (N, D) with N >= 2.

    Raises:
        ValueError: with fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least two images of a class; got {len(features)}")
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """``|m_p - m_q|^2 + tr(S_p + S_q - 2 (S_p S_q)^(1/2))``, at least 0 (Heusel et al. 2017, Equation 6).

    The root's trace is that of ``(S_p^(1/2) S_q S_p^(1/2))^(1/2)``, a symmetric matrix: its eigenvalues are
    found stably also where there are fewer samples than features and the covariances are singular.

    Example:
        >>> p = Gaussian(np.zeros(2), np.diag([1.0, 4.0]))
        >>> q = Gaussian(np.array([3.0, 0.0]), np.diag([9.0, 4.0]))
        >>> round(frechet_distance(p, q), 12)  # 3^2 + (1 - 3)^2 + (2 - 2)^2
        13.0
    """
    root = _symmetric_root(p.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ q.covariance @ root)
    overlap = np.sqrt(eigenvalues.clip(min=0)).sum()  # rounding leaves tiny negative eigenvalues
    shift = np.square(p.mean - q.mean).sum()
    return max(0.0, float(shift + np.trace(p.covariance) + np.trace(q.covariance) - 2 * overlap))


def _symmetric_root(matrix: Array) -> Array:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T
    return root


class FrechetDistance(FeatureDistance):
    """The Frechet distance between synthetic and real test images of a class, in a classifier's features.

    Not the FID: the features are those of all layers of a small classifier trained on this data set's real
    training images, each in units of its standard deviation over the real test images, so values compare only
    between runs with the same data and classifier settings. The estimate is biased upwards with few images: compare
    it with the floor of as many.
    """

    names = ("frechet_classifier",)

    @staticmethod
    def distance(x: Tensor, y: Tensor) -> float:
        """Between Gaussians fitted to features (M, D) and (N, D), at least 0."""
        return frechet_distance(fit_gaussian(x.numpy()), fit_gaussian(y.numpy()))
