"""The clients by id: as many as take part at once are modules on the device, the others wait as files."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

import torch
from pytorch_lightning.profilers import PassThroughProfiler, Profiler

from fedgan.federated.client_files import ClientFiles
from fedgan.federated.local import Client, Snapshot


class ClientPool:
    """Lends the client of an id: a module with all that is kept from round to round.

    A client that has not taken part yet is equal to all others at first, so nothing is stored for it.

    Args:
        make: a client as it is before its first round.
        count: how many there are.
        places: how many are modules at the same time; the least recently used makes room.
        files: where the others wait, and what checkpoints refer to; None where ``places`` is enough for all.

    Example:
        >>> len(ClientPool(make=lambda: None, count=3, places=3))
        3
    """

    def __init__(
        self, make: Callable[[], Client], *, count: int, places: int, files: ClientFiles | None = None
    ) -> None:
        assert files is not None or places >= count, "those that make room need files to wait in"
        self._make, self._count, self._places, self._files = make, count, places, files
        self._present: OrderedDict[int, Client] = OrderedDict()
        self._start: Snapshot | None = None  # of every client
        self._snapshots: dict[int, Snapshot | None] = {}
        self._changed: dict[int, int] = {}  # by id, in which round: not yet in a file
        self._device = torch.device("cpu")
        self._profiler: Profiler = PassThroughProfiler()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, client_id: int) -> Client:
        if not 0 <= client_id < self._count:
            raise IndexError(client_id)
        if client_id not in self._present:
            self._present[client_id] = self._admit(client_id)
        self._present.move_to_end(client_id)
        return self._present[client_id]

    @property
    def present(self) -> Collection[int]:
        """The ids of those that are modules now."""
        return self._present.keys()

    def snapshot(self, client_id: int) -> None:
        """Make sure that a client's current state can be restored; most often its file has it."""
        client = self[client_id]
        self._snapshots[client_id] = client.snapshot() if client_id in self._changed else None

    def put_back(self, client_id: int) -> None:
        """Give a client back the state of its last ``snapshot``."""
        kept = self._snapshots[client_id]
        self[client_id].restore(self._stored(client_id) if kept is None else copy.deepcopy(kept))

    def changed(self, client_id: int, round_: int) -> None:
        """Note that a client has trained in this round: its file is out of date."""
        self._changed[client_id] = round_

    def settle(self, device: torch.device, profiler: Profiler) -> None:
        """Put the modules, later ones too, on ``device`` and into the profile."""
        self._device, self._profiler = device, profiler
        for client in self._present.values():
            self._settle(client)

    def keep(self) -> None:
        """Write the states of those that have changed since they were last written."""
        for client_id in list(self._changed):
            self._write(client_id)

    def index(self, round_: int) -> dict[int, int]:
        """By id, after which round the state that each client has in ``round_`` was written, by whichever process."""
        assert self._files is not None
        return self._files.index(round_)

    def rewind(self, rounds: Mapping[int, int]) -> None:
        """Go back to the states that ``index`` returned.

        Raises:
            ValueError: in one line, if one of them is missing.
        """
        assert self._files is not None
        self._files.rewind(rounds)
        self._present.clear()
        self._changed.clear()

    def _admit(self, client_id: int) -> Client:
        client = self._free_place()
        if self._start is None:
            self._start = client.snapshot()
        client.restore(self._stored(client_id))
        return client

    def _stored(self, client_id: int) -> Snapshot:
        """A client's state as its file has it, or as every client's is before its first round; a copy."""
        stored = self._files.read(client_id) if self._files is not None else None
        assert self._start is not None
        # Optimizers take the tensors that they are given for their own: with Adagrad all would share one sum.
        return copy.deepcopy(self._start) if stored is None else stored

    def _free_place(self) -> Client:
        if len(self._present) < self._places:
            return self._settle(self._make())
        leaving = next(iter(self._present))
        if leaving in self._changed:
            self._write(leaving)
        return self._present.pop(leaving)

    def _settle(self, client: Client) -> Client:
        client.profiler = self._profiler
        client.to(self._device)
        return client

    def _write(self, client_id: int) -> None:
        assert self._files is not None
        self._files.write(client_id, self._changed.pop(client_id), self._present[client_id].lasting_state())
