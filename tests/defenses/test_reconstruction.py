"""After training the server continues alone: on which images, from which generator, and how it is recorded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.images import ImageSet, Splits, digests
from fedgan.core.rng import keyed_generator
from fedgan.core.update import state_hash
from fedgan.federated.data import set_apart
from tests.helpers.federation import build, fit, sabotage, spoil
from tests.helpers.images import random_images
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
OVERRIDES = (
    "defense=reconstruction",
    "defense.reconstruction.images_per_class=8",
    "defense.reconstruction.epochs=3",
    "evaluation.every=100",
    "dataset.train_per_class=40",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reconstruction")


@pytest.fixture
def run_of(folders: Path, configure: Configure) -> Callable[..., Path]:
    def once(name: str, *overrides: str) -> Path:
        if not (folders / name).exists():
            training.train(configure(*OVERRIDES, *overrides), folders / name)
        return folders / name

    return once


def test_the_servers_images_are_nobody_elses() -> None:
    train_images = random_images(60)
    # Two test images are among the training images, as with pool_splits; one training image is there twice.
    twice = ImageSet(torch.cat([train_images.images, train_images.images[:1]]), torch.arange(61) % 2, ("a", "b"))
    splits = Splits("noise", twice, train_images.subset(torch.tensor([2, 5])))
    own, rest = set_apart(splits, 20, seed=0)
    assert own.counts == {"a": 20, "b": 20}
    assert not set(digests(own.images)) & set(digests(rest.images))
    assert not set(digests(own.images)) & set(digests(splits.test.images))
    assert set(digests(own.images)) | set(digests(rest.images)) == set(digests(twice.images))
    again, _ = set_apart(splits, 20, seed=0)
    other, _ = set_apart(splits, 20, seed=1)
    assert own.fingerprint == again.fingerprint != other.fingerprint


def test_nothing_is_set_apart_without_the_defense() -> None:
    splits = Splits("noise", random_images(10), random_images(4, seed=1))
    own, rest = set_apart(splits, 0, seed=0)
    assert len(own) == 0
    assert rest is splits.train


def test_too_few_images() -> None:
    splits = Splits("noise", random_images(10), random_images(4, seed=1))
    words = r"images_per_class must be at most 5, the training images of class a .*; got 6"
    with pytest.raises(ValueError, match=words):
        set_apart(splits, 6, seed=0)


def test_fine_tuning_is_recorded_like_rounds(run_of: Callable[..., Path]) -> None:
    run = run_of("defended")
    rounds, clients = rows(run / "rounds.csv"), rows(run / "clients.csv")
    assert [row["round"] for row in rounds] == ["0", "1", "2", "3", "4"]
    assert [row["client"] for row in clients if int(row["round"]) >= 2] == ["4", "4", "4"]
    assert {row["num_examples"] for row in clients if row["client"] == "4"} == {"16"}
    assert {row["num_examples"] for row in clients if row["client"] != "4"} == {"16"}  # (80 - 16) / 4
    assert [row["effective_clients"] for row in rounds] == ["4.0", "4.0", "1.0", "1.0", "1.0"]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["rounds"], summary["fine_tuning_rounds"]) == (2, 3)
    assert summary["flag_counts"] == {"0": 0, "1": 0, "2": 0, "3": 0}  # the server's own is no client
    assert summary["weight_of_malicious"] == 0.25  # in the federation, where there was somebody to weigh
    assert sorted(file.name for file in (run / "samples").iterdir()) == ["round_0001.png", "round_0004.png"]
    checkpoint = torch.load(run / "checkpoints" / "round_0004.ckpt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (4, 5)
    assert checkpoint["clients"] == {0: 1, 1: 1, 2: 1, 3: 1, 4: 4}  # the server's own has gone on alone


def test_it_changes_the_generator_that_is_released_and_nothing_before(run_of: Callable[..., Path]) -> None:
    """The control sets the same images aside and does nothing with them."""
    defended, control = run_of("defended"), run_of("control", "defense.reconstruction.epochs=0")
    assert [row["loss_g"] for row in rows(defended / "rounds.csv")][:2] == [
        row["loss_g"] for row in rows(control / "rounds.csv")
    ]
    hashes = {json.loads((run / "summary.json").read_text())["generator_sha256"] for run in (defended, control)}
    assert len(hashes) == 2


def reconstructing(configure: Configure, *overrides: str) -> Any:
    cfg = configure(*OVERRIDES, *overrides)
    images = random_images(16, seed=9)
    return build(cfg, defenses=build_defenses(cfg), server_images=images), images


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_server_trains_as_a_lone_client_would(configure: Configure, tmp_path: Path, ema: float) -> None:
    """From the released generator and a fresh discriminator, written out by hand; whatever the server's optimizer."""
    adam = "fl.server_optimizer._target_=torch.optim.Adam"
    overrides = (f"model.ema={ema}", "fl.local_epochs=2", adam, "fl.server_optimizer.lr=0.001")
    federation, images = reconstructing(configure, *overrides)
    fit(federation, tmp_path, rounds=2)
    plain, _ = reconstructing(configure, *overrides)
    lone = plain.backend.clients[4]
    lone.generator.load_state_dict(federation.released.state_dict())

    whole, _ = reconstructing(configure, *overrides)
    fit(whole, tmp_path, rounds=4)
    for t in (2, 3):
        rng = keyed_generator(0, "client", 4, "round", t)
        lone.train_locally(images, epochs=1, batch_size=8, rng=rng)
    assert state_hash(lone.generator.state_dict()) == state_hash(whole.generator.state_dict())
    assert state_hash(lone.discriminator.state_dict()) == state_hash(
        whole.backend.clients[4].discriminator.state_dict()
    )


