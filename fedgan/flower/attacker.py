"""A site that attacks, to test a real federation: by its own settings, of which the server learns nothing."""

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fedgan.attacks.base import Attack, PoisonReport
from fedgan.config.building.component import made
from fedgan.core.checks import placed
from fedgan.core.files import write_table
from fedgan.core.images import ImageSet, Splits
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.attackers import Attackers
from fedgan.federated.data import ClientData, corrupted, trigger_of
from fedgan.runs.record import RECEIPT_COLUMNS
from fedgan.update_attacks.base import UpdateAttack

RECEIPTS = "receipts.csv"  # as in a run's folder; of this site's attack alone


def attack_of(site: DictConfig, splits: Splits) -> Attack:
    """What this site does to its images, ready for them; it attacks alone, whatever other sites do.

    Raises:
        ValueError: in one line, if the attack does not fit the images.
    """
    attack: Attack = made(site, "attack", Attack)
    with placed("attack"):
        attack.setup(splits.classes, malicious=1 if attack.acts else 0)
    trigger_of(attack, splits.channels, splits.image_size, seed=0)
    return attack


def training_data(
    attack: Attack, images: ImageSet, client_id: int, seed: int
) -> tuple[ClientData, PoisonReport | None]:
    """What this site trains with, as a run on one machine makes it for its only malicious client.

    Args:
        attack: see ``attack_of``.
        images: the site's.
        client_id: which client the site is.
        seed: the run's.

    Raises:
        ValueError: in one line, if the attack changed none of the images.
    """
    if not attack.acts:
        return ClientData(images), None
    trigger = trigger_of(attack, images.images.shape[1], images.images.shape[-1], seed)
    return corrupted(client_id, images, attack, trigger, rank=0, seed=seed)


def as_sent(update: ClientUpdate, round_: Round) -> tuple[ClientUpdate, dict[str, float]]:
    """The update as the server gets it, and what an added loss did, which stays here.

    Raises:
        ValueError: in one line, if an added loss changed nothing.
    """
    attackers = Attackers(frozenset({update.client_id}), UpdateAttack())
    (sent,) = attackers.alter([update], round_)
    return sent, attackers.added_losses.get(("attack", update.client_id), {})


def receipt_of(attack: Attack, round_: int, poisoning: PoisonReport | None) -> dict[str, Any]:
    """What was done to the images that this site trained on in a round, by measure; nothing where they were clean."""
    if poisoning is None or not attack.window.covers(round_):
        return {}
    return {measure: value for measure, value in asdict(poisoning).items() if measure != "client"}


def keep_receipts(file: Path, round_: int, client_id: int, measures: Mapping[str, Any]) -> None:
    """Write what the attack did in a round below the earlier rounds; a round that is trained again replaces itself.

    Rows of another client, whose site may have the same folder, stay.

    Args:
        file: a table like a run's receipts.csv.
        round_: t.
        client_id: which client the site is.
        measures: by name.
    """
    before = list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []
    kept = [row for row in before if int(row["round"]) < round_ or int(row["client"]) != client_id]
    own = [(round_, "attack", client_id, *each) for each in measures.items()]
    rows = [dict(zip(RECEIPT_COLUMNS, row, strict=True)) for row in own]
    write_table(file, RECEIPT_COLUMNS, [*kept, *rows])
