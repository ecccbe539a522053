"""``python -m fedgan.calibrate``: the spread by hand, what control runs must be, and real ones from start to use."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig

from fedgan import calibrate, train
from fedgan.config import training
from fedgan.config.calibrating import command as calibrating
from fedgan.defenses.calibration import read_calibration
from tests.helpers.federation import TINY
from tests.helpers.runs import refusal

Call = Callable[..., Any]
PRINTED = pytest.CaptureFixture[str]
SETTINGS: dict[str, Any] = {
    "dataset": {"_target_": "fedgan.datasets.image_folder.ImageFolder", "root": "/a"},
    "partition": {"_target_": "fedgan.partitions.iid.IID"},
    "fl": {"num_clients": 3, "rounds": 3, "malicious": 0},
    "model": {"ema": 0.9},
    "defense": {},
    "trainer": {"precision": "32-true", "devices": 1},
}
WILD = (5.0, -5.0, 0.0)  # logarithms of losses, in a round that is left out


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed, by full name."""
    made: dict[str, Any] = json.loads(json.dumps(settings))
    for key, value in changes.items():
        *groups, name = key.split(".")
        place = made
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return made


def run(
    folder: Path, seed: int, losses: Sequence[Sequence[float]], record: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    """A finished run in which clients reported these losses."""
    folder.mkdir(parents=True)
    data = {"name": "x-rays", "train": {"sha256": "aa"}, "test": {"sha256": "bb"}}
    whole = {"status": "finished", "malicious": [], "dataset": data} | dict(record or {})
    (folder / "run.json").write_text(json.dumps(whole))
    own = merged(SETTINGS, {"seed": seed, **{name.replace("__", "."): value for name, value in changes.items()}})
    (folder / "config.yaml").write_text(yaml.safe_dump(own))
    with (folder / "clients.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["round", "client", "loss_g", "loss_g_final"])
        writer.writerows([t, i, loss, ""] for t, row in enumerate(losses) for i, loss in enumerate(row))
    return folder


def of_logs(*rounds: Sequence[float]) -> list[list[float]]:
    return [[math.exp(value) for value in row] for row in rounds]


NARROW = of_logs(WILD, (-0.1, 0.0, 0.1), (0.9, 1.0, 1.1))
WIDE = of_logs(WILD, (-0.1, 0.0, 0.1), (-0.3, 0.0, 0.3))


def measured(call: Call, *arguments: str) -> dict[str, Any]:
    call(calibrate.main, "least=2", *arguments, "out=spread.json")
    found: dict[str, Any] = json.loads(Path("spread.json").read_text())
    return found


def test_the_spread_by_hand_is_the_largest_of_the_runs(call: Call, tmp_path: Path, capsys: PRINTED) -> None:
    """Variances 0.01 and 0.01; 0.01 and 0.09: spreads 0.1 and sqrt(0.05), root mean square sqrt(0.03)."""
    run(tmp_path / "a", 7, NARROW)
    run(tmp_path / "b", 8, WIDE, dataset__root="/elsewhere", fl__malicious=[], trainer__devices=2)
    found = measured(call, "runs=[a,b]")
    assert found["spread"] == pytest.approx(math.sqrt(0.05))
    assert found["rms"] == pytest.approx(math.sqrt(0.03))
    assert found["runs"] == {"a": pytest.approx(0.1), "b": pytest.approx(math.sqrt(0.05))}
    assert (found["seeds"], found["num_clients"], found["loss"], found["scale"]) == ([7, 8], 3, "loss_g", "log")
    assert found["settings"]["dataset.train.sha256"] == "aa"
    assert found["settings"]["model.ema"] == 0.9
    shown = capsys.readouterr()
    assert "spread 0.2236, the largest of 2 runs (root mean square 0.1732)" in shown.err
    assert "warning: of 2 runs the largest spread says little; take 10" in shown.err
    assert "defense=feddetect_cusum defense.feddetect_cusum.spread=spread.json" in shown.err
    assert shown.out == "spread.json\n"
    assert read_calibration("spread", Path("spread.json")).spread == found["spread"]


def test_the_warm_up_is_a_setting(call: Call, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        run(tmp_path / name, seed, WIDE)
    assert measured(call, "runs=[a,b]", "warmup=2")["spread"] == pytest.approx(0.3)
    assert measured(call, "runs=[a,b]", "warmup=0")["spread"] > 2, "an earlier calibration is replaced"


def test_losses_that_may_be_negative_are_measured_as_they_are(call: Call, tmp_path: Path) -> None:
    run(tmp_path / "a", 1, [(0, 0, 0), (-1.0, 0.0, 1.0)])
    run(tmp_path / "b", 2, [(0, 0, 0), (1.0, 3.0, 5.0)])
    found = measured(call, "runs=[a,b]")
    assert (found["spread"], found["scale"]) == (pytest.approx(2), "linear")


def test_rounds_of_few_clients_and_the_servers_own_say_nothing(call: Call, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        run(tmp_path / name, seed, [*NARROW, [1.0, 99.0], [1.0, math.exp(0.1), math.exp(-0.1), 99.0]])
    assert measured(call, "runs=[a,b]")["spread"] == pytest.approx(0.1)


def test_folders_of_sweeps_are_searched(call: Call, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        run(tmp_path / "sweep" / f"seed_{seed}", seed, NARROW)
    assert measured(call, "runs=[sweep]")["seeds"] == [1, 2, 3]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "attacked": (
        {"record": {"malicious": [2]}},
        "runs must be runs in which nobody attacks (fl.malicious=0); got 'b with",
    ),
    "unfinished": ({"record": {"status": "interrupted"}}, "runs must be finished runs; got 'b, which is interrupted'"),
    "model": (
        {"model__ema": 0.5},
        "runs must be alike but for their seeds; got model.ema=0.9 in a and model.ema=0.5 in b",
    ),
    "partition": ({"partition___target_": "D"}, "runs must be alike but for their seeds; got partition._target_="),
    "clients": ({"fl__num_clients": 4}, "runs must be alike but for their seeds; got fl.num_clients=3 in a and"),
    "defense": (
        {"defense__rotation__degrees": 9},
        "runs must be alike but for their seeds; got defense.rotation.degrees=",
    ),
    "data": (
        {"record": {"dataset": {"name": "x-rays", "train": {"sha256": "cc"}, "test": {"sha256": "bb"}}}},
        "runs must be alike but for their seeds; got dataset.train.sha256=aa in a and dataset.train.sha256=cc in b",
    ),
    "seed": ({"seed": 1}, "runs must be each of a seed of its own; got 'b and a with seed=1'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_runs_that_are_no_control_or_differ_are_refused(what: str, call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    changes, words = REFUSED[what]
    run(tmp_path / "a", 1, NARROW)
    run(tmp_path / "b", **({"seed": 2, "losses": WIDE} | changes))
    said = refusal(call, capsys, calibrate.main, "runs=[a,b]", "least=2")
    assert said.startswith(f"error: {words}"), said
    assert not (tmp_path / "outputs").exists(), "nothing is left behind"


def test_runs_in_which_all_losses_are_alike_are_refused(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        run(tmp_path / name, seed, [WILD, (0.5, 0.5, 0.5)])
    said = refusal(call, capsys, calibrate.main, "runs=[a,b]", "least=2")
    assert said == "error: runs must be of clients whose losses differ; got {'a': 0.0, 'b': 0.0}"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["runs=[a,b]"], "runs must be at least 10 runs, which least= sets; got 2"),
        (["runs=[a,b]", "least=1"], "least must be a whole number of at least 2; got 1"),
        (["runs=[a,c]"], "runs must be folders of runs or sweeps that exist; got 'c'"),
        (["runs=[a,empty]"], "runs must be folders with a run in them (with run.json); got 'empty'"),
        (["runs=[]"], "runs must be a list of folders of finished runs, or null; got []"),
        (["runs=[a,b]", "warmp=2"], "runs must be typed without settings of fedgan.train (warmp=2); got ['a', 'b']"),
        (
            ["runs=[a,b]", "least=2", "warmup=3"],
            "warmup must be such that a has a later round with at least 3 clients; got 3",
        ),
        (
            ["runs=[a,b]", "least=2", "loss=loss_g_final"],
            "loss must be one that all runs report; a/clients.csv lacks it; got 'loss_g_final'",
        ),
        (["runs=[a,b]", "loss=loss"], "loss must be one of loss_g, loss_d, loss_g_last, loss_g_final, loss_g_arrival"),
        (
            ["runs=[a,b]", "least=2", "out=mine.json"],
            "out must be a new file, or one that fedgan.calibrate has written;",
        ),
        (["seeds=3", "dataset=chestx"], "seeds must be at least 10 of them, which least= sets; got 3"),
        (["seeds=[1,2]", "least=3"], "seeds must be at least 3 of them, which least= sets; got 2"),
        (["seeds=[1,1]"], "seeds must be a number of at least 1, or a list of different seeds; got [1, 1]"),
        (["seed=3"], "seed must be left away: control runs have seeds=, and nobody attacks them; got 'seed=3'"),
        (["fl.malicious=1", "fl.rounds=3"], "fl.malicious must be left away"),
        (
            ["defense=[rotation,median]"],
            "defense must be without those that act on updates, which control runs do without; got ['median']",
        ),
        (["-m", "seeds=3,4"], "python -m fedgan.calibrate takes no -m"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    typed: list[str], words: str, call: Call, capsys: PRINTED, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        run(tmp_path / name, seed, NARROW)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.json").write_text('{"spread": 1}')
    assert refusal(call, capsys, calibrate.main, *typed).startswith(f"error: {words}")
    assert (tmp_path / "mine.json").read_text() == '{"spread": 1}'


def test_control_runs_are_trained_and_used(call: Call, tmp_path: Path, capfd: PRINTED) -> None:
    typed = [each for each in TINY if not each.startswith(("metrics", "logger", "attack", "evaluation"))]
    own = ("seeds=[5,6]", "least=2", "loss=loss_g_arrival", "hydra.run.dir=here", *typed, "fl.batch_size=4")
    call(calibrate.main, *own)
    found = json.loads((tmp_path / "here/calibration.json").read_text())
    assert (found["seeds"], found["loss"], found["settings"]["fl.rounds"]) == ([5, 6], "loss_g_arrival", 2)
    by_hand = []
    for seed in (5, 6):
        with (tmp_path / f"here/runs/seed_{seed}/clients.csv").open() as file:
            logs = [math.log(float(row["loss_g_arrival"])) for row in csv.DictReader(file) if row["round"] == "1"]
        by_hand.append(math.sqrt(sum((x - sum(logs) / 4) ** 2 for x in logs) / 3))
    assert found["spread"] == pytest.approx(max(by_hand))
    assert "2 of 2 runs done" in capfd.readouterr().err

    use = ["defense=feddetect_cusum", "defense.feddetect_cusum.warmup=0", "defense.feddetect_cusum.loss=loss_g_arrival"]
    place = "defense.feddetect_cusum.spread=here/calibration.json"
    call(train.main, *TINY, *use, place, "fl.batch_size=4", "hydra.run.dir=run")
    facts = json.loads((tmp_path / "run/run.json").read_text())["defenses"]["feddetect_cusum"]
    assert facts["spread"] == found["spread"]
    assert facts["from"] == str(tmp_path / "here/calibration.json"), "it holds from anywhere"


def test_e4_runs_in_which_a_defense_acted_are_no_control(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    for name, seed, acted in (("a", 1, 0), ("b", 2, 3)):
        run(tmp_path / name, seed, NARROW)
        (tmp_path / name / "summary.json").write_text(json.dumps({"rounds_acted": {"krum": acted, "flame": 0}}))
    said = refusal(call, capsys, calibrate.main, "runs=[a,b]", "least=2")
    assert said == "error: runs must be runs in which no defense acts; got 'b with defense=krum'"
    said = refusal(call, capsys, calibrate.main, "seeds=10", "defense=median")
    assert said.startswith("error: defense must be without those that act on updates")


def test_e2_a_run_with_other_settings_than_the_control_runs_is_warned_of(
    call: Call, configure: Callable[..., DictConfig], tmp_path: Path, capfd: PRINTED
) -> None:
    own = ("attack=none", *(each for each in TINY if not each.startswith("attack")), "fl.rounds=3")
    for seed in (1, 2):
        training.train(configure(*own, f"seed={seed}", tiny=False), tmp_path / f"control_{seed}")
    call(calibrate.main, "runs=[control_1,control_2]", "least=2", "out=spread.json")
    use = ("defense=[generator_audit,feddetect_cusum]", "defense.feddetect_cusum.spread=spread.json")
    capfd.readouterr()
    call(train.main, *TINY, "fl.rounds=3", *use, "hydra.run.dir=alike")
    assert "its file was measured" not in capfd.readouterr().err
    call(train.main, *TINY, "fl.rounds=3", *use, "fl.batch_size=4", "partition=quantity", "hydra.run.dir=unlike")
    (line,) = [each for each in capfd.readouterr().err.splitlines() if "its file was measured" in each]
    assert line.startswith("warning: defense.feddetect_cusum: its file was measured with partition._target_=fedgan.")
    assert line.count("fl.batch_size=") == 2
    assert "fl.batch_size=8" in line.partition(", and this run has ")[0]
    assert "fl.batch_size=4" in line.partition(", and this run has ")[2]


def test_e3_the_final_loss_is_measured_without_a_defense_that_acts(call: Call, tmp_path: Path) -> None:
    typed = [each for each in TINY if not each.startswith(("metrics", "logger", "attack", "evaluation", "fl.rounds"))]
    call(calibrate.main, "seeds=[5,6]", "least=2", "loss=loss_g_final", "hydra.run.dir=here", *typed, "fl.rounds=3")
    found = json.loads((tmp_path / "here/calibration.json").read_text())
    assert (found["loss"], found["spread"] > 0) == ("loss_g_final", True)
    summary = json.loads((tmp_path / "here/runs/seed_5/summary.json").read_text())
    assert summary["rounds_acted"] == {"feddetect_cusum": 0}


def test_e13_control_runs_read_the_commands_own_config_dir(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: PRINTED
) -> None:
    (tmp_path / "mine/dataset").mkdir(parents=True)
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(calibrating, "call", lambda *typed, **_: started.append(typed) or 1)
    for flags in (("--config-dir=mine",), ("--config-dir", "mine")):
        refusal(call, capsys, calibrate.main, *flags, "seeds=3", "least=2", "hydra.run.dir=here")
        assert started.pop()[:3] == ("fedgan.train", f"--config-dir={tmp_path / 'mine'}", "-m")


@pytest.mark.parametrize(("loss", "asks"), [("loss_g", []), ("loss_g_arrival", ["model.arrival_samples=256"])])
def test_control_runs_are_a_sweep_that_can_be_resumed(
    loss: str, asks: list[str], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: PRINTED
) -> None:
    """What it starts, whose own tests are those of sweeps; here one of its runs is refused."""
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(calibrating, "call", lambda *typed, **_: started.append(typed) or 1)
    typed = ("seeds=3", "least=2", f"loss={loss}", "attack=white_square", "logger=csv", "hydra.run.dir=here")
    said = refusal(call, capsys, calibrate.main, *typed)
    assert said == (
        "error: train: not all control runs were trained, for the reasons above; "
        f"hydra.run.dir={tmp_path / 'here'} next to the same settings resumes"
    )
    where = f'hydra.sweep.dir="{tmp_path / "here/runs"}"'
    (found,) = started
    assert found[:3] == ("fedgan.train", "-m", "metrics=[none]")
    assert found[3:] == (
        *asks,
        *("attack=white_square", "logger=csv", "seed=1000,1001,1002", "fl.malicious=0", "resume=auto", where),
        "hydra.sweep.subdir='seed_${seed}'",
    )
    assert not (tmp_path / "here/calibration.json").exists()
