"""What loggers get of a run, read back by each library's own reader: wandb's, TensorBoard's, MLflow's, and as CSV."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger

from fedgan import train
from fedgan.config import training
from fedgan.config.logging import curves, loggers
from fedgan.config.logging.curves import DETECTION_COLUMNS, send_image
from fedgan.config.logging.loggers import Labels, labels_of
from fedgan.config.refusals import Interrupted
from fedgan.config.resume import recorded_settings
from tests.helpers.federation import TINY
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
Call = Callable[..., Any]

SEVERAL = (
    *("logger=[wandb,tensorboard,csv]", "metrics=[emission]", "evaluation.every=1"),
    *("arm=feddetect", "++defense.feddetect.warmup=0"),
)
PLAIN = Labels("one", None, ())


def command(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A training run as the shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "fedgan.train", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def records(file: Path) -> list[dict[str, Any]]:
    """What W&B has written, by its own reader."""
    reader = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(reader, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in found if record["type"] == kind]


def updated(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The last word of all updates of a run's config or summary."""
    merged: dict[str, Any] = {}
    for record in of_kind(found, kind):
        merged |= record.get("update", {})
    return merged


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A sweep of a refused run and one with three loggers; the run's folder, and what was printed."""
    here = tmp_path_factory.mktemp("loggers")
    sweep = ("-m", *TINY, *SEVERAL, "attack.size=40,8", "hydra.sweep.dir=sizes")
    done = command(here, *sweep, HOME=str(here / "home"))
    return here / "sizes/attack.size-8", done


@pytest.fixture(scope="module")
def written(swept: tuple[Path, Any]) -> list[dict[str, Any]]:
    (file,) = swept[0].glob("wandb/offline-run-*/*.wandb")
    return records(file)


@pytest.fixture(scope="module")
def expected(swept: tuple[Path, Any]) -> list[dict[str, float]]:
    """The curves of each round, from the run's own tables."""
    folder = swept[0]
    found = []
    for row, timing in zip(rows(folder / "rounds.csv"), rows(folder / "timing.csv"), strict=True):
        values = dict(row) | {f"timing/{name}": value for name, value in timing.items()}
        for client in (each for each in rows(folder / "clients.csv") if each["round"] == row["round"]):
            own = ("loss_g", "loss_d", "weight", "flagged")
            values |= {f"client_{client['client']}/{name}": client[name] for name in own}
        for receipt in (each for each in rows(folder / "receipts.csv") if each["round"] == row["round"]):
            values[f"{receipt['component']}/{receipt['measure']}"] = receipt["value"]
        left_out = ("round", "timing/round")
        found.append({name: float(value) for name, value in values.items() if value and name not in left_out})
    return found


def test_a3_wandb_has_one_row_per_round_each_value_once_and_the_round_as_its_step(
    written: list[dict[str, Any]], expected: list[dict[str, float]]
) -> None:
    history = of_kind(written, "history")
    assert [row["step"]["num"] for row in history] == [0, 1]
    for index, (row, values) in enumerate(zip(history, expected, strict=True)):
        item = row["item"]
        assert item["round"] == item["_step"] == index
        assert f"samples_{index}_" in item["samples.filenames"][0], "the grid is of the same step"
        curves = {key for key in item if not key.startswith(("_", "samples.", "detection.")) and key != "round"}
        assert curves == set(values), "nothing twice, nothing else"
        assert {key: item[key] for key in curves} == pytest.approx(values)
    assert of_kind(written, "metric")[-1] | {"options": None} == {
        "glob_name": "*",
        "step_metric": "round",
        "options": None,
    }


def test_a3_runs_of_a_sweep_are_told_apart(written: list[dict[str, Any]]) -> None:
    (run,) = of_kind(written, "run")
    assert (run["display_name"], run["run_group"], run["job_type"]) == ("attack.size-8", "sizes", "train")
    assert run["tags"] == ["arm=feddetect", "attack=white_square", "defense=feddetect"]


def test_a3_wandb_knows_the_settings_and_who_is_malicious(
    swept: tuple[Path, Any], written: list[dict[str, Any]]
) -> None:
    config, run = updated(written, "config"), json.loads((swept[0] / "run.json").read_text())
    assert config["attack"]["size"] == 8
    assert config["defense"]["feddetect"]["warmup"] == 0
    assert len(config["data"]["train"]["sha256"]) == 64
    assert run["malicious"]
    assert config["federation"] == {key: run[key] for key in ("malicious", "partition", "poison_reports")}


