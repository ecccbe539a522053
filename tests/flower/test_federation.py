"""A run whose clients are at sites is, to the bit, the run on one machine."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.update import ClientUpdate
from fedgan.federated.messages import pack, unpack
from fedgan.flower.letters import Order, write_order
from fedgan.flower.site import answer_order, hello_of
from tests.helpers.federation import sabotage
from tests.helpers.flower import PHANTOM, SETTINGS, FakeLink, serve

Configure = Callable[..., DictConfig]
LOCAL = tuple(f"dataset.{name}={value}" for name, value in PHANTOM.items())
DEFENSES = ("defense=[feddetect,horizontal_flip]", "defense.feddetect.warmup=1")


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / table).open() as file:
        return list(csv.DictReader(file))


def local(configure: Configure, folder: Path, *overrides: str) -> dict[str, Any]:
    return training.train(configure(*SETTINGS, *LOCAL, *overrides, tiny=False), folder)


def same(one: Path, other: Path) -> None:
    for table in ("clients.csv", "rounds.csv", "receipts.csv"):
        assert (one / table).read_text() == (other / table).read_text(), table


def test_two_sites_are_two_clients(configure: Configure, tmp_path: Path) -> None:
    nothing = "dataset=image_folder"  # without a root: a server that read images would be refused
    summary = serve(FakeLink(tmp_path, 2), tmp_path / "again", "fl.rounds=2", "fl.local_epochs=2", nothing)
    alone = local(configure, tmp_path / "same", "fl.num_clients=2", "fl.rounds=2", "fl.local_epochs=2")
    assert summary["generator_sha256"] == alone["generator_sha256"]
    same(tmp_path / "again", tmp_path / "same")


def test_the_audit_sees_over_flower_what_it_sees_locally(configure: Configure, tmp_path: Path) -> None:
    audit = ("defense=generator_audit", "defense.generator_audit.images_per_class=4", "fl.rounds=3")
    summary = serve(FakeLink(tmp_path, 4), tmp_path / "sites", *audit)
    alone = local(configure, tmp_path / "local", *audit, "fl.num_clients=4")
    assert summary["generator_sha256"] == alone["generator_sha256"]
    same(tmp_path / "sites", tmp_path / "local")
    scores = [row for row in rows(tmp_path / "sites", "receipts.csv") if row["measure"] == "place_score"]
    assert len(scores) == 3 * 4
    maps = [tmp_path / side / "defenses/generator_audit/place.png" for side in ("sites", "local")]
    assert maps[0].read_bytes() == maps[1].read_bytes()


def test_faults_a_restart_and_a_resumed_run_of_four_sites(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tamper(node: int, asked: int, answer: bytes) -> bytes | None:
        if (node, asked) == (101, 1):
            state, facts = unpack(answer)
            name = next(name for name, tensor in state.items() if tensor.is_floating_point())
            return pack(state | {name: torch.full_like(state[name], torch.nan)}, facts)
        return None if (node, asked) == (102, 2) else answer

    link, folder = FakeLink(tmp_path, 4, tamper), tmp_path / "run"
    serve(link, folder, *DEFENSES, "fl.rounds=3", "fl.straggler_timeout=1")
    link.restart()
    summary = serve(link, folder, *DEFENSES, "fl.rounds=6", "fl.straggler_timeout=1")
    found = {(row["round"], row["client"], row["kind"]) for row in rows(folder, "events.csv")}
    assert {("1", "1", "bad_update"), ("2", "2", "late")} <= found

    def collapse(trained: ClientUpdate) -> ClientUpdate:
        raise RuntimeError("as if it had not answered")

    sabotage(monkeypatch, lambda backend, round_, i: (round_.index, i) in ((1, 1), (2, 2)), collapse)
    alone = local(configure, tmp_path / "local", *DEFENSES, "fl.num_clients=4", "fl.rounds=6")
    assert summary["generator_sha256"] == alone["generator_sha256"]
    same(folder, tmp_path / "local")
    states = [file.name for file in (tmp_path / "site_0").glob("*/client_*")]
    assert sorted(states) == ["client_0000_round_0004.ckpt", "client_0000_round_0005.ckpt"], "older ones are removed"


@pytest.mark.parametrize(
    "attack",
    [("attack=random_patch", "attack.size=8", "attack.poison_share=0.5", "attack.start=1"), ("attack=latent_trigger",)],
    ids=["images", "loss"],
)
def test_a_malicious_site_is_a_malicious_client(attack: tuple[str, ...], configure: Configure, tmp_path: Path) -> None:
    """With a seed of its own, on which the patch depends, and which images get it."""
    link, run = FakeLink(tmp_path, 3), ("fl.rounds=3", "fl.malicious=[1]", "seed=3")
    link.own = {client: ("+dataset.run_seed=3", *(attack if client == 1 else ())) for client in range(3)}
    summary = serve(link, tmp_path / "run", *run)
    alone = local(configure, tmp_path / "local", *run, "fl.num_clients=3", *attack)
    clean = local(configure, tmp_path / "clean", *run, "fl.num_clients=3")
    assert summary["generator_sha256"] == alone["generator_sha256"] != clean["generator_sha256"]
    ours, theirs = (rows(tmp_path / name, "clients.csv") for name in ("run", "local"))
    assert [row | {"poisoned_images": "0"} for row in theirs] == ours, "all that the server can know is the same"
    assert [row["malicious"] for row in ours] == ["0", "1", "0"] * 3
    assert "attack=" not in (tmp_path / "run" / "config.yaml").read_text()


def test_what_a_malicious_site_does_stays_there(configure: Configure, tmp_path: Path) -> None:
    link, attack = FakeLink(tmp_path, 3), ("attack=white_square", "attack.size=8", "attack.every=2")
    link.own[1] = attack
    serve(link, tmp_path / "run", "fl.rounds=2")
    serve(link, tmp_path / "run", "fl.rounds=3")
    local(configure, tmp_path / "local", "fl.rounds=3", "fl.num_clients=3", "fl.malicious=[1]", *attack)
    (expected,) = json.loads((tmp_path / "local" / "run.json").read_text())["poison_reports"]
    (table,) = (tmp_path / "site_1").glob("*/receipts.csv")
    found = rows(table.parent, "receipts.csv")
    assert [row["round"] for row in found if row["measure"] == "images_changed"] == ["0", "2"]
    assert expected.pop("client") == 1
    assert {row["measure"]: row["value"] for row in found} == {k: str(v) for k, v in expected.items()}
    assert {(row["component"], row["client"]) for row in found} == {("attack", "1")}
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    copies = [file for file in files if expected["sha256"].encode() in file.read_bytes()]
    assert not copies, "the server has no receipt of it"
    assert not list((tmp_path / "site_0").glob("*/receipts.csv"))
    assert {row["malicious"] for row in rows(tmp_path / "run", "clients.csv")} == {"0"}, "nobody says who"


def test_what_an_added_loss_did_stays_there_too(configure: Configure, tmp_path: Path) -> None:
    link, run = FakeLink(tmp_path, 3), ("fl.rounds=2", "attack=latent_trigger")
    link.own[1] = run[1:]
    serve(link, tmp_path / "run", run[0])
    local(configure, tmp_path / "local", *run, "fl.num_clients=3", "fl.malicious=[1]")
    (table,) = (tmp_path / "site_1").glob("*/receipts.csv")
    found = rows(table.parent, "receipts.csv")
    theirs = [
        row for row in rows(tmp_path / "local", "receipts.csv") if row["measure"] in {r["measure"] for r in found}
    ]
    assert "steps" in {row["measure"] for row in found}
    assert found == theirs


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (("attack=white_square", "attack.size=40"), r"attack\.size must be at most 31"),
        (("attack=distributed",), r"fl\.malicious must be at least attack\.parts"),
        (("attack=class_trigger", "attack.classes=[7]"), r"attack\.classes must be "),
    ],
    ids=["trigger", "clients", "classes"],
)
def test_an_attack_that_does_not_fit_is_refused_before_training(
    attack: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    link = FakeLink(tmp_path, 3)
    link.own[1] = attack
    with pytest.raises(ValueError, match=said):
        serve(link, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_site_that_has_other_images_on_resume_is_refused(tmp_path: Path) -> None:
    link, folder = FakeLink(tmp_path, 3), tmp_path / "run"
    serve(link, folder, "fl.rounds=1")
    before = (folder / "clients.csv").read_text()
    link.own[2] = ("dataset.train_per_class=30",)
    with pytest.raises(ValueError) as refusal:
        serve(link, folder, "fl.rounds=2")
    had, has = (", ".join(f"{name} {count}" for name, count in said.items()) for said in _counts(link, folder))
    wanted = f"as at the run's start, with {had}; 32 px, 1 channels"
    assert str(refusal.value) == f"resume: the site of client 2 must be {wanted}; got '{has}; 32 px, 1 channels'"
    assert (folder / "clients.csv").read_text() == before
    link.own = dict.fromkeys(range(3), ("dataset.image_size=64",))
    with pytest.raises(ValueError, match="the site of client 0 must be .*; 32 px, .* got .*; 64 px"):
        serve(link, folder, "fl.rounds=2")
    link.own = {}
    assert serve(link, folder, "fl.rounds=2")["rounds"] == 2


def _counts(link: FakeLink, folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """What site 2 had at the run's start, and what it has now."""
    table = json.loads((folder / "run.json").read_text())["partition"]
    hello = hello_of(link.site(2))
    return {name: each[2] for name, each in table.items()}, dict(zip(hello.classes, hello.counts, strict=True))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("attack=white_square", "attack must be none with clients at sites"),
        ("update_attack=sign_flip", "update_attack must be none with clients at sites"),
        ("defense=reconstruction", "defense must be without reconstruction with clients at sites"),
        ("trainer.devices=2", "fl/backend must be serial with several processes"),
        ("fl/backend=serial", "fl/backend must be flower, with sites"),
    ],
)
def test_what_needs_the_images_is_refused_before_a_folder_is_made(override: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        serve(FakeLink(tmp_path, 4), tmp_path / "run", override)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_an_attack_typed_at_the_server_is_the_reason_also_where_its_clients_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^attack must be none with clients at sites"):
        serve(FakeLink(tmp_path, 2), tmp_path / "run", "attack=white_square", "fl.malicious=1")


def test_sites_are_reached_by_flwr_run_alone(configure: Configure, tmp_path: Path) -> None:
    name = f"fl.backend.run={'0' * 32}"
    with pytest.raises(ValueError, match="fl/backend must be serial or vectorized: .* by flwr run"):
        training.train(configure(*SETTINGS, *LOCAL, "fl/backend=flower", name, tiny=False), tmp_path / "run")


def test_public_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    public = ("metrics=[emission]", "dataset=lesion_phantom", "dataset.image_size=32", "dataset.train_per_class=8")
    with pytest.raises(ValueError, match="dataset: the server's public images must have classes .*; got classes"):
        serve(FakeLink(tmp_path, 2), tmp_path / "run", *public, "dataset.test_per_class=8")


def test_two_sites_of_one_machine_may_share_their_folder(tmp_path: Path) -> None:
    link = FakeLink(tmp_path, 2)
    apart = serve(link, tmp_path / "apart", "fl.rounds=3")
    link.own = dict.fromkeys(range(2), (f"folder={tmp_path / 'shared'}",))
    together = serve(link, tmp_path / "together", "fl.rounds=3")
    assert together["generator_sha256"] == apart["generator_sha256"]


def test_an_order_for_a_state_that_is_not_there_is_refused(tmp_path: Path) -> None:
    link = FakeLink(tmp_path, 2)
    order = Order(run="0" * 32, client=0, round=4, attempt=0, kept=3, checkpointed=None, settings={})
    with pytest.raises(ValueError, match="client_0000_round_0003.ckpt must be there"):
        answer_order(link.site(0), write_order(order, {}))
