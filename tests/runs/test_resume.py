"""The exactness contract: a run that was stopped, killed or extended ends as the one that never was."""

import json
import pickle
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from fedgan import train
from fedgan.config import training
from fedgan.config.refusals import Interrupted
from fedgan.config.resume import (
    anchor,
    is_begun,
    keep_settings,
    leaves,
    logger_versions,
    recorded_settings,
    refuse_foreign,
    resumed_config,
)
from fedgan.core.tensor_files import read_checkpoint
from fedgan.runs.checkpoint import latest_checkpoint, rounds_done
from fedgan.runs.folder import record_of
from tests.helpers.federation import FEDDETECT, TINY
from tests.helpers.killing import killed_run
from tests.helpers.metrics import alexnet_file
from tests.helpers.runs import outcome, resume, rows, signalled

Call = Callable[..., Any]
Configure = Callable[..., DictConfig]
ROUNDS = 5
BASE = ("evaluation.every=2", "metrics=[emission]", "dataset.train_per_class=40")
SETTINGS = {
    "feddetect": FEDDETECT,
    "feddetect and gradient penalty": (
        "defense=[gradient_penalty,feddetect_code]",
        "defense.feddetect_code.warmup=0",
        "defense.feddetect_code.trees=10",
    ),
    "random patch, some clients, Adam, averaging": (
        *("dataset=lesion_phantom", "attack=random_patch", "fl.clients_per_round=3", "model.ema=0.5"),
        *("fl.server_optimizer._target_=torch.optim.Adam", "fl.server_optimizer.lr=0.01", "model.generator.norm=pixel"),
    ),
    "augmentation": ("defense=[horizontal_flip,rotation]", "fl.local_epochs=2"),
    "noise inputs": ("model=stylegan2", "model.generator.channel_base=256", "model.generator.mapping_layers=2"),
}


def settings_of(name: str) -> list[str]:
    own = SETTINGS[name]
    replaced = {override.partition("=")[0] for override in own}
    tiny = [o for o in TINY if o.partition("=")[0] not in replaced]
    if "model=stylegan2" in own:
        tiny = [o for o in tiny if o != "model=dcgan" and not o.startswith("model.generator")]
    return [*tiny, *BASE, *own]


@pytest.fixture(scope="module")
def straight_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("straight")


@pytest.fixture
def straight(straight_runs: Path, configure: Configure) -> Callable[..., dict[str, Any]]:
    def once(name: str, rounds: int = ROUNDS) -> dict[str, Any]:
        folder = straight_runs / f"{name.replace(' ', '_').replace(',', '')}_{rounds}"
        if not folder.exists():
            training.train(configure(*settings_of(name), f"fl.rounds={rounds}", tiny=False), folder)
        return outcome(folder)

    return once


