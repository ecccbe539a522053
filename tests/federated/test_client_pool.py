"""ClientPool that wait as files: the same results with few places as with one for each, and little on the disk."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.update import state_hash
from fedgan.federated.client_files import CLIENTS, ClientFiles
from fedgan.federated.federation import draw_participants
from fedgan.runs.checkpoint import FOLDER
from tests.helpers.federation import build, fit

Configure = Callable[..., DictConfig]
FEW = ("fl.num_clients=6", "fl.clients_per_round=2", "fl.batch_size=4")


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / FOLDER / CLIENTS).iterdir())


def expected(rounds: int) -> list[str]:
    """One file for each client that has taken part, of the round in which it last did."""
    newest = {i: t for t in range(rounds) for i in draw_participants(6, 2, 0, t)}
    return sorted(f"client_{i:04d}_round_{t:04d}.ckpt" for i, t in newest.items())


def test_few_places_change_nothing(configure: Configure, tmp_path: Path) -> None:
    crowded, roomy = build(configure(*FEW), folder=tmp_path), build(configure(*FEW))
    for federation in (crowded, roomy):
        fit(federation, tmp_path, rounds=6)
    assert len(crowded.backend.clients.present) == 2 < len(roomy.backend.clients.present)
    assert set(crowded.backend.clients.present) == set(draw_participants(6, 2, 0, 5))
    assert state_hash(crowded.generator.state_dict()) == state_hash(roomy.generator.state_dict())
    for mine, theirs in zip(crowded.backend.clients, roomy.backend.clients, strict=True):
        assert state_hash(mine.discriminator.state_dict()) == state_hash(theirs.discriminator.state_dict())
        states = [c.optimizer_g.state_dict()["state"] for c in (mine, theirs)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][k]["exp_avg_sq"], states[1][k]["exp_avg_sq"]) for k in states[0])


def test_the_least_recently_used_makes_room(configure: Configure, tmp_path: Path) -> None:
    clients = build(configure(*FEW), folder=tmp_path).backend.clients
    for client_id in (0, 1, 0, 2):
        assert clients[client_id]
    assert set(clients.present) == {0, 2}


def test_after_going_back_no_file_is_out_of_date(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure(), folder=tmp_path)
    backend, round_ = federation.backend, federation.this_round()
    backend.train_client(0, round_)
    backend.clients.keep()
    index, kept = backend.clients.index(0), state_hash(backend.clients[0].discriminator.state_dict())
    backend.train_client(0, replace(round_, index=1))
    assert state_hash(backend.clients[0].discriminator.state_dict()) != kept
    backend.clients.rewind(index)
    backend.clients.keep()
    assert backend.clients.index(1) == index == {0: 0}
    assert state_hash(backend.clients[0].discriminator.state_dict()) == kept


def test_a_client_that_never_took_part_is_as_at_first(configure: Configure, tmp_path: Path) -> None:
    federation = build(configure(*FEW), folder=tmp_path)
    start = state_hash(federation.backend.clients[0].discriminator.state_dict())
    fit(federation, tmp_path, rounds=1)
    idle = next(i for i in range(6) if i not in draw_participants(6, 2, 0, 0))
    assert state_hash(federation.backend.clients[idle].discriminator.state_dict()) == start
    assert federation.backend.clients[idle].optimizer_d.state_dict()["state"] == {}
    with pytest.raises(IndexError):
        federation.backend.clients[6]


def test_clients_have_moments_of_their_own_from_the_start(configure: Configure) -> None:
    """Adagrad's are there before its first step: one client's steps must not be found in another's."""
    adagrad = [f"model.optimizer_{part}._target_=torch.optim.Adagrad" for part in ("g", "d")]
    betas = [f"~model.optimizer_{part}.betas" for part in ("g", "d")]
    federation = build(configure(*adagrad, *betas))
    backend, clients = federation.backend, federation.backend.clients
    clients.snapshot(0)
    backend.train_client(0, federation.this_round())
    for untouched in (clients[1], clients[2]):
        assert not untouched.optimizer_d.state_dict()["state"][0]["sum"].any()
    clients.put_back(0)
    assert not clients[0].optimizer_d.state_dict()["state"][0]["sum"].any()
    backend.train_client(0, federation.this_round())
    assert not clients[3].optimizer_d.state_dict()["state"][0]["sum"].any()


def test_checkpoints_write_what_has_changed_and_no_more(configure: Configure, tmp_path: Path) -> None:
    run = tmp_path / "run"
    training.train(configure(*FEW, "fl.rounds=2"), run)
    assert files(run) == expected(2)
    written = {file: file.stat().st_mtime_ns for file in (run / FOLDER / CLIENTS).iterdir()}
    training.train(configure(*FEW, "fl.rounds=3", f"resume={run}"), run)
    assert set(expected(3)) <= set(files(run)) <= {*expected(2), *expected(3)}
    assert all(file.stat().st_mtime_ns == written[file] for file in written if file.exists())


def test_a_checkpoint_now_and_then_and_all_of_them(configure: Configure, tmp_path: Path) -> None:
    """Whoever makes room between two checkpoints is written then; what an older one refers to is kept with it."""
    straight = training.train(configure(*FEW, "fl.rounds=7"), tmp_path / "straight")
    run = tmp_path / "run"
    seldom = (*FEW, "checkpoint.every_n_epochs=3", "checkpoint.save_top_k=-1")
    training.train(configure(*seldom, "fl.rounds=6"), run)
    assert set(expected(3)) | set(expected(6)) <= set(files(run))
    again = training.train(configure(*seldom, "fl.rounds=7", f"resume={run}"), run)
    assert again["generator_sha256"] == straight["generator_sha256"]


