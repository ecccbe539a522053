"""The main job from configuration to a run's folder, and the data set that is drawn from it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning.loggers import Logger

from fedgan import sample, train
from fedgan.config import sampling, training
from fedgan.config.logging import loggers
from fedgan.core.images import ImageSet
from fedgan.core.latents import balanced_latents
from fedgan.core.update import state_hash
from fedgan.runs.export import load_generator
from fedgan.runs.load import open_run
from fedgan.scoring.grid import save_grid
from fedgan.scoring.sampling import synthesize
from tests.helpers.federation import FEDDETECT, TINY
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
Call = Callable[..., Any]

DEFENDED = (*FEDDETECT, "fl.rounds=3", "evaluation.every=2")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hydra import compose, initialize_config_dir

    from fedgan.config.refusals import CONF

    folder = tmp_path_factory.mktemp("runs") / "one"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[*TINY, *DEFENDED, "metrics=[emission]", "model.ema=0.5"])
    training.train(cfg, folder)
    return folder


def test_run_folder_is_whole(run_folder: Path) -> None:
    names = {str(path.relative_to(run_folder)) for path in run_folder.rglob("*") if path.is_file()}
    expected = {"config.yaml", "run.json", "summary.json", "rounds.csv", "clients.csv", "generator.safetensors"}
    assert expected | {"samples/round_0001.png", "samples/round_0002.png", "checkpoints/round_0002.ckpt"} <= names
    hidden = {name for name in names if Path(name).name.startswith(".")}
    assert hidden == {".lock"}, "no temporary files are left"


def test_rounds_csv(run_folder: Path) -> None:
    table = rows(run_folder / "rounds.csv")
    assert [row["round"] for row in table] == ["0", "1", "2"]
    expected = ["round", "loss_g", "loss_d", "effective_clients", "true_positive_rate", "false_positive_rate"]
    assert list(table[0])[:6] == expected
    assert [bool(row["emission"]) for row in table] == [False, True, True], "every second round and the last"
    assert {"emission/normal", "emission/pneumonia"} <= set(table[0])
    for row in table:
        assert 1.0 <= float(row["effective_clients"]) <= 4.0


def test_timing_csv(run_folder: Path) -> None:
    """Apart from the other tables, so that these are the same whenever a run is repeated."""
    table = rows(run_folder / "timing.csv")
    assert [(row["round"], row["images"]) for row in table] == [("0", "64"), ("1", "64"), ("2", "64")]
    for row in table:
        assert float(row["images_per_second"]) == pytest.approx(64 / float(row["seconds"]), rel=0.05)
    since = [float(row["seconds_since_start"]) for row in table]
    assert sorted(since) == since
    assert since[-1] > sum(float(row["seconds"]) for row in table)


def test_clients_csv_agrees_with_rounds_csv_and_summary(run_folder: Path) -> None:
    table, per_round = rows(run_folder / "clients.csv"), rows(run_folder / "rounds.csv")
    summary = json.loads((run_folder / "summary.json").read_text())
    assert len(table) == 3 * 4
    for row in per_round:
        mine = [client for client in table if client["round"] == row["round"]]
        weights = [float(client["weight"]) for client in mine]
        assert sum(weights) == pytest.approx(1.0)
        assert 1 / sum(w * w for w in weights) == pytest.approx(float(row["effective_clients"]))
        mean_loss = np.mean([float(client["loss_g"]) for client in mine])
        assert mean_loss == pytest.approx(float(row["loss_g"]))
    last = {row["client"]: row for row in table if row["round"] == "2"}
    malicious = [client for client, row in last.items() if row["malicious"] == "1"]
    assert [int(client) for client in malicious] == summary["malicious"]
    assert {row["poisoned_images"] for client, row in last.items() if client in malicious} == {"16"}
    assert {row["poisoned_images"] for client, row in last.items() if client not in malicious} == {"0"}
    assert summary["weights"] == {client: float(row["weight"]) for client, row in last.items()}
    assert summary["flag_counts"] == {client: int(row["flag_count"]) for client, row in last.items()}


def test_run_json_says_what_ran(run_folder: Path) -> None:
    run = json.loads((run_folder / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["seed"] == 0
    assert run["device"] == "cpu"
    assert run["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert run["dataset"]["train"]["counts"] == {"normal": 32, "pneumonia": 32}
    assert run["poison_reports"][0]["images_changed"] == run["poison_reports"][0]["num_examples"] == 16
    assert run["poison_reports"][0]["share_changed"] == 64 / 1024
    assert run["seconds"] > 0
    assert run["images_per_second"] > 0
    assert run["peak_memory_bytes"]["host"] > 10**7


def test_configuration_is_kept_resolved(run_folder: Path) -> None:
    cfg = OmegaConf.load(run_folder / "config.yaml")
    assert cfg.dataset.seed == 0
    assert "${" not in (run_folder / "config.yaml").read_text().partition("hydra:")[0]


def test_generator_file_is_enough_to_load_it(run_folder: Path) -> None:
    release = load_generator(run_folder)
    summary = json.loads((run_folder / "summary.json").read_text())
    assert release.sha256 == summary["generator_sha256"] == state_hash(release.generator.state_dict())
    assert release.spec.classes == ("normal", "pneumonia")
    images = release.generator(torch.zeros(2, release.generator.z_dim), torch.tensor([0, 1]))
    assert images.shape == (2, 1, 32, 32)


def test_grid_shows_every_class_by_name(run_folder: Path) -> None:
    picture = np.asarray(Image.open(run_folder / "samples" / "round_0002.png"))
    assert picture.shape == (4 * (18 + 64 + 4), 8 * 66 + 2, 3)
    for band in (picture[top : top + 16] for top in range(0, 344, 86)):
        assert (band.min(), band.max()) == (0, 255), "the class's name stands above its band"


def test_same_command_twice_gives_the_same_bits(configure: Configure, tmp_path: Path, run_folder: Path) -> None:
    cfg = configure(*DEFENDED, "metrics=[emission]", "model.ema=0.5")
    again = training.train(cfg, tmp_path / "again")
    assert again["generator_sha256"] == json.loads((run_folder / "summary.json").read_text())["generator_sha256"]
    assert (tmp_path / "again/clients.csv").read_text() == (run_folder / "clients.csv").read_text()
    picture = "samples/round_0002.png"
    assert (tmp_path / "again" / picture).read_bytes() == (run_folder / picture).read_bytes()


def test_control_looks_for_the_trigger_that_nobody_carries(configure: Configure, tmp_path: Path) -> None:
    defense = ("defense=feddetect_code", "defense.feddetect_code.warmup=0")
    summary = training.train(configure("fl.malicious=0", "metrics=[emission]", *defense), tmp_path / "control")
    assert summary["malicious"] == []
    assert "emission" in summary["metrics"]
    table, clients = (rows(tmp_path / "control" / name) for name in ("rounds.csv", "clients.csv"))
    assert {row["true_positive_rate"] for row in table} == {""}
    flags = [[int(row["flagged"]) for row in clients if row["round"] == each["round"]] for each in table]
    assert [float(row["false_positive_rate"]) for row in table] == [sum(flagged) / 4 for flagged in flags]


def test_rates_of_flags_are_absent_where_no_defense_flags(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("defense=median", "fl.rounds=1"), tmp_path / "run")
    table = rows(tmp_path / "run/rounds.csv")
    assert {(row["true_positive_rate"], row["false_positive_rate"]) for row in table} == {("", "")}


def test_metric_that_cannot_be_computed_is_absent_with_a_reason(configure: Configure, tmp_path: Path) -> None:
    cfg = configure(*(o for o in TINY if "attack" not in o), "attack=none", "metrics=[emission]", tiny=False)
    summary = training.train(cfg, tmp_path / "run")
    assert summary["metrics"] == {}
    assert "no trigger" in summary["absent"]["emission"]


def test_a_run_that_breaks_off_is_not_taken_for_a_finished_one(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedgan.federated.server import Server

    def broken(*args: object) -> None:
        raise RuntimeError("the server is gone")

    monkeypatch.setattr(Server, "serve", broken)
    with pytest.raises(RuntimeError, match="the server is gone"):
        training.train(configure(), tmp_path / "run")
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert (run["status"], run["reason"]) == ("failed", "RuntimeError: the server is gone")
    assert not (tmp_path / "run/summary.json").exists()
    with pytest.raises(ValueError, match="run must be the folder of a finished run"):
        load_generator(tmp_path / "run")


def test_command_line_run_lands_in_outputs(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(train.main, *TINY, "fl.rounds=1", "name=mine")
    (folder,) = (tmp_path / "outputs/mine").iterdir()
    assert capsys.readouterr().out.strip().endswith(str(folder))
    assert (folder / ".hydra/overrides.yaml").is_file()
    assert (folder / "generator.safetensors").is_file()


def test_multirun_has_one_folder_per_override_set(call: Call, tmp_path: Path) -> None:
    call(train.main, "-m", *TINY, "fl.rounds=1", "attack.size=4,8", "fl.malicious=0,1", "name=sweep")
    (sweep,) = (tmp_path / "outputs/sweep").iterdir()
    folders = {path.name for path in sweep.iterdir() if path.is_dir()}
    assert len(folders) == 4
    for size in (4, 8):
        for malicious in (0, 1):
            (folder,) = [f for f in folders if f"attack.size-{size}" in f and f"fl.malicious-{malicious}" in f]
            assert json.loads((sweep / folder / "run.json").read_text())["status"] == "finished"


def test_wandb_is_offline_and_in_the_runs_folder(
    configure: Configure, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cfg = configure("logger=wandb", "fl.rounds=1")
    training.train(cfg, tmp_path / "run")
    assert list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert list((tmp_path / "run/wandb").glob("offline-run-*/files/media/images/*.png"))
    assert "WARNING" not in capfd.readouterr().err


def test_sample_draws_a_labeled_data_set(call: Call, run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "synthetic"
    call(sample.main, f"run={run_folder}", "per_class=5", f"out={out}")
    manifest = rows(out / "manifest.csv")
    assert len(manifest) == 10
    release = load_generator(run_folder)
    assert {row["generator_sha256"] for row in manifest} == {release.sha256}
    assert len({row["latent_seed"] for row in manifest}) == 10
    assert {path.name for path in (out / "normal").iterdir()} == {f"{i:06d}.png" for i in range(5)}
    for row in manifest:
        assert row["file"].startswith(row["class"] + "/")
        latent = np.random.default_rng(int(row["latent_seed"])).standard_normal(64, dtype=np.float32)
        z = torch.from_numpy(latent)[None]
        with torch.no_grad():
            expected = release.generator(z, torch.tensor([int(row["label"])]))[0, 0].add(1).mul(127.5)
        drawn = np.asarray(Image.open(out / row["file"]))
        assert np.abs(drawn - expected.numpy()).max() <= 0.51, "any image can be drawn again from the manifest"


def test_more_samples_leave_the_first_ones_as_they_were(call: Call, run_folder: Path, tmp_path: Path) -> None:
    for count in (2, 6):
        call(sample.main, f"run={run_folder}", f"per_class={count}", f"out={tmp_path / str(count)}")
    for name in ("normal/000001.png", "pneumonia/000001.png"):
        assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "6" / name).read_bytes()


def test_sampling_writes_all_or_nothing(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        sampling.write_dataset(load_generator(run_folder), tmp_path / "out", per_class=2, seed=0, batch_size=2)
    assert list(tmp_path.iterdir()) == []


def test_the_grids_and_scores_are_the_released_generators(run_folder: Path, tmp_path: Path) -> None:
    """Also where that is an average: the last grid can be drawn again from generator.safetensors."""
    release = load_generator(run_folder)
    request = balanced_latents(2, 8, seed=0)
    images = torch.cat(list(synthesize(release.generator, request)))
    synthetic, test = ImageSet(images, request.labels, release.spec.classes), open_run(run_folder).splits.test
    note = ", synthetic, after round 2"
    save_grid(synthetic, tmp_path / "again.png", per_class=8, note=note, real=test)
    again, grid = (np.asarray(Image.open(p)).astype(int) for p in (tmp_path / "again.png", last_grid(run_folder)))
    assert np.abs(again - grid).max() <= 1
    checkpoint = torch.load(run_folder / "checkpoints/round_0002.ckpt", weights_only=True)["state_dict"]
    server = {name[10:]: tensor for name, tensor in checkpoint.items() if name.startswith("generator.")}
    assert state_hash(server) != release.sha256, "the average differs from G_server"


def last_grid(folder: Path) -> Path:
    return folder / "samples" / "round_0002.png"


def test_loggers_get_curves_settings_and_fingerprint(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory(Logger):
        name, version = "memory", "0"

        def __init__(self) -> None:
            super().__init__()
            self.rows: list[tuple[int, dict[str, float]]] = []
            self.images: list[str] = []

        def log_hyperparams(self, params: dict[str, Any]) -> None:
            self.params = params

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.rows.append((step or 0, metrics))

        def log_image(self, key: str, images: list[str], **kwargs: Any) -> None:
            self.images += images

    memory = Memory()
    monkeypatch.setattr(loggers, "instantiate_logger", lambda *arguments: memory)
    summary = training.train(configure("logger=wandb", "metrics=[emission]"), tmp_path / "run")
    assert memory.params["attack"]["size"] == 8
    assert len(memory.params["data"]["train"]["sha256"]) == 64
    curves = {name: value for _, row in memory.rows for name, value in row.items()}
    for i in range(4):
        assert {f"client_{i}/loss_g", f"client_{i}/loss_d", f"client_{i}/weight"} <= set(curves)
        assert curves[f"client_{i}/weight"] == summary["weights"][str(i)]
    last = rows(tmp_path / "run/rounds.csv")[-1]
    assert curves["loss_g"] == pytest.approx(float(last["loss_g"]))
    assert [Path(image).name for image in memory.images] == ["round_0001.png"]


def test_a_diverged_run_fails_and_says_where(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("model.optimizer_g.lr=1e30", "model.optimizer_d.lr=1e30")
    words = r"round \d was tried 4 times and given up: 0 of 4 .*client 0: bad_update \(loss_\w+ is (nan|inf)\)"
    with pytest.raises(ValueError, match=words):
        training.train(cfg, tmp_path / "run")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run/generator.safetensors").exists()


def test_a_finished_run_is_not_written_over_and_leftovers_are_cleared(configure: Configure, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    training.train(configure(), folder)
    before = (folder / "config.yaml").read_text()
    with pytest.raises(ValueError, match="a folder without a finished run"):
        training.train(configure("attack.size=4"), folder)
    assert (folder / "config.yaml").read_text() == before
    (folder / "run.json").write_text('{"status": "failed", "versions": {"fedgan": "0.1.0"}}')
    with pytest.raises(ValueError, match=r"a folder without a run \(resume=auto resumes it\)"):
        training.train(configure("attack.size=4"), folder)
    shutil.rmtree(folder / "checkpoints")  # as if it had not survived its first round
    (folder / "samples/round_0099.png").write_bytes(b"")
    training.train(configure("attack.size=4"), folder)
    assert not (folder / "samples/round_0099.png").exists()
    assert len(rows(folder / "rounds.csv")) == 2


def test_an_attacker_who_sat_out_has_no_weight_to_report(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("fl.clients_per_round=1", "fl.malicious=[2]", "fl.rounds=1")
    summary = training.train(cfg, tmp_path / "run")
    took_part = list(summary["weights"])
    assert summary["weight_of_malicious"] == (1.0 if took_part == ["2"] else None)


def test_a_sweep_continues_after_a_refusal_and_folders_differ(call: Call, tmp_path: Path) -> None:
    """Also where the swept key is the last of a name too long for a folder."""
    long = "evaluation.latent_seed=" + "1" * 9
    with pytest.raises(SystemExit, match="1 run of this sweep refused"):
        call(train.main, "-m", *TINY, "fl.rounds=1", long, "attack.size=40,8", "seed=0", "hydra.sweep.dir=first")
    finished = [json.loads(p.read_text())["status"] for p in (tmp_path / "first").glob("*/run.json")]
    assert finished == ["finished"]
    call(train.main, "-m", *TINY, "fl.rounds=1", long, "seed=0,1", "hydra.sweep.dir=second")
    seeds = sorted(json.loads(p.read_text())["seed"] for p in (tmp_path / "second").glob("*/run.json"))
    assert seeds == [0, 1]


def test_a_logger_that_cannot_get_online_continues_offline_and_says_so(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Remote(Logger):
        name, version = "remote", "0"

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

        def log_metrics(self, *args: Any, **kwargs: Any) -> None:
            assert self.mode == "offline"

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            modes.append(self.mode)
            if self.mode == "online":
                raise ConnectionError("no such\nhost")

    modes: list[str] = []
    monkeypatch.setattr(loggers, "instantiate_logger", lambda settings, *_: Remote(settings["mode"]))
    training.train(configure("logger=wandb", "logger.wandb.mode=online", "fl.rounds=1"), tmp_path / "run")
    assert modes == ["online", "offline"]
    assert capsys.readouterr().err.count("cannot get online (no such host); it continues offline") == 1
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"
