"""Evidence that a client's images differ from the others' at one place, round after round; and how rare that is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from fedgan.defenses.audit.views import Map

Plane = NDArray[np.float64]  # (H, W)

NEIGHBORHOOD = 5  # pixels: of the box over which the scale of what is usual is averaged
SPOT = 3  # pixels: of the box over which evidence is gathered
LARGEST_STEP = 5.0  # in scales: one round alone cannot decide
STEADINESS = 0.9  # of the distribution's parameters: what is kept of them from round to round
BLOCK = 8  # pixels: maxima of blocks of this size make the distribution that a client is compared with
_NOTHING = 1e-12  # keeps images that are all one from dividing by 0
_MAD = 1.4826  # the standard deviation of a normal variable whose median absolute value is 1


class Finding(NamedTuple):
    """How much a client stands out in a view.

    Attributes:
        score: -ln of the probability that the client with the most evidence has so much if all are alike, at least 0.
        row: of the place with the most evidence.
        column: of that place.
    """

    score: float
    row: int
    column: int


class Tail(NamedTuple):
    """Gumbel's distribution.

    Attributes:
        middle: its median.
        width: its scale parameter, at least 0.
    """

    middle: float
    width: float


class Evidence:
    """What has been seen of each client in one view.

    In round t each client's map is compared with the median of the others'. The difference, less its mean over a box,
    is divided by what is usual at that place (the median over clients, averaged over a box and all rounds so far), cut
    at ``LARGEST_STEP``, and added up: S <- memory S + z. Divided by the root of the sum of the squared factors, what
    stays at one place grows with the root of the number of rounds, and what wanders does not.

    How rare a client's largest evidence is, is judged by the others'. The maxima over blocks of the other clients' maps
    are taken for a sample of Gumbel's distribution (Fisher and Tippett 1928: that of maxima), whose two parameters are
    set by their quartiles, which a few blocks with a trigger do not move, and averaged over rounds, the older with less
    weight: three clients alone have too few blocks. The probability is that of any of the blocks of all clients
    exceeding the client's largest.

    Args:
        memory: in (0, 1]; 1 never forgets.
        background: pixels, of the box whose mean is taken away, so that drifts of brightness do not count.
        equalized: whether each client's own gain, offset and mix of colors do not count either; see ``deviations``.
    """

    def __init__(self, memory: float, background: int, equalized: bool = False) -> None:
        self.memory, self.background, self.equalized = memory, background, equalized
        self.tails: dict[int, tuple[float, float, float]] = {}  # sums of middles and widths, and of their weights
        self.sums: dict[int, Map] = {}
        self.factors: dict[int, float] = {}  # sums of the squared factors
        self.usual: Map | None = None
        self.rounds = 0

    def add(self, maps: Mapping[int, Map]) -> dict[int, Plane]:
        """Take a round in.

        Args:
            maps: of the clients that took part, at least three.

        Returns:
            Each client's evidence by place, at least 0.
        """
        steps = deviations(np.stack(list(maps.values())), self.background, self.equalized)
        usual = smooth(np.median(np.abs(steps), axis=0), NEIGHBORHOOD)
        self.usual, self.rounds = usual if self.usual is None else self.usual + usual, self.rounds + 1
        scale = np.maximum(_MAD * self.usual / self.rounds, _NOTHING)
        found = {}
        for client, step in zip(maps, np.clip(steps / scale, -LARGEST_STEP, LARGEST_STEP), strict=True):
            self.sums[client] = self.memory * self.sums.get(client, 0.0) + step
            self.factors[client] = self.memory**2 * self.factors.get(client, 0.0) + 1.0
            squared = self.sums[client] ** 2 / self.factors[client]
            found[client] = np.sqrt(smooth(squared, SPOT).sum(axis=0))
        return found

    def judge(self, evidence: Mapping[int, Plane]) -> dict[int, Finding]:
        """How rare each client's largest evidence is; see the class.

        Args:
            evidence: of each client that took part, at least two: what ``add`` returned, each once.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> planes = {i: np.abs(rng.normal(size=(32, 32))) for i in range(4)}
            >>> planes[2][20:23, 5:8] += 9
            >>> found = Evidence(0.95, 9).judge(planes)
            >>> max(found, key=lambda i: found[i].score), found[2].score > 10, max(found[i].score for i in (0, 1)) < 3
            (2, True, True)
        """
        maxima = {client: block_maxima(plane) for client, plane in evidence.items()}
        count = sum(len(each) for each in maxima.values())
        found = {}
        for client, plane in evidence.items():
            others = np.concatenate([each for other, each in maxima.items() if other != client])
            row, column = np.unravel_index(int(plane.argmax()), plane.shape)
            tail = self._steady(client, tail_of(others))
            found[client] = Finding(surprise(float(plane.max()), tail, count), int(row), int(column))
        return found

    def _steady(self, client: int, tail: Tail) -> Tail:
        middles, widths, weights = (STEADINESS * each for each in self.tails.get(client, (0.0, 0.0, 0.0)))
        middles, widths, weights = self.tails[client] = (middles + tail.middle, widths + tail.width, weights + 1.0)
        return Tail(middles / weights, widths / weights)

    def state_dict(self) -> dict[str, Any]:
        """As plain values and tensors."""
        usual = None if self.usual is None else torch.from_numpy(self.usual)
        sums = {client: torch.from_numpy(each) for client, each in self.sums.items()}
        tails = {client: list(each) for client, each in self.tails.items()}
        return {"sums": sums, "factors": dict(self.factors), "usual": usual, "rounds": self.rounds, "tails": tails}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.sums = {client: each.cpu().numpy() for client, each in state["sums"].items()}
        self.factors, self.rounds = dict(state["factors"]), int(state["rounds"])
        self.tails = {client: (each[0], each[1], each[2]) for client, each in state["tails"].items()}
        self.usual = None if state["usual"] is None else state["usual"].cpu().numpy()


def deviations(maps: Map, background: int, equalized: bool = False) -> Map:
    """Each client's map less the median of the others', less its mean over a box: (N, K, H, W), N >= 2.

    Args:
        maps: (N, K, H, W).
        background: pixels per side of the box.
        equalized: whether the median is first brought to the client's colors (``recolored``): another scanner changes
            all of an image alike, a trigger does not.

    Example:
        >>> maps = np.zeros((4, 1, 16, 16))
        >>> maps[2, 0, 3, 3] = 81.0
        >>> deviations(maps, 9)[:, 0, 3, 3]
        array([ 0.,  0., 80.,  0.])
    """
    apart: Map = maps - np.stack([others_of(maps, i, equalized) for i in range(len(maps))])
    return apart - smooth(apart, background)


def others_of(maps: Map, client: int, equalized: bool) -> Map:
    """What a client is compared with: the median of the others' maps, (K, H, W); see ``deviations``.

    Args:
        maps: (N, K, H, W).
        client: the index of its map.
        equalized: whether the median is brought to the client's colors.
    """
    median: Map = np.median(np.delete(maps, client, axis=0), axis=0)
    return recolored(median, maps[client]) if equalized else median


def recolored(image: Map, target: Map) -> Map:
    """An image with the colors of another: the affine map of its channels that fits the target best (least squares).

    Each channel becomes a weighted sum of all channels and a constant, the same at every pixel: for one channel a gain
    and an offset.

    Args:
        image: (C, H, W).
        target: (C, H, W).

    Example:
        >>> image = np.random.default_rng(0).normal(size=(3, 8, 8))
        >>> warmer = np.stack([1.2 * image[0] + 0.1 * image[1] - 7, image[1], 0.8 * image[2]])
        >>> np.allclose(recolored(image, warmer), warmer)
        True
    """
    pixels = np.vstack([image.reshape(len(image), -1), np.ones(image[0].size)]).T
    weights = np.linalg.lstsq(pixels, target.reshape(len(target), -1).T, rcond=None)[0]
    near: Map = (pixels @ weights).T.reshape(target.shape)
    return near


def smooth(maps: Map, box: int) -> Map:
    """The mean over a box of ``box`` pixels per side, edges repeated: (..., H, W)."""
    averaged: Map = uniform_filter(maps, size=(1,) * (maps.ndim - 2) + (box, box), mode="nearest")
    return averaged


def block_maxima(plane: Plane) -> NDArray[np.float64]:
    """The largest value in each block of ``BLOCK`` pixels per side; what is left at the edges is a block too."""
    rows = np.maximum.reduceat(plane, np.arange(0, plane.shape[0], BLOCK), axis=0)
    maxima: NDArray[np.float64] = np.maximum.reduceat(rows, np.arange(0, plane.shape[1], BLOCK), axis=1).ravel()
    return maxima


def tail_of(sample: NDArray[np.float64]) -> Tail:
    """Gumbel's distribution with a sample's quartiles.

    Example:
        >>> sample = -np.log(-np.log(np.arange(0.0005, 1, 0.001)))  # the quantiles of the standard distribution
        >>> tail = tail_of(sample)
        >>> round(tail.middle, 2), round(tail.width, 2)
        (0.37, 1.0)
    """
    low, middle, high = np.quantile(sample, (0.25, 0.5, 0.75))
    return Tail(float(middle), float(high - low) / (_gumbel(0.75) - _gumbel(0.25)))


def surprise(value: float, tail: Tail, count: int) -> float:
    """-ln of the probability that the largest of ``count`` draws exceeds ``value``; 0 where draws have no spread.

    Args:
        value: that is judged.
        tail: the distribution of the draws.
        count: how many draws there are in all.

    Example:
        >>> standard = Tail(-np.log(np.log(2)), 1.0)
        >>> round(surprise(10.0, standard, count=1), 1), round(surprise(10.0, standard, count=100), 1)
        (10.0, 5.4)
    """
    if tail.width <= 0:
        return 0.0
    standard = (value - tail.middle) / tail.width + _gumbel(0.5)
    single = -np.expm1(-np.exp(-standard))  # of one draw; exact where it is tiny
    return float(max(0.0, -np.log(max(-np.expm1(count * np.log1p(-min(single, 1 - 1e-16))), 1e-300))))


def _gumbel(share: float) -> float:
    """The quantile of Gumbel's standard distribution."""
    return float(-np.log(-np.log(share)))