def test_going_back_to_an_older_checkpoint(configure: Configure, tmp_path: Path) -> None:
    straight = training.train(configure(*FEW, "fl.rounds=4"), tmp_path / "straight")
    run = tmp_path / "run"
    training.train(configure(*FEW, "fl.rounds=4", "checkpoint.save_top_k=-1"), run)
    for late in (2, 3):
        (run / FOLDER / f"round_{late:04d}.ckpt").unlink()
    settings = ("fl.rounds=4", "checkpoint.save_top_k=-1", f"resume={run}")
    assert training.train(configure(*FEW, *settings), run)["generator_sha256"] == straight["generator_sha256"]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (Path.unlink, "must be there: the checkpoint refers to it; got 'no such file'"),
        (lambda file: file.write_bytes(file.read_bytes()[:99]), "is damaged or no checkpoint of fedgan"),
        (lambda file: file.write_bytes(pickle.dumps(print)), "is damaged or no checkpoint of fedgan"),
    ],
)
def test_a_clients_file_that_is_gone_or_not_whole(
    harm: Callable[[Path], object], words: str, configure: Configure, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    training.train(configure("fl.rounds=1"), run)
    harm(run / FOLDER / CLIENTS / "client_0002_round_0000.ckpt")
    with pytest.raises(ValueError, match=words) as refused:
        training.train(configure("fl.rounds=2", f"resume={run}"), run)
    assert "client_0002_round_0000.ckpt" in str(refused.value)


def test_what_a_killed_run_left_behind_is_not_taken_for_a_checkpoints(configure: Configure, tmp_path: Path) -> None:
    """A client's file of a round that no checkpoint has seen, and one of a run that never had a checkpoint."""
    run = tmp_path / "run"
    idle = next(i for i in range(6) if i not in draw_participants(6, 2, 0, 0))
    stale = run / FOLDER / CLIENTS / f"client_{idle:04d}_round_0000.ckpt"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of another run")
    (run / "run.json").write_text('{"status": "failed", "versions": {"fedgan": "0.1.0"}}')
    training.train(configure(*FEW, "fl.rounds=1"), run)
    assert files(run) == expected(1)
    later = run / FOLDER / CLIENTS / f"client_{idle:04d}_round_0001.ckpt"
    later.write_bytes(b"of a round that was lost")
    training.train(configure(*FEW, "fl.rounds=2", f"resume={run}"), run)
    index = torch.load(run / FOLDER / "round_0001.ckpt", weights_only=True)["clients"]
    assert index == {i: t for t in range(2) for i in draw_participants(6, 2, 0, t)}
    assert later.name not in files(run) or idle in draw_participants(6, 2, 0, 1)


def test_pruning_leaves_what_a_checkpoint_needs(tmp_path: Path) -> None:
    kept = ClientFiles(tmp_path)
    for client_id, round_ in ((0, 0), (0, 2), (1, 1), (1, 3), (2, 3)):
        kept.write(client_id, round_, {"round": round_})
    assert kept.index(2) == {0: 2, 1: 1}
    kept.prune([2])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "client_0000_round_0002.ckpt",
        "client_0001_round_0001.ckpt",
    ]
    assert kept.read(0) == {"round": 2}
    assert kept.read(7) is None


def test_files_of_one_client_alone(tmp_path: Path) -> None:
    """Two sites on one machine may keep theirs in one folder."""
    first, second = (ClientFiles(tmp_path, only=client_id) for client_id in (0, 1))
    for client_id, own in enumerate((first, second)):
        for round_ in range(3):
            own.write(client_id, round_, {"client": client_id, "round": round_})
    first.rewind({0: 1})
    first.prune([1])
    assert first.read(0) == {"client": 0, "round": 1}
    assert first.index(2) == {0: 1}
    assert second.read(1) == {"client": 1, "round": 2}
    assert second.index(2) == {1: 2}
    assert len(list(tmp_path.iterdir())) == 1 + 3


@pytest.mark.parametrize("written", [False, True], ids=["in memory", "in its file"])
def test_a_snapshot_can_be_put_back(written: bool, configure: Configure, tmp_path: Path) -> None:
    federation = build(configure(), folder=tmp_path)
    backend, round_ = federation.backend, federation.this_round()
    first = state_hash(backend.clients[0].discriminator.state_dict())
    for expected_steps in (0, 2):
        backend.clients.snapshot(0)
        before = state_hash(backend.clients[0].discriminator.state_dict())
        backend.train_client(0, round_)
        assert state_hash(backend.clients[0].discriminator.state_dict()) != before
        for _ in range(2):  # what is put back can be put back again
            backend.clients.put_back(0)
            assert state_hash(backend.clients[0].discriminator.state_dict()) == before
            moments = backend.clients[0].optimizer_d.state_dict()["state"]
            assert [moment["step"].item() for moment in moments.values()][:1] == ([2] if expected_steps else [])
            backend.train_client(0, round_)
        if written:
            backend.clients.keep()
    assert first != before
