"""Pretrained networks: their weights come from a file or the net, as tensors and nothing else."""

import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from annotated_types import Predicate
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedgan.core.arguments import Allowed, PathText
from fedgan.core.update import State
from fedgan.metrics.base import Unavailable

T = TypeVar("T")


def _is_file(path: str) -> bool:
    return Path(path).expanduser().is_file()


WeightsFile = Annotated[PathText, Predicate(_is_file), Allowed("a file")]

_failed: ContextVar[dict[str, Exception] | None] = ContextVar("_failed", default=None)  # see ``one_try_each``
_TIMEOUT = 10.0  # s without an answer, for each address that a host has; a machine without network should not wait long
# What a missing, damaged or foreign file leads to, or a network that is not there.
_UNUSABLE = (
    *(OSError, EOFError, HTTPException, SafetensorError, pickle.UnpicklingError),
    *(RuntimeError, LookupError, TypeError, AttributeError, ValueError),
)


def pretrained(build: Callable[[State], T], *, setting: str, weights: str | None, url: str) -> T:
    """What ``build`` makes of a state dict, which is read with ``weights_only=True``: no code in it is run.

    Args:
        build: makes the network.
        setting: what the error calls ``weights``.
        weights: a ``WeightsFile``, .pth or .safetensors; None for the download, kept where torch.hub keeps its own.
        url: of the download.

    Raises:
        ValueError: in one line, if the file cannot be read or is not this network's.
        Unavailable: in one line, if there is no download.
    """
    if weights is None:
        try:
            return build(_download(url))
        except _UNUSABLE as error:
            reason = " ".join(str(error).split())[:200]
            remedy = f"download it elsewhere and give {setting}=FILE"
            raise Unavailable(f"{setting} is null and {url} is out of reach ({reason}): {remedy}") from error
    try:
        return build(read_weights(Path(weights).expanduser()))
    except _UNUSABLE as error:
        raise ValueError(f"{setting} must contain a state dict like {url}; got {weights!r}") from error


def read_weights(path: Path) -> State:
    """A .safetensors file's or a pickle's tensors; no code in it is run."""
    safe = path.suffix == ".safetensors"
    state: State = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    return state


@contextmanager
def one_try_each() -> Iterator[None]:
    """Within, a download that has failed is not tried again: several metrics want one file, and a firewall is slow."""
    token = _failed.set({})
    try:
        yield
    finally:
        _failed.reset(token)


def _download(url: str) -> State:
    failed = _failed.get()
    if failed is not None and url in failed:
        raise failed[url]
    try:
        with downloading():
            state: State = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except _UNUSABLE as error:
        if failed is not None:
            failed[url] = error
        raise
    return state


@contextmanager
def downloading() -> Iterator[None]:
    """Within, torch.hub gives up after ``_TIMEOUT`` without an answer, and speaks on stderr: it does neither itself."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def to_rgb(images: Tensor) -> Tensor:
    """Gray images as RGB: (N, 1 or 3, H, W) to (N, 3, H, W).

    Example:
        >>> to_rgb(torch.zeros(2, 1, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """
    return images.expand(-1, 3, -1, -1)
