"""What components of anybody's must return: a breach stops the run in one line that names the component."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from fedgan.core.images import ImageSet
from fedgan.core.update import ClientUpdate, State

TOLERANCE = 1e-6  # of a sum of weights


def check_updates(place: str, returned: object, given: Sequence[ClientUpdate]) -> None:
    """Updates: one for each of those given, in their order.

    Raises:
        ValueError: in one line.
    """
    ids = [update.client_id for update in given]
    is_list = isinstance(returned, Sequence) and all(isinstance(each, ClientUpdate) for each in returned)
    got = [update.client_id for update in returned] if is_list else returned  # type: ignore[attr-defined]
    if got != ids:
        one_each = f"an update for each of the clients {ids}, in this order"
        raise ValueError(f"{place} must return {one_each}; got {_kind(got)}")


def check_kind(place: str, returned: object, kind: type) -> None:
    """An object of a class.

    Raises:
        ValueError: in one line.
    """
    if not isinstance(returned, kind):
        raise ValueError(f"{place} must return a {kind.__module__}.{kind.__name__}; got {_kind(returned)}")


def check_weights(place: str, weights: Mapping[int, float], clients: Sequence[int]) -> None:
    """Weights: one for each client that took part, not negative, summing to 1.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_weights("fl.weighting", {0: 1.0}, [0, 1])
        Traceback (most recent call last):
        ...
        ValueError: fl.weighting must return weights of at least 0 that sum to 1, for clients [0, 1]; got {0: 1.0}
    """
    complete = isinstance(weights, Mapping) and set(weights) == set(clients)
    if not complete or any(not weight >= 0 for weight in weights.values()) or not _sum_to_one(weights.values()):
        got = dict(weights) if isinstance(weights, Mapping) else _kind(weights)
        allowed = f"weights of at least 0 that sum to 1, for clients {sorted(clients)}"
        raise ValueError(f"{place} must return {allowed}; got {got}")


def check_rewind(place: str, returned: object, longest: int) -> None:
    """A number of rounds to be set back: whole, from 0 to the most that was announced.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_rewind("defense.mine: rewinds", 3, longest=2)
        Traceback (most recent call last):
        ...
        ValueError: defense.mine: rewinds must return an int from 0 to longest_rewind, which is 2; got 3
    """
    if type(returned) is not int or not 0 <= returned <= longest:
        raise ValueError(f"{place} must return an int from 0 to longest_rewind, which is {longest}; got {returned!r}")


def check_state(place: str, state: State, reference: State) -> None:
    """A state: the names and shapes of the one that was sent out, every number finite.

    Raises:
        ValueError: in one line.
    """
    if not isinstance(state, Mapping) or state.keys() != reference.keys():
        got = sorted(set(state) ^ set(reference)) if isinstance(state, Mapping) else _kind(state)
        raise ValueError(f"{place} must return a state with the names of the generator's; not so: {got}")
    for name, tensor in state.items():
        if tensor.shape != reference[name].shape:
            shapes = f"{tuple(reference[name].shape)}; got {tuple(tensor.shape)}"
            raise ValueError(f"{place} must return {name} in the shape {shapes}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{place} must return a state of finite numbers; {name} has others")


def check_parts(parts: Sequence[Tensor], num_clients: int, count: int) -> None:
    """A partition's parts: ``num_clients`` of them, ascending, disjoint, in [0, count).

    Raises:
        ValueError: in one line.
    """
    place = "partition must return"
    if len(parts) != num_clients:
        raise ValueError(f"{place} a part for each of the {num_clients} clients; got {len(parts)}")
    for i, part in enumerate(parts):
        if not isinstance(part, Tensor) or part.dtype != torch.int64 or part.dim() != 1:
            raise ValueError(f"{place} parts that are int64 tensors of indices; client {i} has {_kind(part)}")
        if len(part) and (bool((part.diff() <= 0).any()) or part[0] < 0 or part[-1] >= count):
            ordered = f"indices in ascending order, each once, from 0 to {count - 1}"
            raise ValueError(f"{place} {ordered}; client {i} has others")
    indices = torch.cat(list(parts)).tolist()
    if shared := len(indices) - len(set(indices)):
        raise ValueError(f"{place} parts without a common image; {shared} are shared")


def check_changed(shares: Sequence[ImageSet], dealt: Sequence[ImageSet]) -> None:
    """Clients' images as a partition changed them: as many of the same shape, with the labels that they had.

    Raises:
        ValueError: in one line.
    """
    for i, (share, before) in enumerate(zip(shares, dealt, strict=True)):
        check_kind("partition: change", share, ImageSet)
        if share.images.shape != before.images.shape or not torch.equal(share.labels, before.labels):
            raise ValueError(
                f"partition: change must return as many images of the same shape with the same labels; client {i} has "
                f"others, {tuple(share.images.shape)} instead of {tuple(before.images.shape)}"
            )


def versions(updates: Sequence[ClientUpdate]) -> list[int]:
    """What torch counts up when a tensor is changed in place, for all tensors of all updates."""
    tensors = [tensor for update in updates for tensor in update.state.values() if not tensor.is_inference()]
    return [tensor._version for tensor in tensors]


def _sum_to_one(weights: Iterable[float]) -> bool:
    return math.isclose(sum(weights), 1.0, rel_tol=0, abs_tol=TOLERANCE)


def _kind(value: object) -> str:
    """A list of ids as it is, anything else by its class."""
    ids = isinstance(value, list) and all(isinstance(each, int | str) for each in value)
    return repr(value) if ids else type(value).__name__
