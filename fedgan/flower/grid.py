"""Messages over Flower's Grid; the one place that knows how Flower wraps bytes."""

from collections.abc import Mapping
from typing import Any

CONTENT, BODY = "fedgan", "body"
FAILED = 0  # the code with which a site of fedgan says what kind of error it had


class GridLink:
    """A ``Link`` over the Grid of a Flower ServerApp.

    Args:
        grid: of ``flwr.serverapp``.
    """

    def __init__(self, grid: Any) -> None:
        self.grid = grid

    def nodes(self) -> Mapping[int, bytes]:
        """See ``Link``; Flower has each node sign what it sends with the key that it registered."""
        return {node.node_id: node.public_key for node in self.grid.get_nodes()}

    def ask(self, kind: str, messages: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        """See ``Link``."""
        from flwr.app import Message  # here: fedgan loads without Flower

        letters = [Message(wrapped(body), node, kind) for node, body in messages.items()]
        replies = self.grid.send_and_receive(letters, timeout=timeout) if letters else []
        # Of a node that it has given up Flower itself says so: that is no answer.
        own = (reply for reply in replies if reply.metadata.src_node_id in messages)
        return {reply.metadata.src_node_id: unwrapped(reply) for reply in own}


def wrapped(body: bytes) -> Any:
    """The content of a Flower message."""
    from flwr.app import ConfigRecord, RecordDict  # here: fedgan loads without Flower

    return RecordDict({CONTENT: ConfigRecord({BODY: body})})


def unwrapped(message: Any) -> bytes | str:
    """What a message has been given, or in words why there is nothing."""
    if message.has_error():
        kind = str(message.error.reason)  # of fedgan's own site; Flower's reasons may have words of the site's in them
        return kind if message.error.code == FAILED and kind.isidentifier() else f"Flower: error {message.error.code}"
    record = dict(message.content).get(CONTENT)
    body = None if record is None else dict(record).get(BODY)
    return body if isinstance(body, bytes) else "no message of fedgan"
