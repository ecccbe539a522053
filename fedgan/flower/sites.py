"""The sites that are connected, by the client's id that their key has."""

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import fedgan
from fedgan.federated.engines.sites import SiteFacts
from fedgan.flower.letters import read_hello

HELLO, TRAIN = "query", "train"  # Flower's types of messages
LONGEST = 200  # characters of what a site says of a failure


class Link(Protocol):
    """Carries messages to nodes; ``grid.GridLink`` does it over Flower."""

    def nodes(self) -> Mapping[int, bytes]:
        """The nodes that are connected: by Flower's number the public key, as PEM, that the node has shown it has."""

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        """Each node's answer, or in words why it has none; nothing of those that were lost or took too long.

        Args:
            kind: HELLO or TRAIN.
            messages: by node.
            timeout: in seconds; None: until each has answered or is lost.
        """


class KeyedSites:
    """``Sites`` over a link; a node is the client that the table says of its key, however often it restarts.

    Args:
        link: to the nodes.
        table: the clients' ids by their public keys; a node with any other key is refused.
        settings: what sites train with, as ``settings.to_send`` returns them.
        pause: seconds between two looks for a site that is not connected.
    """

    def __init__(self, link: Link, table: Mapping[bytes, int], settings: dict[str, Any], *, pause: float = 1.0) -> None:
        self.link, self.table, self.settings, self.pause = link, dict(table), settings, pause
        self._refused: set[int] = set()

    def facts(self) -> Sequence[SiteFacts]:
        """See ``Sites``; waits until all are connected."""
        answers = self._ask(HELLO, dict.fromkeys(range(len(self.table)), b""), None)
        found = []
        for i in range(len(self.table)):
            answer = answers[i]
            if isinstance(answer, str):
                raise ValueError(f"the site of client {i} does not say what images it has: {answer}")
            try:
                found.append(read_hello(answer, fedgan.__version__))
            except ValueError as error:
                raise ValueError(f"the site of client {i}: {error}") from error
        return found

    def train(self, requests: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        """See ``Sites``; the time in which a site is not connected counts."""
        return self._ask(TRAIN, requests, timeout)

    def _ask(self, kind: str, requests: Mapping[int, bytes], timeout: float | None) -> dict[int, bytes | str]:
        """The answers by client; who is lost while it is asked, and comes back in time, is asked again."""
        start, found = time.monotonic(), dict[int, bytes | str]()
        while True:
            missing = requests.keys() - found.keys()
            nodes = self._wait_for(missing, _left(timeout, start))
            answers = self.link.ask(kind, {node: requests[i] for i, node in nodes.items()}, _left(timeout, start))
            clients = {node: client for client, node in nodes.items()}
            found |= {clients[node]: _shortened(answer) for node, answer in answers.items() if node in clients}
            lost = sorted(requests.keys() - found.keys())
            if not lost or _left(timeout, start) == 0:
                return found
            print(f"the sites of clients {lost} were lost: they are asked again once they are back", file=sys.stderr)
            time.sleep(self.pause)

    def _wait_for(self, clients: Collection[int], timeout: float | None) -> dict[int, int]:
        """The nodes of these clients, once all are connected, or of those that are when the time is up."""
        start, said = time.monotonic(), False
        while True:
            nodes = {client: node for client, node in self._connected().items() if client in clients}
            missing = sorted(set(clients) - nodes.keys())
            if not missing or (timeout is not None and time.monotonic() - start >= timeout):
                return nodes
            if not said:
                print(f"waiting for the sites of clients {missing} to connect", file=sys.stderr)
                said = True
            time.sleep(self.pause)

    def _connected(self) -> dict[int, int]:
        """Nodes by client; of those with an unknown key it is said once that they are refused."""
        found = {}
        for node, key in self.link.nodes().items():
            if key in self.table:
                found[self.table[key]] = node
            elif node not in self._refused:
                self._refused.add(node)
                print(f"warning: node {node} is refused: its public key is not in the file of sites=", file=sys.stderr)
        return found


def _left(timeout: float | None, start: float) -> float | None:
    """Seconds that are left of a limit; None: there is none."""
    return None if timeout is None else max(0.0, timeout - (time.monotonic() - start))


def _shortened(answer: bytes | str) -> bytes | str:
    """What a site says of itself goes into a table: one line, of limited length."""
    if isinstance(answer, bytes):
        return answer
    return "".join(each if each.isprintable() else " " for each in answer)[:LONGEST]
