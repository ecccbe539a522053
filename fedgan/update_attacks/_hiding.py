"""Scalars that an attacker makes up, so that they look like an honest client's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate


def imitated(honest: Sequence[Mapping[str, float]], jitter: float, rng: torch.Generator) -> dict[str, float]:
    """The median of each scalar, moved towards an honest client that is drawn, by up to ``jitter`` of the way.

    All scalars move towards the same client by the same share: losses that go together stay together, each has the
    honest spread, and none leaves the honest range (Eq. 6 is never above 0, say).

    Args:
        honest: at least one client's scalars; those that all of them have are imitated.
        jitter: in [0, 1]; 0 for the median itself.
        rng: on the CPU.

    Example:
        >>> imitated([{"loss_g": 2.0}, {"loss_g": 1.9}, {"loss_g": 2.5}], jitter=0.0, rng=torch.Generator())
        {'loss_g': 2.0}
    """
    like = honest[int(torch.randint(len(honest), (), generator=rng))]
    share = jitter * float(torch.rand((), generator=rng, dtype=torch.float64))
    names = [name for name in honest[0] if all(name in each for each in honest)]
    middle = {name: median(each[name] for each in honest) for name in names}
    return {name: value + share * (like[name] - value) for name, value in middle.items()}


def hidden(
    update: ClientUpdate, known: Sequence[ClientUpdate], own_ids: frozenset[int], jitter: float, round_: Round
) -> ClientUpdate:
    """An update with the scalars of an honest client; as it is if no honest client is known.

    Args:
        update: a malicious client's.
        known: the updates that it knows.
        own_ids: of the malicious clients among them.
        jitter: see ``imitated``.
        round_: the round.
    """
    honest = [other.metrics for other in known if other.client_id not in own_ids]
    if not honest:
        return update
    found = imitated(honest, jitter, round_.rng("update_attack", "scalars", update.client_id))
    return replace(update, metrics={name: found.get(name, value) for name, value in update.metrics.items()})