def test_the_same_command_gives_the_same_files(configure: Configure, tmp_path: Path) -> None:
    """To the byte, checkpoints included: but for when it ran and how fast."""
    for name in ("one", "two"):
        training.train(configure(*settings_of("feddetect"), "fl.rounds=3", tiny=False), tmp_path / name)
    one, two = (
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one.keys() == two.keys()
    assert {"checkpoints/round_0002.ckpt", "generator.safetensors"} <= one.keys()
    assert {name for name in one if one[name] != two[name]} == {"run.json", "timing.csv"}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("k", [2, 3])
def test_a_run_that_ended_and_was_extended(
    name: str, k: int, configure: Configure, straight: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    training.train(configure(*settings_of(name), f"fl.rounds={k}", tiny=False), tmp_path / "run")
    resume(configure, tmp_path / "run", f"fl.rounds={ROUNDS}")
    assert outcome(tmp_path / "run") == straight(name)


@pytest.mark.parametrize("stop_at", [0, 9, 14])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stopped_by_a_signal(
    stop_at: int,
    number: signal.Signals,
    configure: Configure,
    straight: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signal comes in the middle of a client's training: its round is finished and kept."""
    trained = signalled(monkeypatch, number, stop_at + 1)
    cfg = configure(*settings_of("feddetect"), f"fl.rounds={ROUNDS}", tiny=False)
    with pytest.raises(
        Interrupted,
        match=f"stopped after {stop_at // 4 + 1} of {ROUNDS} rounds; to continue: python -m fedgan.train resume=",
    ):
        training.train(cfg, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", number.name)
    assert len(trained) == 4 * (stop_at // 4 + 1)
    assert not (tmp_path / "run" / "generator.safetensors").exists()
    resume(configure, tmp_path / "run")
    assert outcome(tmp_path / "run") == straight("feddetect")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["resumed"][0]["status"] == "interrupted"


def test_a_second_signal_stops_at_once(
    configure: Configure,
    straight: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = signalled(monkeypatch, signal.SIGINT, 5, 6)  # of the second round's four
    handler = signal.getsignal(signal.SIGINT)
    cfg = configure(*settings_of("feddetect"), f"fl.rounds={ROUNDS}", tiny=False)
    try:
        with pytest.raises(Interrupted, match=f"^stopped after 1 of {ROUNDS} rounds; to continue: .* resume="):
            training.train(cfg, tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored, for the process is about to end
    assert len(trained) == 6
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "at once")
    resume(configure, tmp_path / "run")
    assert outcome(tmp_path / "run") == straight("feddetect")


def test_a_second_signal_in_the_first_round_leaves_nothing_to_continue(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signalled(monkeypatch, signal.SIGINT, 1, 2)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            training.train(configure(*settings_of("feddetect"), "fl.rounds=2", tiny=False), tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, handler)


PLACES = {"training": 24, "aggregation": 3, "checkpoint": 3, "rename": 15, "record": 12}  # calls in some three rounds


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run(
    place: str, configure: Configure, straight: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    n = {"training": 17, "aggregation": 3, "checkpoint": 3, "rename": 6, "record": 5}[place]
    expected = straight("feddetect")
    folder = tmp_path / "run"
    start = [*settings_of("feddetect"), f"fl.rounds={ROUNDS}", f"hydra.run.dir={folder}"]
    assert killed_run(folder, place, n, start) == -signal.SIGKILL
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    resume(configure, folder)
    assert outcome(folder) == expected


@pytest.mark.parametrize(("place", "n"), [("generator", 1), ("summary", 1), ("end", 2)])
def test_a_run_killed_after_its_last_round(
    place: str, n: int, configure: Configure, straight: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    """It has all its checkpoints, and run.json says that it is running: only the last evaluation is repeated."""
    expected, folder = straight("feddetect"), tmp_path / "run"
    start = [*settings_of("feddetect"), f"fl.rounds={ROUNDS}", f"hydra.run.dir={folder}"]
    assert killed_run(folder, place, n, start) == -signal.SIGKILL
    assert record_of(folder)["status"] == "running"
    timed = (folder / "timing.csv").read_text()
    resume(configure, folder)
    assert outcome(folder) == expected
    assert (folder / "timing.csv").read_text() == timed
    assert record_of(folder)["images_per_second"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_four_kills_at_random(
    seed: int, configure: Configure, straight: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Twenty in all: start, be killed, resume, be killed, ...; each loses at most the round in progress."""
    draw, folder, rounds, done = random.Random(seed), tmp_path / "run", 12, 0
    arguments = [*settings_of("feddetect"), f"fl.rounds={rounds}", f"hydra.run.dir={folder}"]
    for _ in range(4):
        place = draw.choice(sorted(PLACES))
        assert killed_run(folder, place, draw.randint(1, PLACES[place]), arguments) == -signal.SIGKILL
        newest = latest_checkpoint(folder)
        now = 0 if newest is None else rounds_done(newest)
        recorded = len(rows(folder / "rounds.csv")) if (folder / "rounds.csv").exists() else 0
        assert now >= max(done, recorded - 1)
        done, arguments = now, [f"resume={folder}"] if (folder / "config.yaml").exists() else arguments
    assert 0 < done < rounds
    resume(configure, folder)
    assert outcome(folder) == straight("feddetect", rounds)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def finished(finished_once: Path, configure: Configure) -> Path:
    if not finished_once.exists():
        training.train(configure("fl.rounds=3"), finished_once)
    return finished_once


def test_a_finished_run_with_nothing_to_do_says_so(
    call: Call, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.rglob("*")}
    call(train.main, f"resume={finished}")
    assert "nothing to do: the run has its 3 rounds" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in finished.rglob("*") if file in before} == before


def test_weights_may_be_elsewhere_but_must_be_the_same(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured with another network, the rows of one table would not compare."""

    def no_download(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_download)
    first, moved = alexnet_file(tmp_path / "first.pth"), alexnet_file(tmp_path / "moved.pth")
    other = alexnet_file(tmp_path / "other.pth", seed=1)
    base = (*TINY, "metrics=[lpips]", f"metrics.lpips.weights={first}", "hydra.run.dir=run")
    call(train.main, *base, "fl.rounds=1")
    call(train.main, *base[:-1], "hydra.run.dir=in_one_go")
    before = (tmp_path / "run" / "rounds.csv").read_bytes()
    first.unlink()
    with pytest.raises(SystemExit, match=f"^error: metrics.lpips.weights must be a file, or null; got '{first}'$"):
        call(train.main, "resume=run", "fl.rounds=2")
    said = (
        "^error: metrics.lpips must be measured with the network that the run began with, [0-9a-f]+; got '[0-9a-f]+'$"
    )
    for plus in ("", "+", "++"):
        with pytest.raises(SystemExit, match=said):
            call(train.main, "resume=run", "fl.rounds=2", f"{plus}metrics.lpips.weights={other}")
    with pytest.raises(
        SystemExit, match=r"^error: metrics.lpips was measured in earlier rounds and cannot be now: .*no"
    ):
        call(train.main, "resume=run", "fl.rounds=2", "metrics.lpips.weights=null")
    assert (tmp_path / "run" / "rounds.csv").read_bytes() == before
    call(train.main, "resume=run", "fl.rounds=2", "metrics.lpips.weights=moved.pth")
    assert recorded_settings(tmp_path / "run").metrics.lpips.weights == str(moved)
    resumed, whole = (outcome(tmp_path / name) for name in ("run", "in_one_go"))
    assert {name for name, content in whole.items() if resumed[name] != content} == {"config.yaml"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("metrics.lpips.weights=moved.pth", "metrics.lpips.weights must be as in the run that is resumed"),
        ("seed=1", "seed must be 0, as in the run that is resumed"),
        ("attack.size=4", "attack.size must be as in the run that is resumed: only fl.rounds, the device"),
        ("defense=feddetect", "defense must be none, as in the run that is resumed .*; got feddetect"),
        ("model=dcgan_small", "model"),
        ("experiment=demo", ".* must be .*, as in the run that is resumed"),
        ("fl.rounds=2", "fl.rounds must be at least 3, the rounds that"),
        ("fl.rounds=none", "fl.rounds must be a whole number"),
    ],
)
def test_any_other_setting_is_refused_by_name(call: Call, finished: Path, override: str, words: str) -> None:
    with pytest.raises(SystemExit, match=f"error: {words}"):
        call(train.main, f"resume={finished}", override)


def test_settings_that_say_the_same_are_no_change(call: Call, finished: Path) -> None:
    call(train.main, f"resume={finished}", *[o for o in TINY if not o.startswith("fl.rounds")], "fl.rounds=3")


def test_no_run_to_resume(call: Call, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: resume must be a run's folder, with config.yaml in it"):
        call(train.main, f"resume={tmp_path / 'typo'}")
    assert not (tmp_path / "typo").exists()


def test_auto_begins_or_resumes_a_run(
    call: Call, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [override for override in TINY if not override.startswith("fl.rounds")]
    command = (*settings, "hydra.run.dir=run", "resume=auto")
    call(train.main, *command, "fl.rounds=1")
    assert (tmp_path / "run/.hydra/overrides.yaml").is_file()
    call(train.main, *command, "fl.rounds=2")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert len(record["resumed"]) == 1
    training.train(configure(), tmp_path / "straight")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")
    call(train.main, *command, "fl.rounds=2")
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"error: attack\.size must be 8, as in the run that is resumed"):
        call(train.main, *command, "fl.rounds=2", "attack.size=4")


def test_auto_clears_what_a_run_left_that_finished_no_round(call: Call, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("seed: 5\n")
    (tmp_path / "run/run.json").write_text('{"status": "running", "versions": {"fedgan": "0.1.0"}}')
    call(train.main, *TINY, "fl.rounds=1", "hydra.run.dir=run", "resume=auto")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "finished"


def test_a_resumed_sweep_makes_what_is_missing(call: Call, tmp_path: Path) -> None:
    command = ("-m", *[o for o in TINY if not o.startswith("attack.size")], "fl.rounds=1", "hydra.sweep.dir=sweep")
    call(train.main, *command, "attack.size=4,6")
    before = (tmp_path / "sweep/attack.size-4/run.json").read_text()
    call(train.main, *command, "attack.size=4,6,8", "resume=auto")
    assert (tmp_path / "sweep/attack.size-4/run.json").read_text() == before
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 3


def copy_of(finished: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(finished, target, symlinks=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cfg: cfg.fl.update({"engine": "serial"}), "with fl.engine=serial .fl/backend chooses it now"),
        (lambda cfg: cfg.attack.update({"malicious": 1}), "with attack.malicious=1 .fl.malicious is what it is called"),
        (
            lambda cfg: cfg.update({"defense": {"feddetect": {"statistic": "mean"}}}),
            "with defense.feddetect.statistic=mean .that run.s feddetect is now feddetect_mean or feddetect_code",
        ),
        (lambda cfg: cfg.pop("partition"), "a run of this version of fedgan .with fl.weighting and partition"),
    ],
)
def test_a_run_of_an_earlier_version_is_refused_in_one_line(
    change: Callable[[Any], Any], words: str, call: Call, finished: Path, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path / "run")
    settings = OmegaConf.load(run / "config.yaml")
    change(settings)
    OmegaConf.save(settings, run / "config.yaml")
    with pytest.raises(SystemExit, match=f"^error: resume must be .*{words}"):
        call(train.main, f"resume={run}", "fl.rounds=4")


def test_another_data_set_is_refused(configure: Configure, finished: Path, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("train_per_class: 32", "train_per_class: 33"))
    with pytest.raises(
        ValueError, match="resume: the training images must be .* the same pixels in the same order; chest_phantom has"
    ):
        resume(configure, run, "fl.rounds=4")


# What a resumed run's settings are, without running it


def recorded_run(folder: Path, cfg: DictConfig) -> Path:
    folder.mkdir(parents=True)
    keep_settings(cfg, folder)
    return folder


def settings_with(configure: Configure, run: Path, *overrides: str) -> DictConfig:
    typed = [f"resume={run}", *overrides]
    return resumed_config(configure(*typed, tiny=False), typed)


def test_a_resumed_run_keeps_its_settings_but_for_overrides(configure: Configure, tmp_path: Path) -> None:
    there = recorded_run(tmp_path / "run", configure("dataset=image_folder", "dataset.root=/old", tiny=False))
    before = OmegaConf.load(there / "config.yaml")
    assert before.resume is None
    overrides = (
        "dataset=image_folder",
        "fl.rounds=7",
        "dataset.root=/new",
        "dataset.cache_dir=/cache",
        "trainer.devices=2",
    )
    after = settings_with(configure, there, *overrides)
    changes = {key for key in leaves(before) | leaves(after) if leaves(before).get(key) != leaves(after).get(key)}
    assert changes == {
        *("resume", "fl.rounds", "trainer.max_epochs", "dataset.root", "dataset.cache_dir", "trainer.devices")
    }
    assert (after.resume, after.fl.rounds, after.trainer.max_epochs) == (str(there), 7, 7)
    assert (after.dataset.root, after.dataset.cache_dir, after.trainer.devices) == ("/new", "/cache", 2)
    untouched = settings_with(configure, there)
    assert leaves(untouched) == leaves(before) | {"resume": str(there)}


def test_files_of_metrics_may_have_moved_if_they_are_named(configure: Configure, tmp_path: Path) -> None:
    old = ("metrics=[lpips,frechet]", "metrics.lpips.weights=/old", "metrics.frechet.classifier.cache=/c")
    there = recorded_run(tmp_path / "run", configure(*old))
    cache = settings_with(configure, there, "metrics=[lpips,frechet]", *old[1:2], "metrics.frechet.classifier.cache=/d")
    assert (cache.metrics.lpips.weights, cache.metrics.frechet.classifier.cache) == ("/old", "/d")
    words = "^metrics.lpips.weights must be '/old', as in the run that is resumed .*; got null, which metrics= sets$"
    with pytest.raises(ValueError, match=words):
        settings_with(configure, there, "metrics=[lpips,frechet]", *old[2:])


@pytest.mark.parametrize(("dataset", "place"), [("image_folder", "dataset.root"), ("medmnist", "dataset.file")])
def test_root_says_where_the_data_lie_now(configure: Configure, tmp_path: Path, dataset: str, place: str) -> None:
    cfg = configure(f"dataset={dataset}", f"{place}=/old", tiny=False)
    there = recorded_run(tmp_path / "run", cfg)
    assert OmegaConf.select(settings_with(configure, there, "root=/new"), place) == "/new"
    assert OmegaConf.select(settings_with(configure, there), place) == "/old"
    drawn = recorded_run(tmp_path / "drawn", configure())
    with pytest.raises(ValueError, match="^root must be null: this run's data set is drawn, not read; got '/new'$"):
        settings_with(configure, drawn, "root=/new")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("seed=4",), "seed must be 3, as in the run that is resumed (fl.rounds, the device, .* root= may change)"),
        (("fl.batch_size=16",), "fl.batch_size must be 8, as in"),
        (("model=dcgan_small",), "model.[a-z_.]+ must be "),
        (("fl.rounds=0",), "fl.rounds must be a whole number of at least 1; got 0"),
        (("trainer.max_epochs=5",), "trainer.max_epochs must be fl.rounds=2, which is what sets it; got 5$"),
        (("fl.rounds=4", "trainer.max_epochs=5"), "trainer.max_epochs must be fl.rounds=4, which is what sets it"),
    ],
)
def test_a_changed_setting_is_refused(
    configure: Configure, tmp_path: Path, overrides: tuple[str, ...], words: str
) -> None:
    there = recorded_run(tmp_path / "run", configure("seed=3"))
    words = words.replace("(fl", r"\(fl").replace("change)", r"change\); got 4$")
    with pytest.raises(ValueError, match=f"^{words}"):
        settings_with(configure, there, *overrides)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "with config.yaml in it"), ("- a\n- b\n", "with settings in config.yaml")],
)
def test_a_folder_that_is_no_runs_is_not_resumed(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"^resume must be a run's folder, {words}; got '{tmp_path}'$"):
        recorded_settings(tmp_path)


def test_settings_that_name_files_become_absolute(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    data = ("dataset=image_folder", "dataset.root=a/b", "dataset.cache_dir='~/c'", "root=/d")
    networks = ("metrics=[lpips,frechet]", "metrics.lpips.weights=w", "metrics.frechet.classifier.cache=c")
    cfg = configure(*data, *networks, tiny=False)
    name, before = cfg.dataset.name, leaves(cfg)
    anchor(cfg, tmp_path)
    assert (cfg.metrics.lpips.weights, cfg.metrics.frechet.classifier.cache) == (f"{tmp_path}/w", f"{tmp_path}/c")
    assert (cfg.dataset.root, cfg.dataset.cache_dir, cfg.root) == (f"{tmp_path}/a/b", "/home/me/c", "/d")
    assert cfg.dataset.name == name
    changed = {key for key, value in leaves(cfg).items() if before[key] != value}
    assert changed == {
        *("dataset.root", "dataset.cache_dir", "metrics.lpips.weights", "metrics.frechet.classifier.cache")
    }


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_record_that_is_not_whole_says_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert record_of(tmp_path) == {}
    assert not is_begun(tmp_path)


@pytest.mark.parametrize(
    ("names", "status", "begun"),
    [
        ((), "finished", False),
        (("config.yaml",), "running", False),
        (("config.yaml",), "finished", True),
        (("config.yaml", "checkpoints/round_0000.ckpt"), "failed", True),
        (("checkpoints/round_0000.ckpt",), "failed", False),
    ],
)
def test_a_run_has_begun_with_its_first_round(tmp_path: Path, names: tuple[str, ...], status: str, begun: bool) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "run.json").write_text(json.dumps({"status": status}))
    assert is_begun(tmp_path) is begun


def test_a_copy_of_a_checkpoint_is_none(finished: Path, tmp_path: Path) -> None:
    """A file manager's copy of an older round, or of a round that there never was, is not what a run resumes from."""
    run = copy_of(finished, tmp_path / "run")
    newest = latest_checkpoint(run)
    assert newest is not None
    for name in ("round_0009 copy.ckpt", "round_0009 (1).ckpt", "round_last.ckpt"):
        (newest.parent / name).write_bytes(newest.read_bytes())
    assert latest_checkpoint(run) == newest
    again = newest.with_name("round_0009-v1.ckpt")  # as Lightning names what would overwrite a file
    again.write_bytes(newest.read_bytes())
    assert latest_checkpoint(run) == again


class Malicious:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (open, (str(self.file), "w"))


def test_a_checkpoint_is_never_executed(configure: Configure, finished: Path, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path / "run")
    newest = latest_checkpoint(run)
    assert newest is not None
    torch.save({"epoch": 2, "payload": Malicious(tmp_path / "touched")}, newest)
    with pytest.raises(ValueError, match=r"resume: .*round_0002.ckpt is damaged or no checkpoint of fedgan"):
        resume(configure, run, "fl.rounds=4")
    newest.write_bytes(pickle.dumps(Malicious(tmp_path / "touched")))
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(newest)
    assert not (tmp_path / "touched").exists()


def test_settings_of_a_foreign_run_build_nothing_else(configure: Configure, finished: Path, tmp_path: Path) -> None:
    run = copy_of(finished, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    for target in (
        "os.system",
        "fedgan.train.shutil.rmtree",
        "pytorch_lightning.trainer.trainer.os.system",
        "torch.load",
    ):
        (run / "config.yaml").write_text(text.replace("fedgan.gan.losses.NonSaturating", target))
        words = f"resume: model.loss._target_ must be a class of fedgan, .*; got '{target}'"
        with pytest.raises(ValueError, match=words):
            resume(configure, run, "fl.rounds=4")


EVIL = {"_target_": "os.system", "command": "true"}


@pytest.mark.parametrize(
    ("note", "place"),
    [
        (EVIL, "note._target_"),
        ([EVIL], "note[0]._target_"),
        ([1, [EVIL]], "note[1][0]._target_"),
        ([{"a": [EVIL]}], "note[0].a[0]._target_"),
        ({"_target_": "fedgan.gan.losses.NonSaturating", "_args_": [EVIL]}, "note._args_[0]._target_"),
        ([{"_target_": ["os.system"]}], "note[0]._target_"),
    ],
)
@pytest.mark.parametrize("why", ["resume", "several processes"])
def test_nothing_else_is_built_at_any_depth(
    note: Any, place: str, why: str, configure: Configure, tmp_path: Path
) -> None:
    """Hydra builds what is in lists too, before the attack could refuse an argument that it does not know."""
    cfg = configure()
    with open_dict(cfg):
        cfg.attack.note = note
    words = f"^{why}: attack.{re.escape(place)} must be a class of fedgan, .*; got .*os.system"
    if why == "resume":
        with pytest.raises(ValueError, match=words):
            settings_with(configure, recorded_run(tmp_path / "run", cfg), "fl.rounds=7")
    else:
        with pytest.raises(ValueError, match=words):
            refuse_foreign(cfg, [], why)


@pytest.mark.parametrize("text", ["[${seed}]", "${evil}", "${choice.${fl.rounds}}", r"\${oc.create:'a'}", "a ${seed}"])
def test_a_setting_that_is_not_resolved_is_refused(configure: Configure, tmp_path: Path, text: str) -> None:
    """What it stands for may be checked with the recorded rounds and built with others."""
    run = recorded_run(tmp_path / "run", configure("fl.rounds=3"))
    settings = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    assert isinstance(settings, dict)
    settings |= {"evil": [{"_target_": "a"}], "choice": {"3": [], "7": [EVIL]}}
    settings["attack"]["note"] = [text]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match=r"^resume: attack\.note\[0\] must be a plain value: .*; got "):
        settings_with(configure, run, "fl.rounds=7")


@pytest.mark.parametrize("version", [EVIL, [EVIL], "${oc.create:'{_target_: os.system}'}", 1.5])
def test_what_a_logger_is_called_builds_nothing(version: Any) -> None:
    with pytest.raises(ValueError, match=r"^resume: loggers\.wandb in run\.json must be a number or a name; got "):
        logger_versions({"loggers": {"wandb": version}})


@pytest.mark.parametrize("file", [".round_0002.", ".client_0001_round_0002."])
def test_a_full_disk_leaves_the_last_good_checkpoint(
    file: str,
    configure: Configure,
    straight: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full when the third checkpoint, or a client's part, is half written; there is room again later."""
    original = torch.save

    def save(content: Any, stream: Any) -> None:
        if file in stream.name and not full:
            full.append(stream.name)
            stream.write(b"PK")
            raise OSError(28, "No space left on device")
        original(content, stream)

    full: list[str] = []

    monkeypatch.setattr(torch, "save", save)
    cfg = configure(*settings_of("feddetect"), f"fl.rounds={ROUNDS}", tiny=False)
    with pytest.raises(OSError, match="No space left"):
        training.train(cfg, tmp_path / "run")
    checkpoints = (tmp_path / "run" / "checkpoints").glob("*.ckpt")
    assert [checkpoint.name for checkpoint in checkpoints] == ["round_0001.ckpt"]
    resume(configure, tmp_path / "run")
    assert outcome(tmp_path / "run") == straight("feddetect")
