"""Every attack of conf/ against every defense of conf/, and stacks of several: two rounds each, none listed here.

Of the pairs a quarter is tried in every test run, so that each attack and each defense meets several of the others, and
the rest under ``slow``.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from fedgan.config import training
from fedgan.config.building.attackers import build_malicious
from fedgan.config.building.component import made
from fedgan.config.building.defenses import build_defenses, single_server_training
from fedgan.config.refusals import CONF
from fedgan.defenses.base import Defense, overrides
from fedgan.federated.data import set_apart
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from tests.helpers.federation import SMALL, TINY, build, fit
from tests.helpers.runs import rows
from tests.helpers.shrinking import shrunk

ATTACKS = [(group, file.stem) for group in ("attack", "update_attack") for file in sorted(CONF.glob(f"{group}/*.yaml"))]
ATTACKS.remove(("update_attack", "none"))  # as attack=none, the control
DEFENSES = sorted(file.stem for file in CONF.glob("defense/*.yaml"))
TURNS = 4
CLIENTS = (4, 5, 7, 8, 10, 12)  # the fewest that a defense takes
# One after the other: clipped or normalized updates, then a rule or weights, then noise.
STACKS = (
    ("norm_clipping", "median"),
    ("norm_clipping", "feddetect"),
    ("norm_clipping", "krum", "gradient_penalty"),
    ("bucketing", "geometric_median"),
    ("feddetect", "rotation", "reconstruction"),
    ("generator_audit", "feddetect_cusum"),
)


@cache
def composed(*choices: str) -> DictConfig:
    """A tiny federation with these choices, shrunk; two of its clients are malicious where there are more than four."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[*_without_attack(choices), *choices])
    for key, value in (override.split("=", 1) for override in shrunk(cfg)):
        OmegaConf.update(cfg, key, yaml.safe_load(value))
    return cfg


def _without_attack(choices: tuple[str, ...]) -> list[str]:
    """``TINY`` without its trigger where another attack is chosen."""
    other = any(choice.startswith(("attack=", "update_attack=")) for choice in choices)
    tiny = [each for each in (*TINY, *SMALL) if not (other and each.startswith("attack"))]
    # One step per client and round, of all clients at once: a quarter of the time.
    return [*tiny, "fl/backend=vectorized", "dataset.image_size=16", "dataset.train_per_class=24"]


def federation_of(attack: tuple[str, str], defenses: tuple[str, ...], clients: int) -> DictConfig:
    """An attack and defenses in one configuration, put together from those of each alone."""
    cfg = composed(f"{attack[0]}={attack[1]}").copy()
    with open_dict(cfg):
        chosen = [composed(f"defense={name}").defense for name in defenses]
        cfg.defense = OmegaConf.merge(*chosen)
        cfg.fl.num_clients, cfg.fl.batch_size = clients, 12
        cfg.fl.malicious = 2 if clients > 4 or attack[1] == "distributed" else 1
        if attack[1] == "distributed":  # takes two at least, which are fewer than half of five
            cfg.fl.num_clients = max(clients, 5)
        if attack[1] == "audit_evasion":  # takes two local steps at least, of which the first has nothing to do
            cfg.fl.batch_size = 2
    return cfg


@cache
def fewest(defense: str) -> int:
    """How many clients a defense needs."""
    for clients in CLIENTS:
        try:
            build_defenses(federation_of(("attack", "none"), (defense,), clients))
        except ValueError:
            continue
        return clients
    raise AssertionError(f"defense={defense} takes none of {CLIENTS} clients")


def run(cfg: DictConfig, folder: Path) -> tuple[Server, dict[str, Defense]]:
    """Two rounds of it, without a record."""
    defenses = build_defenses(cfg)
    _, training_ = single_server_training(defenses)
    splits = made(cfg, "dataset", object).load()
    own, _ = set_apart(splits, training_.images_per_class, cfg.seed)
    federation = build(cfg, defenses=defenses, server_images=own if training_.trains else None)
    server = Server(defenses, Uniform())
    fit(federation, folder, rounds=2 + training_.rounds_after, server=server)
    finite = [torch.isfinite(tensor).all() for tensor in federation.generator.state_dict().values()]
    assert all(finite), "the generator has numbers that are none"
    return server, defenses


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(1, TURNS))])
@pytest.mark.parametrize("defense", DEFENSES)
def test_every_attack_meets_every_defense(defense: str, turn: int, tmp_path: Path) -> None:
    first = (DEFENSES.index(defense) + turn) % TURNS
    for attack in ATTACKS[first::TURNS]:
        cfg = federation_of(attack, (defense,), fewest(defense))
        try:
            server, defenses = run(cfg, tmp_path)
        except Exception as error:
            raise AssertionError(f"{attack[0]}={attack[1]} with defense={defense}") from error
        malicious = build_malicious(cfg, made(cfg, "attack", object), made(cfg, "update_attack", object))
        assert len(malicious) == (0 if attack[1] == "none" else cfg.fl.malicious)
        last = server.last_of_clients
        assert last is not None
        assert not last.weights or sum(last.weights.values()) == pytest.approx(1)
        acting = [each for each in defenses.values() if overrides(each, "aggregate")]
        assert all(server.rounds_acted[name] == 2 for name, each in defenses.items() if each in acting)


@pytest.mark.parametrize("stack", [each for each in STACKS if set(each) <= set(DEFENSES)], ids="+".join)
def test_stacks_run_and_resume_to_the_bit(
    stack: tuple[str, ...], configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    clients = max(fewest(name) for name in stack)
    attack = [f"defense=[{','.join(stack)}]", "update_attack=scaling", f"fl.num_clients={clients}", "fl.batch_size=4"]
    small = [*SMALL, "dataset.train_per_class=40", *shrunk(configure(*attack))]
    small = [each for each in small if not each.startswith(("fl.num_clients", "fl.rounds", "fl.clients_per_round"))]

    def trained(name: str, *more: str) -> dict[str, Any]:
        return training.train(configure(*attack, *small, *more), tmp_path / name)

    once = trained("once", "fl.rounds=4")
    summary = trained("twice", "fl.rounds=3") if "reconstruction" not in stack else None
    if summary is None:  # whose rounds after training leave nothing to resume to
        again = trained("again", "fl.rounds=4")
    else:
        again = trained("twice", "fl.rounds=4", f"resume={tmp_path / 'twice'}")
    assert again["generator_sha256"] == once["generator_sha256"]
    assert set(once["rounds_acted"]) <= set(stack)
    folder = tmp_path / ("again" if summary is None else "twice")
    # A threshold that shares false alarms out over fl.rounds is another one in the rounds before the extension;
    # with it, the views whose places are recorded.
    resumed, straight = (
        [row for row in rows(each / "receipts.csv") if row["round"] == "3" or not of_threshold(row["measure"])]
        for each in (folder, tmp_path / "once")
    )
    assert resumed == straight


def of_threshold(measure: str) -> bool:
    return measure == "threshold" or measure.endswith(("_top", "_bottom", "_left", "_right", "_whole"))