def test_clients_rest_while_the_server_fine_tunes(configure: Configure, tmp_path: Path) -> None:
    federation, _ = reconstructing(configure)
    fit(federation, tmp_path, rounds=4)
    steps = [client.optimizer_d.state_dict()["state"][0]["step"].item() for client in federation.backend.clients]
    assert steps == [4, 4, 4, 4, 4]  # two rounds of two steps; the server two rounds of two steps of its own


def test_detection_keeps_its_memory_while_the_server_fine_tunes(configure: Configure, tmp_path: Path) -> None:
    detect = ("defense=[feddetect,reconstruction]", "defense.feddetect.warmup=0", "fl.rounds=4")
    summary = training.train(configure(*OVERRIDES, *detect), tmp_path / "run")
    assert sum(summary["weights"].values()) == pytest.approx(1.0)
    assert set(summary["weights"]) == {"0", "1", "2", "3"}
    rounds = rows(tmp_path / "run" / "rounds.csv")
    assert len(rounds) == 7
    assert [row["false_positive_rate"] != "" for row in rounds] == [True] * 4 + [False] * 3, "nobody to flag"


def test_only_one_defense_may_set_images_apart(configure: Configure, tmp_path: Path) -> None:
    cfg = configure(*OVERRIDES, "+defense.again=${defense.reconstruction}")
    said = r"at most one that sets images apart for the server; got \['reconstruction', 'again'\]"
    with pytest.raises(ValueError, match=said):
        training.train(cfg, tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("defense.reconstruction.epochs=-1", "epochs must be a whole number of at least 0"),
        ("defense.reconstruction.images_per_class=0", "images_per_class must be a whole number of at least 1"),
        ("defense.reconstruction.images_per_class=41", "images_per_class must be at most 40, the training images"),
    ],
)
def test_bad_settings(configure: Configure, tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        training.train(configure(*OVERRIDES, override), tmp_path / "run")


def test_a_round_of_fine_tuning_that_fails_counts_the_servers_own(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, client_id: client_id == 4, spoil)
    federation, _ = reconstructing(configure, "fl.max_retries=0", "fl.rounds=1")
    said = "round 1 was tried 1 times and given up: 0 of 1 updates can be used, fl.min_clients=1"
    with pytest.raises(ValueError, match=said):
        fit(federation, tmp_path, rounds=2)
