"""What crosses between the processes of one run: bytes, twice per round; with one process nothing does.

ClientPool are spread over the processes by id, and a client never moves. Tensors travel in the safetensors format, so
nothing that arrives is executed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from fedgan.core.update import ClientUpdate, State
from fedgan.federated.faults import Event


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 is the server's."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own(client_ids: Sequence[int]) -> list[int]:
    """Those of the clients that live in this process.

    Example:
        >>> own([0, 2, 5])  # one process has them all
        [0, 2, 5]
    """
    return [client_id for client_id in client_ids if client_id % size() == rank()]


def gather_updates(
    updates: Sequence[ClientUpdate], events: Sequence[Event], device: torch.device
) -> tuple[list[ClientUpdate], list[Event]]:
    """Everyone's updates, on ``device``, and events at the server's process, in the order of clients; elsewhere none.

    One process keeps its updates as they are.

    Raises:
        ConnectionError: if a process has ended.
    """
    if size() == 1:
        return list(updates), _in_order(events)
    received = [_unpack_updates(message, device) for message in _gather(_pack_updates(updates, events))]
    everyones = [update for part, _ in received for update in part]
    reported = [event for _, part in received for event in part]
    return sorted(everyones, key=lambda update: update.client_id), _in_order(reported)


def _in_order(events: Sequence[Event]) -> list[Event]:
    """By client; what is about none comes first."""
    return sorted(events, key=lambda event: -1 if event.client is None else event.client)


def share_fact(fact: Any) -> Any:
    """What the server's process says, a plain value, in every process.

    Raises:
        ConnectionError: if a process has ended.
    """
    return fact if size() == 1 else json.loads(_share(json.dumps(fact).encode()))


def share_state(state: State) -> State:
    """The server's state in every process, on the CPU where it was received.

    Raises:
        ConnectionError: if a process has ended.
    """
    return state if size() == 1 else load(_share(save(_plain(state)) if rank() == 0 else b""))


def _plain(state: State) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def pack(state: State, facts: Mapping[str, Any]) -> bytes:
    """Tensors, and plain values as JSON, in the safetensors format."""
    return save(_plain(state), metadata={"facts": json.dumps(facts)})


def unpack(message: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``pack`` was given, on the CPU; nothing is executed.

    Raises:
        ValueError: in one line, whatever else it is given.

    Example:
        >>> unpack(pack({"p": torch.ones(2)}, {"round": 3}))
        ({'p': tensor([1., 1.])}, {'round': 3})
        >>> unpack(b"no such message")
        Traceback (most recent call last):
        ...
        ValueError: no message of fedgan: neither tensors nor plain values can be read
    """
    try:
        return load(message), dict(_metadata(message))
    except Exception as error:  # whatever strange bytes lead to: there is no list of it
        raise ValueError("no message of fedgan: neither tensors nor plain values can be read") from error


def _pack_updates(updates: Sequence[ClientUpdate], events: Sequence[Event]) -> bytes:
    tensors = {f"{u.client_id}/{name}": tensor for u in updates for name, tensor in u.state.items()}
    about = [(u.client_id, u.num_examples, dict(u.metrics)) for u in updates]
    return pack(tensors, {"updates": about, "events": [asdict(event) for event in events]})


def _unpack_updates(message: bytes, device: torch.device) -> tuple[list[ClientUpdate], list[Event]]:
    facts, tensors = _metadata(message), load(message)

    def state_of(client_id: int) -> dict[str, Tensor]:
        own_names = (name for name in tensors if name.startswith(f"{client_id}/"))
        return {name.partition("/")[2]: tensors[name].to(device) for name in own_names}

    updates = [ClientUpdate(i, examples, state_of(i), metrics) for i, examples, metrics in facts["updates"]]
    return updates, [Event(**event) for event in facts["events"]]


def _metadata(message: bytes) -> Mapping[str, Any]:
    """What ``save`` was given as metadata: the library reads it from files only (the format: a length, then JSON)."""
    head = json.loads(message[8 : 8 + int.from_bytes(message[:8], "little")])
    facts: Mapping[str, Any] = json.loads(head["__metadata__"]["facts"])
    return facts


def _gather(message: bytes) -> list[bytes]:
    """Every process's message, at the first."""
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size())]
    with peers():
        distributed.all_gather(lengths, torch.tensor([len(message)]))
        if rank():
            distributed.send(_as_tensor(message), dst=0)
            return []
        received = [torch.empty(int(length), dtype=torch.uint8) for length in lengths[1:]]
        for source, tensor in enumerate(received, start=1):
            distributed.recv(tensor, src=source)
    return [message, *(tensor.numpy().tobytes() for tensor in received)]


def _share(message: bytes) -> bytes:
    """The first process's message, everywhere."""
    length = torch.tensor([len(message)])
    with peers():
        distributed.broadcast(length, src=0)
        content = _as_tensor(message) if rank() == 0 else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(content, src=0)
    return content.numpy().tobytes()


def _as_tensor(message: bytes) -> Tensor:
    return torch.frombuffer(bytearray(message), dtype=torch.uint8)


@contextmanager
def peers() -> Iterator[None]:
    """Say in one line that another process has ended: torch.distributed has many words for it.

    Raises:
        ConnectionError: instead of the error that its absence has led to.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in ("gloo", "by peer")):
            raise
        raise ConnectionError("another process of this run has ended, or cannot be reached") from error