def test_wandb_gets_the_results_at_the_end(swept: tuple[Path, Any], written: list[dict[str, Any]]) -> None:
    folder, summary = swept[0], json.loads((swept[0] / "summary.json").read_text())
    found = updated(written, "summary")
    own = {name: value for name, value in summary.items() if name != "metrics"} | summary["metrics"]
    assert summary["metrics"]
    assert {name: found[name] for name in own} == own
    (model,) = [each for each in of_kind(written, "artifact") if each["type"] == "model"]
    assert json.loads(model["metadata"])["sha256"] == summary["generator_sha256"]
    assert json.loads(model["metadata"])["classes"] == ["normal", "pneumonia"]
    (content,) = model["manifest"]["contents"]
    assert content["local_path"] == str(folder / "generator.safetensors")


def test_wandb_gets_a_table_of_who_was_flagged(swept: tuple[Path, Any]) -> None:
    (file,) = swept[0].glob("wandb/offline-run-*/files/media/table/detection_*.json")
    table = json.loads(file.read_text())
    assert table["columns"] == DETECTION_COLUMNS
    clients = rows(swept[0] / "clients.csv")
    assert len(table["data"]) == len(clients) == 8
    assert any(row[2] for row in table["data"]), "somebody is malicious"
    for row, client in zip(table["data"], clients, strict=True):
        flags = [client["malicious"] == "1", client["flagged"] == "1"]
        assert row == [int(client["round"]), int(client["client"]), *flags, float(client["weight"])]


def test_wandb_leaves_nothing_to_be_sent_outside_of_the_runs_folder(
    swept: tuple[Path, Any], written: list[dict[str, Any]]
) -> None:
    files = [content["local_path"] for each in of_kind(written, "artifact") for content in each["manifest"]["contents"]]
    assert len(files) == 2
    assert all(Path(file).is_relative_to(swept[0]) and Path(file).is_file() for file in files)
    assert not list((swept[0].parents[1] / "home").glob("**/staging"))


def test_a3_a_sweep_with_loggers_is_quiet(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = swept
    assert done.returncode == 1
    own = [line for line in done.stdout.splitlines() if "[HYDRA]" not in line]
    assert [Path(line).name for line in own] == [folder.name]
    said = [line for line in done.stderr.splitlines() if "wandb" in line]
    (run,) = folder.glob("wandb/offline-run-*")
    assert said == [f"wandb: offline; to send this run: wandb sync {run}"], "one line for the run, none for the refused"
    assert done.stderr.splitlines()[-1] == "error: 1 run of this sweep refused: #0"
    assert "\x1b" not in done.stderr


def test_tensorboard_has_the_same_curves_and_the_grids(
    swept: tuple[Path, Any], expected: list[dict[str, float]]
) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(swept[0] / "tensorboard"), size_guidance={"images": 0})
    found.Reload()
    assert set(found.Tags()["scalars"]) == set().union(*expected)
    for name in found.Tags()["scalars"]:
        values = {event.step: event.value for event in found.Scalars(name)}
        assert values == pytest.approx({t: row[name] for t, row in enumerate(expected) if name in row}, rel=1e-5)
        assert len(values) == len(found.Scalars(name))
    assert [event.step for event in found.Images("samples")] == [0, 1]
    with Image.open(swept[0] / "samples/round_0001.png") as grid:
        shown = found.Images("samples")[1]
        assert (shown.width, shown.height) == grid.size


def test_csv_has_the_same_curves(swept: tuple[Path, Any], expected: list[dict[str, float]]) -> None:
    with (swept[0] / "csv/version_0/metrics.csv").open(newline="") as file:
        found = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert [row.pop("step") for row in found] == [0, 1]
    assert found == [pytest.approx(row) for row in expected]


def test_a_run_that_is_resumed_continues_its_curves(call: Call, tmp_path: Path) -> None:
    loggers = "logger=[wandb,tensorboard]"
    call(train.main, *TINY, loggers, "fl.rounds=1", "hydra.run.dir=one")
    before = json.loads((tmp_path / "one/run.json").read_text())["loggers"]
    call(train.main, "resume=one", "fl.rounds=2")
    assert json.loads((tmp_path / "one/run.json").read_text())["loggers"] == before
    first, second = (records(file) for file in sorted(tmp_path.glob("one/wandb/offline-run-*/*.wandb")))
    for each, step in ((first, 0), (second, 1)):
        (run,) = of_kind(each, "run")
        assert (run["run_id"], run["display_name"], run["resume"]) == (before["wandb"], "train one", True)
        assert run.get("run_group", "") == ""
        assert [row["step"]["num"] for row in of_kind(each, "history")] == [step]
    (table,) = tmp_path.glob("one/wandb/offline-run-*/files/media/table/detection_1_*.json")
    assert [row[0] for row in json.loads(table.read_text())["data"]] == [0] * 4 + [1] * 4, "rounds before it too"
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(tmp_path / "one/tensorboard"))
    found.Reload()
    assert [event.step for event in found.Scalars("loss_g")] == [0, 1]


