import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from experiments.benchmarks import defenses as study
from experiments.benchmarks.base import Row
from experiments.benchmarks.defenses import Case, Defenses, by_clients, drawn, local_seconds, takes
from fedgan.config.refusals import CONF, options
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Defense
from fedgan.defenses.feddetect import FedDetect
from fedgan.defenses.robust.bulyan import Bulyan
from fedgan.defenses.robust.fltrust import FLTrust
from fedgan.defenses.robust.krum import Krum
from tests.helpers.federation import TINY

LOCAL = {"gradient_penalty", "feddetect", "feddetect_chestx", "horizontal_flip", "rotation", "fltrust"}


@pytest.fixture
def tiny() -> Case:
    """Two classes of 8 images for each of some clients, in batches of 4."""
    overrides = [each for each in TINY if not each.startswith(("fl.", "attack"))]
    case = Case([*overrides, "attack=none", "fl.batch_size=4", "fl.local_epochs=2"], [4], 18, timed_images=8)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert case.trained == 2 * 16  # the odd two of 18 are left out; the configuration is kept from now on
    return case


def measure(folder: Path, names: Sequence[str] | None = None) -> list[Row]:
    overrides = [each for each in TINY if not each.startswith(("fl.", "attack"))]
    case = {"overrides": [*overrides, "attack=none", "fl.batch_size=4"], "sizes": [4, 6]}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("benchmarks", overrides=["benchmark=defenses", "benchmark.repeats=1"]).benchmark
        cfg.cases = {"tiny": {**case, "images_per_client": 12, "timed_images": 8}}
        cfg.defenses = names
        benchmark = instantiate(cfg)
        assert isinstance(benchmark, Defenses)
        return benchmark.measure(folder)


def test_each_defense_that_acts_in_a_round_has_its_rows(tmp_path: Path) -> None:
    rows = measure(tmp_path)
    assert {row["defense"] for row in rows} == {*options("defense")} - {"reconstruction"}
    found = {(row["defense"], row["clients"]) for row in rows}
    assert {("none", 4), ("none", 6), ("krum", 5), ("krum", 6), ("bulyan", 7), ("multi_metrics", 10)} <= found
    assert not {("krum", 4), ("bulyan", 6)} & found
    assert len(found) == len(rows)
    assert all(row["server (s)"] > 0 for row in rows)
    for row in rows:
        cost = row["server (s)"] + row["more training (s)"]
        assert row["share (%)"] == pytest.approx(100 * cost / row["training (s)"])
    own = {row["defense"] for row in rows if row["more training (s)"]}
    assert own == LOCAL
    per_client = {row["training (s)"] / row["clients"] for row in rows}
    assert max(per_client) == pytest.approx(min(per_client))


def test_a_defense_that_takes_time_at_the_server_is_charged_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Defense):
        def finish(self, state: dict[str, Tensor], round_: Round) -> dict[str, Tensor]:  # type: ignore[override]
            time.sleep(0.2)
            return state

    monkeypatch.setattr(study, "built", lambda name: Slow() if name == "slow" else Defense())
    rows = {(row["defense"], row["clients"]): row for row in measure(tmp_path, ["none", "slow"])}
    more = rows["slow", 4]["server (s)"] - rows["none", 4]["server (s)"]
    assert more == pytest.approx(0.2, abs=0.1)
    assert rows["slow", 4]["more training (s)"] == 0


def test_more_training_is_counted_in_images(tiny: Case) -> None:
    """FLTrust's server trains on 3 images of each of two classes where a client has 18: a third of a client's time."""
    assert local_seconds(tiny, FLTrust(images_per_class=3), own=9.0, repeats=1) == (0.0, pytest.approx(3.0))
    assert local_seconds(tiny, Defense(), own=9.0, repeats=1) == (0.0, 0.0)


def test_a_loss_is_counted_in_whole_batches(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten latents are three batches of 4; one batch of 4 takes 2 seconds."""
    monkeypatch.setattr(study, "in_turn", lambda sides, repeats: {name: [2.0] for name in sides})
    assert local_seconds(tiny, FedDetect(samples=10), own=1.0, repeats=1) == (6.0, 0.0)


def test_a_clients_round_is_scaled_from_the_images_that_were_timed(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 of 2 x 16 images are timed."""
    monkeypatch.setattr(study, "in_turn", lambda sides, repeats: {name: [0.5] for name in sides})
    assert study.client_seconds(tiny, Defense(), repeats=1) == pytest.approx(2.0)


def test_the_least_number_that_a_defense_takes() -> None:
    krum, bulyan = Krum(), Bulyan(num_malicious=2)
    assert by_clients({"none": Defense(), "krum": krum, "bulyan": bulyan}, [4, 16]) == {
        4: ["none"],
        5: ["krum"],
        11: ["bulyan"],
        16: ["none", "krum", "bulyan"],
    }
    assert [takes(krum, count) for count in (4, 5)] == [False, True]


def test_the_updates_have_the_generators_shapes_and_differ_in_parameters_alone(tiny: Case) -> None:
    updates, round_ = drawn(tiny, 3)
    assert [update.client_id for update in updates] == [0, 1, 2]
    assert isinstance(updates[0], ClientUpdate)
    for update in updates:
        assert {n: (t.shape, t.dtype) for n, t in update.state.items()} == {
            n: (t.shape, t.dtype) for n, t in round_.reference.items()
        }
        moved = {name for name, tensor in update.state.items() if not torch.equal(tensor, round_.reference[name])}
        assert moved == round_.parameters
    assert len({float(next(iter(update.state.values())).sum()) for update in updates}) == 3


def test_few_states_may_stand_for_many_clients(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five clients with two states; defenses are then measured one by one."""
    few, turns = replace(tiny, distinct=2), list[list[str]]()
    few.__dict__["cfg"] = tiny.cfg
    updates, _ = drawn(few, 5)
    assert [update.client_id for update in updates] == [0, 1, 2, 3, 4]
    assert len({id(update.state) for update in updates}) == 2
    assert updates[0].state is updates[2].state
    assert len({update.metrics["loss_g"] for update in updates}) == 5

    def second_each(sides: dict[str, object], repeats: int) -> dict[str, list[float]]:
        turns.append([*sides])
        return {name: [1.0] for name in sides}

    monkeypatch.setattr(study, "in_turn", second_each)
    for case in (few, tiny):
        assert study.serve_seconds(case, ["none", "median"], 5, repeats=1) == {"none": 1.0, "median": 1.0}
    assert turns == [["none"], ["median"], ["none", "median"]]
