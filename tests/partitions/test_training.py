"""Federations of clients that differ: they train, also those that lack a class or have few images."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.refusals import REFUSALS, explain
from tests.helpers.federation import FEDDETECT, build
from tests.helpers.runs import events, rows

Configure = Callable[..., DictConfig]


def finite(folder: Path) -> bool:
    """Whether every loss of every client in every round is a number."""
    clients = rows(folder / "clients.csv")
    return bool(clients) and all(math.isfinite(float(row[name])) for row in clients for name in ("loss_g", "loss_d"))


@pytest.mark.parametrize("model", ["dcgan", "dcgan_small"])
@pytest.mark.parametrize("backend", ["serial", "vectorized"])
def test_clients_of_one_class_each(model: str, backend: str, configure: Configure, tmp_path: Path) -> None:
    """A conditional D that sees one class alone, with Eq. 6 measured over that class."""
    one_class = ("partition=shards", "partition.per_client=1", "fl.num_clients=4", "fl.malicious=0")
    detector = FEDDETECT
    training.train(configure(*one_class, *detector, f"model={model}", f"fl/backend={backend}"), tmp_path)
    table = json.loads((tmp_path / "run.json").read_text())["partition"]
    assert sorted(zip(*table.values(), strict=True)) == [(0, 16), (0, 16), (16, 0), (16, 0)]
    assert finite(tmp_path)
    assert len(rows(tmp_path / "clients.csv")) == 8
    assert not [event for event in events(tmp_path) if event["kind"] != "diverging"]


@pytest.mark.parametrize("backend", ["serial", "vectorized"])
def test_clients_with_fewer_images_than_a_batch(backend: str, configure: Configure, tmp_path: Path) -> None:
    """They take all they have in one step; the others leave out what is not a full batch."""
    few = ("partition=quantity", "partition.beta=0.5", "partition.min_images=2", "fl.batch_size=12", "seed=3")
    cfg = configure(*few, f"fl/backend={backend}")
    training.train(cfg, tmp_path)
    table = json.loads((tmp_path / "run.json").read_text())["partition"]
    sizes = [sum(counts) for counts in zip(*table.values(), strict=True)]
    assert (sum(sizes), min(sizes) < 12, max(sizes) > 24) == (64, True, True), sizes
    backend_ = build(cfg).backend
    assert [backend_.steps_of(i) for i in range(4)] == [max(1, size // 12) for size in sizes]
    assert finite(tmp_path)
    assert [int(row["num_examples"]) for row in rows(tmp_path / "clients.csv")] == 2 * sizes, "by id in each round"


def test_the_control_has_the_same_partition(configure: Configure, tmp_path: Path) -> None:
    """An attack changes nobody's share."""
    tables = []
    for name, malicious in (("attacked", 1), ("control", 0)):
        cfg = configure("partition=dirichlet", f"fl.malicious={malicious}", "fl.rounds=1")
        training.train(cfg, tmp_path / name)
        tables.append(json.loads((tmp_path / name / "run.json").read_text())["partition"])
    assert tables[0] == tables[1]
    assert len(set(tables[0]["normal"])) > 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("partition=dirichlet", "partition.alpha=0"),
            "partition.alpha must be a number in [0.001, 1e+06], or null; got 0",
        ),
        (
            ("partition=dirichlet", "partition.min_images=17"),
            "partition.min_images must be at most 16, the 64 training",
        ),
        (("partition=shards", "partition.per_client=17"), "partition.per_client must be at most 16, the 64 training"),
        (("partition=by_group",), "partition.by must be what the data set knows of its images"),
        (
            ("partition=feature_skew", "partition.gain=0"),
            "partition.gain must be above 0 where contrast and noise are 0",
        ),
        (
            ("partition=quantity", "partition.beta=0.001", "partition.max_tries=9"),
            "partition.beta must be larger: in 9 tries",
        ),
    ],
)
def test_refusals_name_the_setting(settings: tuple[str, ...], said: str, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(REFUSALS) as error:
        training.train(configure(*settings), tmp_path)
    assert explain(error.value).startswith(said)
