"""What crosses the border between client and server, and the arithmetic of states.

A state is a model's ``state_dict``: names to tensors.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class ClientUpdate:
    """All that the server learns from a client in one round; never images, nor what else a client keeps.

    Attributes:
        client_id: in [0, N).
        num_examples: how many training images the client has.
        state: the client's generator G_i after its local steps.
        metrics: scalars of the local round under the names that the local algorithm declares
            (``LocalAlgorithm.metrics``); a GAN's are ``loss_g``, ``loss_d``, ``loss_g_last``, ``loss_g_final`` and
            ``loss_g_arrival``.
    """

    client_id: int
    num_examples: int
    state: State
    metrics: Mapping[str, float]


def weighted_mean(states: Sequence[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """G_server = sum_i w_i G_i (Eq. 3), with the weights divided by their sum.

    Sums run in float64, so that the mean of many clients loses nothing. Integer tensors (BatchNorm's
    ``num_batches_tracked``) take the weighted mean rounded to a whole number, so that a client with weight 0
    has no say there either.

    Args:
        states: one per client, with the same names, shapes and dtypes.
        weights: one per state, not negative, not all zero.

    Returns:
        The aggregate, in the dtypes of the states.

    Raises:
        ValueError: on weights that are no weights, or on states that do not match.

    Example:
        >>> weighted_mean([{"p": torch.tensor([0.0])}, {"p": torch.tensor([4.0])}], [3.0, 1.0])
        {'p': tensor([1.])}
    """
    shares = normalize(weights)
    if len(states) != len(shares):
        raise ValueError(f"one weight a state is needed; got {len(shares)} weights for {len(states)} states")
    for state in states[1:]:
        _check_same_layout(states[0], state)
    return {name: _mean_of([state[name] for state in states], shares) for name in states[0]}


def normalize(weights: Sequence[float]) -> list[float]:
    """The weights divided by their sum.

    Raises:
        ValueError: if one is negative or not finite, or if all are zero.

    Example:
        >>> normalize([1.0, 3.0])
        [0.25, 0.75]
    """
    total = sum(weights)
    if not (0.0 < total < float("inf")) or any(not weight >= 0.0 for weight in weights):
        raise ValueError(f"aggregation weights must be finite, not negative and not all zero; got {list(weights)}")
    return [weight / total for weight in weights]


def effective_clients(weights: Sequence[float]) -> float:
    """1 / sum_i w_i^2 for normalized weights: N when all count alike, 1 when one client decides all.

    Example:
        >>> effective_clients([1.0, 1.0, 1.0, 1.0])
        4.0
    """
    return 1.0 / sum(share**2 for share in normalize(weights))


def state_hash(state: State) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mean_of(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor, share in zip(tensors, shares, strict=True):
        total.add_(tensor.to(torch.float64), alpha=share)
    return (total if tensors[0].is_floating_point() else total.round_()).to(tensors[0].dtype)


def _check_same_layout(first: State, other: State) -> None:
    if first.keys() != other.keys():
        raise ValueError(f"states differ in their tensors: {sorted(first.keys() ^ other.keys())}")
    for name, tensor in first.items():
        if tensor.shape != other[name].shape or tensor.dtype != other[name].dtype:
            raise ValueError(
                f"states differ in {name}: {tensor.dtype} {tuple(tensor.shape)} "
                f"against {other[name].dtype} {tuple(other[name].shape)}"
            )