def test_a3_the_error_of_a_run_that_fails_is_the_last_word(tmp_path: Path) -> None:
    diverging = ("model.optimizer_g.lr=1e30", "model.optimizer_d.lr=1e30")
    done = command(tmp_path, *TINY, "logger=[wandb]", *diverging, "hydra.run.dir=one")
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: round ")
    assert done.stderr.count("wandb:") == 1
    assert "\x1b" not in done.stderr
    (file,) = tmp_path.glob("one/wandb/offline-run-*/*.wandb")
    (end,) = of_kind(records(file), "exit")
    assert end["exit_code"] == 1


# What defenses find of single clients


def receipt(client: int | None, measure: str, value: float, component: str = "defense.audit") -> dict[str, Any]:
    return {"round": 3, "component": component, "client": client, "measure": measure, "value": value}


def test_f18_scores_of_few_clients_are_curves_of_their_own() -> None:
    rows_ = [receipt(i, f"{view}_score", i + view_ / 10) for i in range(16) for view_, view in enumerate(("a", "b"))]
    other = [receipt(None, "threshold", 9.5), receipt(2, "a_row", 7.0), receipt(2, "flagged", 1.0)]
    attack = receipt(2, "relative_norm", 3.0, "update_attack")
    found = curves.scalars({"round": 3}, {"round": 3}, [], [*rows_, *other, attack], ())
    scores = {f"client_{i}/defense.audit.{view}_score": i + j / 10 for i in range(16) for j, view in enumerate("ab")}
    rest = {"defense.audit/threshold": 9.5, "client_2/update_attack.relative_norm": 3.0}
    assert found == scores | rest, "and neither rows of pixels nor what clients.csv says already"


def test_f18_of_many_clients_the_highest_score_is_a_curve() -> None:
    rows_ = [receipt(i, "a_score", abs(i - 8.5)) for i in range(17)]
    found = curves.scalars({"round": 3}, {"round": 3}, [], rows_, ())
    assert found == {"defense.audit/highest_a_score": 8.5}


def test_f18_loggers_get_the_maps_that_a_defense_shows(configure: Configure, tmp_path: Path) -> None:
    audited = ("defense=generator_audit", "defense.generator_audit.images_per_class=4", "evaluation.every=2")
    several = ("logger=[wandb,tensorboard]", "fl.rounds=3", "metrics=none")
    training.train(configure(*audited, *several), tmp_path / "run")
    files = [file.name for file in tmp_path.glob("run/wandb/offline-run-*/files/media/images/defense.*/place_*.png")]
    assert sorted(name.split("_")[1] for name in files) == ["1", "2"], "where the generator was evaluated"
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"images": 0})
    found.Reload()
    last = found.Images("defense.generator_audit/place")[-1]
    with Image.open(tmp_path / "run/defenses/generator_audit/place.png") as drawn:
        assert (last.step, last.width, last.height) == (2, *drawn.size)
    scores = {row["client"]: float(row["value"]) for row in rows(tmp_path / "run/receipts.csv")
              if (row["round"], row["measure"]) == ("2", "place_score")}  # fmt: skip
    assert len(scores) == 4
    for client, score in scores.items():
        (*_, event) = found.Scalars(f"client_{client}/defense.generator_audit.place_score")
        assert event.value == pytest.approx(score, rel=1e-5, abs=1e-30)


# What runs are filed under


def typed(folder: Path, mode: str, **choices: str | None) -> Path:
    """A run's folder with Hydra's record of a command."""
    (folder / ".hydra").mkdir(parents=True)
    record = {"hydra": {"mode": mode, "runtime": {"choices": choices}}}
    OmegaConf.save(OmegaConf.create(record), folder / ".hydra/hydra.yaml")
    return folder


