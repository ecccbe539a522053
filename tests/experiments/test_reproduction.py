"""The paper's tables and figures, made of runs that take a second each."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from experiments.measures import attackers_loss, figures, flags
from experiments.reproduction import command
from experiments.reproduction.artefact import EXPERIMENTS, Artefact
from experiments.reproduction.plan import Plan, vanilla
from experiments.reproduction.tables import Table, read_published
from experiments.running import Job
from fedgan.cli import CONF
from tests.conftest import TINY

CLASSIFIERS = [f"metrics.{name}.classifier.steps=3" for name in ("transfer", "frechet", "lpips_classifier")]
SMALLEST = {
    "seeds": [0, 1],
    "overrides": CLASSIFIERS,
    "scale": {
        "sizes": [32],
        "settings": ["metrics=[emission,transfer,frechet,lpips_classifier]", "metrics.emission.false_alarm=0.1"],
        "data": {
            "chestx": {
                "needs_root": False,
                "settings": list(TINY),
                "defenses": {
                    "reconstruction": [
                        "defense.reconstruction.images_per_class=4",
                        "defense.reconstruction.epochs=1",
                    ],
                    "feddetect": ["defense.feddetect.warmup=0"],
                },
            },
            "isic": {
                "settings": [*TINY, "dataset=lesion_phantom", "attack=random_patch"],
                "defenses": {"feddetect": ["defense.feddetect.warmup=0"]},
            },
        },
        "null": ["metrics=[emission,transfer]", "samples_per_class=8", "metrics.transfer.classifier.steps=3"],
        "utility": [
            *("classifier=small_cnn", "classifier.epochs=1", "classifier.steps_per_epoch=1"),
            *("real_per_class=[1,2]", "synthetic_per_class=4"),
        ],
    },
}
MADE = ("table2", "table4", "figure4", "figure6", "figure7")


def plan_of(folder: Path, *overrides: str, changed: dict[str, Any] | None = None) -> Plan:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("reproduction", overrides=[f"runs={folder}/runs", f"results={folder}/results", *overrides])
    merged = OmegaConf.merge(cfg, changed or {})
    assert isinstance(merged, DictConfig)
    return Plan(merged)


def artefacts(*names: str) -> list[Artefact]:
    return [import_module(f"experiments.{name}").ARTEFACT for name in names]


@pytest.fixture(scope="module")
def in_process() -> Iterator[list[str]]:
    """Carries jobs out one after another in this process, where nothing is imported anew; lists what it did."""
    done: list[str] = []

    def carry_out(jobs: Sequence[Job], **_: int) -> None:
        for job in jobs:
            if not job.is_done():
                done.append(job.name)
                patch.setattr(sys, "argv", ["command", *job.command[1:]])
                GlobalHydra.instance().clear()
                import_module(job.command[0]).main()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "carry_out", carry_out)
        yield done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, in_process: list[str]) -> Iterator[Plan]:
    folder = tmp_path_factory.mktemp("reproduction")
    plan = plan_of(folder, changed=SMALLEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        command.reproduce(artefacts(*MADE), plan)
        yield plan


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_no_run_is_made_twice(made: Plan, in_process: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(in_process)) == len(in_process)
    assert "chestx: vanilla, seed 0" in in_process
    assert sum("null" in name for name in in_process) == 2, "an attack's null is looked at once for all tables"
    before = {path.name: path.read_bytes() for path in made.results.iterdir()}
    for path in made.results.iterdir():
        path.unlink()
    in_process.clear()
    command.reproduce(artefacts(*MADE), made)
    assert in_process == [f"{data}: utility, seed {seed}" for seed in (0, 1) for data in ("isic", "chestx")]
    assert {path.name: path.read_bytes() for path in made.results.iterdir()} == before, "the same files, to the byte"


def test_a_table_holds_what_the_runs_hold(made: Plan) -> None:
    table: Table = artefacts("table4")[0]  # type: ignore[assignment]
    rows = {(row["arm"], row["class"], row["figure"]): row for row in read_csv(made.results / "table4.csv")}
    arms = table.arms(made)
    assert len(arms) == 2 + 4 * 2
    for arm in arms:
        summaries = [json.loads((made.folder(arm, seed) / "summary.json").read_text()) for seed in (0, 1)]
        for each in ("normal", "pneumonia"):
            values = [summary["metrics"][f"emission/{each}"] for summary in summaries]
            row = rows[str(arm), each, "emission"]
            assert float(row["mean"]) == pytest.approx(np.mean(values))
            assert float(row["std"]) == pytest.approx(np.std(values, ddof=1))
            assert row["values"] == " ".join(map(repr, values))
    assert float(rows["FedDetect 32", "PNEUMONIA", "lpips_published"]["mean"]) == 0.4187
    assert (rows["attack 32", "normal", "control_emission"]["mean"]) != ""
    text = (made.results / "table4.md").read_text()
    for said in ("chest_phantom", "32 x 32", "4 clients", "2 rounds", "Seeds 0, 1", "commit", "4 px (32 at 256)"):
        assert said in text, said
    assert "FedDetect, no attack" in text
    assert "Rule of the verdicts" in text
    latex = (made.results / "table4.tex").read_text()
    assert latex.count(r"\toprule") == 3


def test_verdicts_are_written(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    for name in MADE:
        artefact = artefacts(name)[0]
        text = (made.results / f"{name}.md").read_text()
        for verdict in artefact.verdicts(made):
            line = next(line for line in text.splitlines() if verdict.claim.says in line)
            assert f"| {verdict.verdict} " in line
    command.show(artefacts("table2")[0], made)
    assert "raises LPIPS" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "rows"), [("figure4", 3), ("figure6", 4)])
def test_a_grid_is_a_picture(made: Plan, name: str, rows: int) -> None:
    with Image.open(made.results / f"{name}.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.std() > 10
    dark_bands = np.diff((pixels < 250).mean(axis=1) > 0.5).sum()
    assert dark_bands >= 2 * rows - 1, "a band of images a row"
    assert (made.results / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_curve(made: Plan) -> None:
    rows = read_csv(made.results / "figure7.csv")
    assert {row["data"] for row in rows} == {"isic", "chestx"}
    assert {row["arm"] for row in rows} == {"real only", "vanilla", "attacked", "feddetect"}
    assert {row["real_per_class"] for row in rows} == {"1", "2"}
    values = artefacts("figure7")[0].values(made)
    assert set(values["chestx: vanilla @ 1"]["accuracy"]) == {0, 1}
    fits = [row for seed in (0, 1) for row in read_csv(made.runs / f"chestx/utility-seed_{seed}/results.csv")]
    assert {row["seed"] for row in fits} == {"0", "1", "2", "3"}, "no two generators share a classifier's seed"
    own = [float(row["accuracy"]) for row in fits if row["arm"] == "vanilla" and row["real_per_class"] == "1"]
    row = next(r for r in rows if (r["data"], r["arm"], r["real_per_class"]) == ("chestx", "vanilla", "1"))
    assert float(row["mean"]) == pytest.approx(np.mean(own))


def test_a_null_of_another_generator_is_looked_at_again(made: Plan) -> None:
    job = made.nulls("chestx")[0]
    assert job.is_done()
    file = job.folder / "evaluation.json"
    whole = file.read_text()
    file.write_text(json.dumps(json.loads(whole) | {"control_generator_sha256": "another's"}))
    assert not job.is_done()
    file.write_text(whole)


def test_figures_of_a_run(tmp_path: Path) -> None:
    summary = {"metrics": {"emission": 0.5}, "effective_clients": 3.0, "rounds": 2, "malicious": [0]}
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"weight_of_malicious": 0.1}))
    # Client 0 attacks; round 2 is the server's own fine-tuning, by a client of its own.
    lines = ["round,client,malicious,loss_g,flagged", "0,0,1,3.0,1", "0,1,0,1.0,1", "0,2,0,2.0,0"]
    lines += ["1,0,1,1.0,0", "1,1,0,1.0,0", "1,2,0,1.0,0", "2,3,0,9.0,0"]
    (tmp_path / "clients.csv").write_text("\n".join(lines) + "\n")
    assert attackers_loss(tmp_path) == [2.0, 1.0]
    assert flags(tmp_path, 2, malicious=False) == (0.5, 0.25)
    assert flags(tmp_path, 2, malicious=True) == (0.5, 0.5)
    found = figures(tmp_path)
    assert (found["loss_ratio"], found["benign_flags"], found["weight_of_malicious"]) == (1.5, 0.5, 0.1)
    assert "control_emission" not in found
    (tmp_path / "evaluation.json").write_text(json.dumps({"control_metrics": {"emission": 0.25}}))
    assert figures(tmp_path)["control_emission"] == 0.25


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_the_scales_settings_are_settings(scale: str, tmp_path: Path) -> None:
    from fedgan.train import check_settings

    plan = plan_of(tmp_path, f"scale={scale}", "chestx=somewhere", "isic=elsewhere")
    arms = {arm for artefact in artefacts(*command.NAMES) for arm in artefact.arms(plan)}
    assert len(arms) == 2 * (1 + 3 + 4 * 4)
    assert len({plan.folder(arm, 0) for arm in arms}) == len(arms)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for arm in sorted(arm for arm in arms if arm.size < 32):
            cfg = compose("config", overrides=plan.settings(arm, 0))
            check_settings(cfg)
            assert list(cfg.defense) == ([] if arm.defense == "none" else [arm.defense])
            assert cfg.attack.malicious == (1 if arm.size else 0)
            assert cfg.attack.size * 256 == (arm.size or 16) * cfg.dataset.image_size
            if "feddetect" in cfg.defense:
                assert cfg.defense.feddetect.decay == {"isic": 0.9, "chestx": 0.8}[arm.data]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=[]"], "seeds must be at least one"),
        (["seeds=[1,1]"], "seeds must be at least one, all different"),
        (["seeds=[-1]"], "each of seeds must be"),
        (["jobs=0"], "jobs must be"),
        (["threads=x"], "threads must be"),
        (["scale.sizes=[8]"], "scale.sizes must be some of the paper's 16, 32, 64"),
        (["scale.sizes=[]"], "scale.sizes must be some of the paper's 16, 32, 64"),
        (["scale.image_size=4"], "scale.image_size must be"),
    ],
)
def test_bad_settings(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        plan_of(tmp_path, *overrides)


def test_data_that_are_not_at_hand(call: Callable[..., Any]) -> None:
    table = import_module("experiments.table2.__main__")
    with pytest.raises(SystemExit, match="chestx must be the folder of chest X-rays; got None"):
        call(table.main)


def test_published_numbers_are_the_papers() -> None:
    """A few read off the paper's tables by eye, and how many there are."""
    tables = {name: read_published(EXPERIMENTS / name / "published.csv") for name in command.NAMES[:4]}
    assert [len(tables[name]) for name in command.NAMES[:4]] == [8, 8, 32, 32]
    assert tables["table1"]["attack 32", "benign"] == 1.0373
    assert tables["table2"]["attack 16", "NORMAL"] == 0.7479
    assert tables["table3"]["reconstruction 32", "malignant"] == 0.5724
    assert tables["table3"]["rotation 16", "malignant"] == 0.8198
    assert tables["table4"]["horizontal flip 64", "NORMAL"] == 0.7767
    # Section 4.3.3 gives these means.
    feddetect = [value for (arm, _), value in tables["table3"].items() if arm.startswith("FedDetect")]
    assert np.mean(feddetect) == pytest.approx(0.73, abs=0.006)
    assert vanilla("isic").size == 0
