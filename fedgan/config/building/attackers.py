"""Who attacks, and with what."""

from omegaconf import DictConfig, OmegaConf

from fedgan.attacks.base import Attack
from fedgan.core.checks import placed
from fedgan.federated.attackers import Attackers, choose_malicious
from fedgan.federated.data import FederatedData
from fedgan.update_attacks.base import UpdateAttack


def build_malicious(cfg: DictConfig, attack: Attack, update_attack: UpdateAttack) -> frozenset[int]:
    """The malicious clients' ids; without any attack there are none."""
    acting = {name: each for name, each in (("attack", attack), ("update_attack", update_attack)) if each.acts}
    if not acting:
        return frozenset()
    for name, each in acting.items():
        with placed(name):
            each.window.check_reached(cfg.fl.rounds)
    malicious = cfg.fl.malicious
    given = list(malicious) if OmegaConf.is_list(malicious) else malicious
    return choose_malicious(given, cfg.fl.num_clients, cfg.seed)


def known_malicious(cfg: DictConfig) -> frozenset[int]:
    """The clients that tables and metrics take for malicious where it is the sites that attack: those that are listed.

    A number does not say who, and nobody draws them: it stands for none.

    Raises:
        ValueError: in one line.
    """
    listed, fl = OmegaConf.is_list(cfg.fl.malicious), cfg.fl
    return choose_malicious(list(fl.malicious), fl.num_clients, cfg.seed) if listed else frozenset()


def build_attackers(cfg: DictConfig, malicious: frozenset[int], update_attack: UpdateAttack) -> Attackers:
    """The malicious clients, their attack on updates ready for this federation."""
    attackers, fl = Attackers(malicious, update_attack), cfg.fl
    with placed("update_attack"):
        attackers.setup(
            num_clients=fl.num_clients, clients_per_round=fl.clients_per_round or fl.num_clients, rounds=fl.rounds
        )
    return attackers


def in_words(attack: Attack, update_attack: UpdateAttack, data: FederatedData) -> str:
    """Who attacks and with what."""
    changed, images = (sum(getattr(r, name) for r in data.reports) for name in ("images_changed", "num_examples"))
    on_images = f"{attack} on {changed:,} of {images:,} images" if data.reports else str(attack)
    acting = [
        (words, each.window) for words, each in ((on_images, attack), (update_attack, update_attack)) if each.acts
    ]
    what = " and ".join(f"{words} {window}".strip() for words, window in acting)
    if not what and not data.malicious:
        return "none"
    if not data.malicious:
        return f"none, the control of {what}"
    ids = sorted(data.malicious)
    who = f"client{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))} of {len(data.clients)}"
    return f"{who}: {what or 'an attack that the site sets'}"
