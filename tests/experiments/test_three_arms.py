import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments import three_arms
from tests.helpers.federation import TINY


def write_run(
    folder: Path, malicious: list[int], weight: float | None, emission: float | None, seed: int = 0, defense: str = "{}"
) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"seed: {seed}\ndefense: {defense}\n")
    metrics = {} if emission is None else {"emission": emission}
    summary = {"malicious": malicious, "weight_of_malicious": weight, "metrics": metrics, "effective_clients": 4.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    losses = {0: (3.0, 1.0, 2.0, 3.0), 1: (1.0, 1.0, 2.0, 3.0)}  # of clients 0 to 3 by round; client 0 may attack
    flagged = {(0, 0), (1, 0), (1, 3)} if defense != "{}" else set()
    rows = [
        f"{t},{i},{int(i in malicious)},{loss},{int((t, i) in flagged)}"
        for t in losses
        for i, loss in enumerate(losses[t])
    ]
    (folder / "clients.csv").write_text("\n".join(["round,client,malicious,loss_g,flagged", *rows]) + "\n")
    Image.new("RGB", (40, 30), "red").save(folder / "samples" / "round_0001.png")
    Image.new("RGB", (40, 30), "blue").save(folder / "samples" / "round_0003.png")
    return folder


def test_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = {
        "no attack": [write_run(tmp_path / f"a{i}", [], None, 0.0) for i in range(2)],
        "attack": [write_run(tmp_path / f"b{i}", [0], 0.25, 0.2 + 0.2 * i) for i in range(2)],
    }
    three_arms.show(arms, tmp_path, "title")
    with (tmp_path / "table.csv").open() as file:
        control, attacked = csv.DictReader(file)
    assert control["weight of the malicious client"] == "-"
    assert attacked["weight of the malicious client"] == "0.250 ± 0.000"
    assert attacked["images with the trigger"] == "0.300 ± 0.141"
    assert control["Frechet distance (lower is better)"] == "-"
    assert control["attacker's loss / others' median, rounds' 2nd half"] == "-"
    assert attacked["attacker's loss / others' median, rounds' 1st half"].startswith("1.500")
    assert attacked["attacker's loss / others' median, rounds' 2nd half"].startswith("0.500")
    picture = np.asarray(Image.open(tmp_path / "three_arms.png"))
    assert picture.shape == (30 + 18, 2 * 40 + 12, 3)
    assert picture[25, 5].tolist() == [0, 0, 255], "the last round's grid is shown"
    assert capsys.readouterr().out.strip().endswith("three_arms.png")


def test_it_says_what_a_defense_came_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped: at most 0.05 above the control of the same seed, which has 0.02 and 0.00; 0.06 is and 0.06 is not."""
    detector = "{feddetect: {warmup: 0}}"
    arms = {
        "no attack": [write_run(tmp_path / f"a{i}", [], None, 0.02 - 0.02 * i, seed=i) for i in range(2)],
        "attack + FedDetect": [write_run(tmp_path / f"b{i}", [0], 0.1, 0.06, i, detector) for i in range(2)],
    }
    three_arms.show(arms, tmp_path, "title")
    line = "attack + FedDetect: trigger stopped in 1 of 2 federation(s); 6% of the images carry it"
    assert line in capsys.readouterr().out.splitlines()
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, str(i)) for arm in arms for i in range(2)]
    assert [float(row["images with the trigger"]) for row in rows] == [0.02, 0.0, 0.06, 0.06]
    assert [row["rounds in which the malicious client was flagged"] for row in rows] == ["", "", "2.0", "2.0"]
    assert [row["flags of honest clients"] for row in rows] == ["", "", "1.0", "1.0"]


def test_it_runs_its_three_arms(call: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = [*TINY, "metrics=[emission]", "fl.local_epochs=1", "fl.rounds=6"]
    overrides = ",".join(f'"{setting}"' for setting in settings)
    arguments = (f"overrides=[{overrides}]", f"hydra.run.dir={tmp_path / 'out'}")
    call(three_arms.main, *arguments)
    output = capfd.readouterr().out
    assert "finished before" not in output
    call(three_arms.main, *arguments)
    again = capfd.readouterr().out
    assert again.count("finished before") == 3, "a finished run is never repeated"
    assert output.strip().endswith("three_arms.png")
    with (tmp_path / "out/table.csv").open() as file:
        table = {row["arm"]: row for row in csv.DictReader(file)}
    assert list(table) == ["no attack", "attack", "attack + FedDetect"]
    assert table["no attack"]["weight of the malicious client"] == "-"
    assert float(table["attack"]["weight of the malicious client"]) == 0.25
    assert float(table["attack + FedDetect"]["effective clients"]) <= 4.0
    for arm in ("attack", "attack_feddetect"):
        summary = json.loads((tmp_path / f"out/{arm}_seed0/summary.json").read_text())
        assert len(summary["malicious"]) == 1