def test_a_run_outside_of_a_sweep_is_named_by_name_and_time(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("name=chests", "defense=[rotation,median]", "update_attack=scaling")
    folder = typed(tmp_path / "2026-01-31_12-00-00", "RUN", attack="white_square", arm=None)
    tags = ("attack=white_square", "update_attack=scaling", "defense=rotation", "defense=median")
    assert labels_of(cfg, folder) == Labels("chests 2026-01-31_12-00-00", None, tags)


@pytest.mark.parametrize("record", ["", "{", "hydra: 7", "hydra: [1]", "[]"])
def test_a_record_of_hydra_that_cannot_be_read_costs_a_label_and_no_run(
    record: str, configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "one/.hydra").mkdir(parents=True)
    (tmp_path / "one/.hydra/hydra.yaml").write_text(record)
    assert labels_of(configure("attack=none"), tmp_path / "one").tags == ("attack=none", "defense=none")


def test_tags_are_as_long_as_wandb_allows(configure: Configure, tmp_path: Path) -> None:
    folder = typed(tmp_path / "sweep" / "a", "MULTIRUN", arm="a" * 100)
    assert labels_of(configure(), folder).tags[0] == f"arm={'a' * 60}"


def test_own_names_groups_and_tags_prevail(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("logger=wandb", "logger.wandb.name=mine", "logger.wandb.tags=[a,b]", "logger.wandb.group=ours")
    settings: Any = OmegaConf.to_container(cfg.logger.wandb)
    made = loggers.instantiate_logger(settings, tmp_path, Labels("theirs", "theirs", ("attack=none",)), "id7")
    own = {key: made._wandb_init[key] for key in ("name", "group", "tags", "id", "resume", "dir")}
    tags = ["attack=none", "a", "b"]
    expected = {"name": "mine", "group": "ours", "tags": tags, "id": "id7", "resume": "allow", "dir": str(tmp_path)}
    assert own == expected


# Loggers that fail


class Flaky(Logger):
    """A logger whose server goes away in the second round."""

    name, version = "flaky", "0"

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int | None] = []
        self.ends: list[int] = []

    @property
    def experiment(self) -> Any:
        return SimpleNamespace(finish=lambda exit_code: self.ends.append(exit_code))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.steps.append(step)
        if step == 1:
            raise ConnectionError("no such\nhost")


def test_a_logger_that_fails_on_the_way_does_not_end_the_run(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flaky = Flaky()
    monkeypatch.setattr(loggers, "instantiate_logger", lambda *_: flaky)
    training.train(configure("logger=wandb", "fl.rounds=3"), tmp_path / "run")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"
    assert flaky.steps == [0, 1]
    assert flaky.ends == [1]
    assert capsys.readouterr().err.count("warning: Flaky fails (no such host); the run continues without it\n") == 1


def test_a_logger_that_cannot_begin_is_one_line_and_the_others_are_ended(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky, settings = Flaky(), configure("logger=[csv,wandb]")

    def made(own: Mapping[str, Any], *_: Any) -> Any:
        if own["_target_"].endswith("WandbRun"):
            raise RuntimeError("no\nroom")
        return flaky

    monkeypatch.setattr(loggers, "instantiate_logger", made)
    with pytest.raises(ValueError, match=r"^logger.wandb: no room$"):
        training.train(settings, tmp_path / "run")
    assert flaky.ends == [1]


@pytest.mark.parametrize(("error", "code"), [(Interrupted, 0), (ValueError, 1), (KeyboardInterrupt, 1)])
def test_loggers_are_ended_with_the_run(error: type[BaseException], code: int) -> None:
    flaky = Flaky()
    trainer: Any = SimpleNamespace(loggers=[flaky])
    with pytest.raises(error), loggers.closing_loggers(trainer):
        raise error
    with loggers.closing_loggers(trainer):
        pass
    assert flaky.ends == [code, 0]


@pytest.mark.parametrize(("name", "needed"), [("mlflow", "mlflow"), ("tensorboard", "tensorboard")])
def test_a_logger_whose_package_is_missing_says_what_to_install(
    name: str, needed: str, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda module: None)
    words = f"logger={name} needs the package {needed}: pip install 'fedgan[{name}]'; it is not installed"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        training.train(configure(f"logger=[wandb,{name}]"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_with_the_single_logger_of_before_is_refused_in_one_line(configure: Configure, tmp_path: Path) -> None:
    cfg = configure()
    OmegaConf.update(cfg, "logger", {"_target_": "pytorch_lightning.loggers.WandbLogger"}, force_add=True)
    OmegaConf.save(cfg, tmp_path / "config.yaml")
    with pytest.raises(ValueError, match=r"^resume must be a run of this version .*each logger has a name now"):
        recorded_settings(tmp_path)


# MLflow


def test_mlflow_has_the_curves_and_continues_them(call: Call, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    call(train.main, *TINY, "logger=mlflow", "fl.rounds=1", "hydra.run.dir=one")
    call(train.main, "resume=one", "fl.rounds=2")
    assert "MLFLOW_TRACKING_URI" not in os.environ, "another run would go there"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/one/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("fedgan").experiment_id])
    assert run.info.run_name == "train one"
    assert {key: run.data.tags[key] for key in ("attack", "defense")} == {"attack": "white_square", "defense": "none"}
    found = {each.step: each.value for each in client.get_metric_history(run.info.run_id, "loss_g")}
    assert found == pytest.approx({int(r["round"]): float(r["loss_g"]) for r in rows(tmp_path / "one/rounds.csv")})
    assert run.data.params["attack/size"] == "8"
    assert {re.sub(r".*step\+(\d+)\+.*", r"\1", file.name) for file in tmp_path.glob("one/mlruns/**/*.png")} == {
        *("0", "1")
    }


@pytest.fixture
def fake_mlflow(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """As much of MLflow's client as Lightning's logger calls; what it was given."""
    calls: list[tuple[str, Any]] = []

    class Client:
        def __init__(self, uri: str) -> None:
            calls.append(("uri", uri))

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def called(*args: Any, **kwargs: Any) -> Any:
                calls.append((name, (args, kwargs)))
                return SimpleNamespace(
                    info=SimpleNamespace(run_id="run7", experiment_id="1"), experiment_id="1", lifecycle_stage="active"
                )

            return called

    modules = {
        "mlflow": {"set_tracking_uri": lambda uri: os.environ.update(MLFLOW_TRACKING_URI=uri)},
        "mlflow.tracking": {"MlflowClient": Client, "context": SimpleNamespace(resolve_tags=lambda tags: tags)},
        "mlflow.tracking.context": {"resolve_tags": lambda tags: tags},
        "mlflow.utils": {},
        "mlflow.utils.mlflow_tags": {"MLFLOW_RUN_NAME": "mlflow.runName"},
        "mlflow.entities": {"Param": dict, "Metric": dict},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("pytorch_lightning.loggers.mlflow._MLFLOW_AVAILABLE", True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the client sets it, here as there: put back after the test
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return calls


def test_mlflow_is_given_name_tags_place_and_grids(
    fake_mlflow: list[tuple[str, Any]], configure: Configure, tmp_path: Path
) -> None:
    settings: Any = OmegaConf.to_container(configure("logger=mlflow").logger.mlflow, resolve=True)
    labels = Labels("one", "sweep", ("attack=none", "defense=a", "defense=b"))
    made = loggers.instantiate_logger(settings, tmp_path, labels, None)
    assert isinstance(made, MLFlowLogger)
    assert ("uri", f"sqlite:///{tmp_path}/mlflow.db") in fake_mlflow
    loggers.with_facts(made, {"seed": 0})
    (created,) = [kwargs for name, (_, kwargs) in fake_mlflow[1:] if name == "create_run"]
    assert created["tags"] == {"attack": "none", "defense": "a,b", "mlflow.runName": "one"}
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "grid.png")
    send_image(made, "samples", tmp_path / "grid.png", 4)
    name, (args, kwargs) = fake_mlflow[-1]
    assert (name, args[0], kwargs) == ("log_image", "run7", {"key": "samples", "step": 4})
    assert (args[1] == 7).all()
    assert args[1].shape == (2, 3, 3)


@pytest.mark.parametrize("before", [None, "http://server"])
def test_mlflow_does_not_send_the_next_run_to_the_place_of_this_one(
    before: str | None,
    fake_mlflow: list[tuple[str, Any]],
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if before is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
    loggers.build_loggers(configure("logger=mlflow"), tmp_path, {}, {})
    assert ("uri", before or f"sqlite:///{tmp_path}/mlflow.db") in fake_mlflow
    assert "log_batch" in {name for name, _ in fake_mlflow}
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_mlflow_takes_the_settings_of_a_run_that_is_resumed_once(
    fake_mlflow: list[tuple[str, Any]], configure: Configure, tmp_path: Path
) -> None:
    settings: Any = OmegaConf.to_container(configure("logger=mlflow").logger.mlflow, resolve=True)
    settings["tracking_uri"] = "http://server"
    made = loggers.instantiate_logger(settings, tmp_path, PLAIN, "run7")
    assert ("uri", "http://server") in fake_mlflow
    assert made._run_id == "run7"
    loggers.with_facts(made, {"seed": 0}, resumed=True)
    assert "log_batch" not in {name for name, _ in fake_mlflow}
    loggers.with_facts(made, {"seed": 0})
    assert "log_batch" in {name for name, _ in fake_mlflow}
