"""What crosses between the server and a site: tensors as safetensors, everything else as JSON of plain values."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from annotated_types import Interval, Len, Predicate

from fedgan.core.arguments import Allowed, Channels, Count, NonNegative, Seed, checked, validated
from fedgan.core.checks import check
from fedgan.core.update import ClientUpdate, State
from fedgan.federated.engines.sites import SiteFacts
from fedgan.federated.messages import pack, unpack


def _is_token(text: str) -> bool:
    return len(text) == 32 and set(text) <= set("0123456789abcdef")


def _is_text(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= 256


Token = Annotated[str, Predicate(_is_token), Allowed("32 digits of 0123456789abcdef")]
_Name = Annotated[str, Predicate(_is_text), Allowed("text of at most 256 characters")]
_Names = Annotated[list[_Name], Len(1, 10_000)]
_Counts = Annotated[list[NonNegative], Len(1, 10_000)]


@checked
@dataclass(frozen=True, kw_only=True)
class Order:
    """What a site is to train.

    Attributes:
        run: names the run; the site keeps what it needs of it in a folder of this name.
        client: which client the site is.
        round: t, from 0.
        attempt: how often this round has been tried before.
        kept: after which round the state was written that the site goes back to; None before its first.
        checkpointed: the round of the server's last checkpoint: states that no later one can refer to may go.
        settings: see ``fedgan.flower.settings``.
    """

    run: Token
    client: Annotated[int, Interval(ge=0, lt=1_000_000)]
    round: NonNegative
    attempt: NonNegative
    kept: NonNegative | None
    checkpointed: NonNegative | None
    settings: Mapping[str, Any]


@checked
@dataclass(frozen=True, kw_only=True)
class Hello:
    """What a site says of its images; see ``SiteFacts``.

    Attributes:
        version: of fedgan.
    """

    version: _Name
    classes: _Names
    channels: Channels
    image_size: Count
    counts: _Counts


def write_order(order: Order, reference: State) -> bytes:
    """The round's message to a site."""
    return pack(reference, asdict(order))


def read_order(message: bytes) -> tuple[Order, State]:
    """See ``write_order``.

    Raises:
        ValueError: in one line.
    """
    state, facts = unpack(message)
    return Order(**facts), state


def write_hello(hello: Hello) -> bytes:
    """A site's first answer."""
    return pack({}, asdict(hello))


def read_hello(message: bytes, version: str) -> SiteFacts:
    """See ``write_hello``.

    Args:
        message: the site's.
        version: of the fedgan that the server runs: another one's rounds are not the same to the bit.

    Raises:
        ValueError: in one line.
    """
    hello = Hello(**unpack(message)[1])
    check(hello.version == version, "fedgan", f"{version} at all sites, as at the server", hello.version)
    classes = len(hello.classes)
    check(len(hello.counts) == classes, "counts", f"one for each of {classes} classes", hello.counts)
    return SiteFacts(tuple(hello.classes), hello.channels, hello.image_size, tuple(hello.counts))


def write_update(update: ClientUpdate) -> bytes:
    """A site's answer to an order."""
    return pack(update.state, {"num_examples": update.num_examples, "metrics": dict(update.metrics)})


def read_update(
    message: bytes, client_id: int, num_examples: int, losses: Collection[str], metrics: Collection[str]
) -> ClientUpdate:
    """See ``write_update``; the tensors themselves are ``fault_of``'s to judge.

    Args:
        message: the site's.
        client_id: whose site it is, by its key.
        num_examples: how many images it had at first.
        losses: metrics that it has to report.
        metrics: metrics that it may report.

    Raises:
        ValueError: in one line, if it is no update.
    """
    state, facts = unpack(message)
    check(facts.keys() == {"num_examples", "metrics"}, "update", "num_examples and metrics", sorted(facts))
    validated("num_examples", Seed, facts["num_examples"])
    check(facts["num_examples"] == num_examples, "num_examples", f"{num_examples}, as at first", facts["num_examples"])
    said = facts["metrics"]
    check(isinstance(said, dict) and set(losses) <= said.keys() <= set(metrics), "metrics", ", ".join(metrics), said)
    reported = {str(name): float(validated(str(name), float, value)) for name, value in said.items()}
    return ClientUpdate(client_id, num_examples, state, reported)
