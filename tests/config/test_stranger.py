"""What a stranger typed, and the one line that says what to type instead; S3 to S12: the list of findings."""

import errno
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from fedgan import evaluate, sample, train, utility
from fedgan.config import evaluation, sampling, training
from fedgan.config import utility as utility_command
from fedgan.config.refusals import INTERRUPTED
from fedgan.config.resume import chosen, resumed_config
from fedgan.config.typed.quoting import quoting_hint
from fedgan.core.folders import check_own, claim
from fedgan.core.images import ImageSet, Splits
from fedgan.datasets.reading.classes import class_members
from fedgan.datasets.reading.table import read_table
from fedgan.runs.export import load_generator
from fedgan.runs.load import open_run
from tests.helpers.federation import TINY
from tests.helpers.runs import choices, refusal

Call = Callable[..., Any]
Configure = Callable[..., DictConfig]
PRINTED = pytest.CaptureFixture[str]
MAY_CHANGE = "as in the run that is resumed (fl.rounds, the device, the processes and root= may change)"
FOLDER = (*(o for o in TINY if "dataset.t" not in o), "dataset=image_folder")


@pytest.fixture
def run(configure: Configure, tmp_path: Path) -> Path:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    return tmp_path / "run"


def names(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


# S3: quotes


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[fl.rounds=6]", ["fl.rounds=6"]),
        ('{"a/b": ["no"], "..": ["yes"]}', {"a/b": ["no"], "..": ["yes"]}),
        ("[a=1, 2, 'x', \"3\"]", ["a=1", 2, "x", "3"]),
        ("{a: {b: [c=d]}}", {"a": {"b": ["c=d"]}}),
        ("~/runs", "~/runs"),
        ('a="b"', 'a="b"'),
        ("it's=so", "it's=so"),
        ("[größe=1]", ["größe=1"]),
        ("a: b", "a: b"),
        ("#1", "#1"),
    ],
)
def test_s3_the_hint_is_what_was_meant_when_a_shell_has_read_it(value: str, meant: object) -> None:
    hint = quoting_hint("name", value)
    assert hint is not None
    (typed,) = shlex.split(hint)
    override = OverridesParser.create().parse_override(typed)
    assert (override.key_or_group, override.value()) == ("name", meant)


@pytest.mark.parametrize("value", ["[a, b=", "{a: ", "["])
def test_s3_what_quotes_cannot_mend_gets_no_hint(value: str) -> None:
    assert quoting_hint("name", value) is None


def test_s3_the_line_with_the_hint(call: Call, capsys: PRINTED) -> None:
    said = refusal(call, capsys, train.main, *FOLDER, 'dataset.classes={"a/b": ["no"]}')
    hint = "'dataset.classes={a/b: [\"no\"]}'"
    assert said == f"error: dataset.classes: quote a value with such characters: {hint}"
    said = refusal(call, capsys, train.main, *TINY, "dataset.classes=[a, b=")
    assert said == "error: dataset.classes must have a closing bracket for each opening one; got [a, b="


# S4: a study's own folder


def test_s4_a_ledger_of_another_command_does_not_make_a_folder_a_studys(tmp_path: Path) -> None:
    claim(tmp_path / "arms", ["table.csv"], "results")
    for name in "abc":
        (tmp_path / "arms" / name).touch()
    with pytest.raises(
        ValueError, match=r"^here must be a new or empty folder; .* contains \.fedgan\.json, a, b and more$"
    ):
        check_own(tmp_path / "arms", "utility.json", "here")
    claim(tmp_path / "arms", ["utility.json"], "results")
    check_own(tmp_path / "arms", "utility.json", "here")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="^here must be a folder; got "):
        check_own(tmp_path / "file", "utility.json", "here")


# S6: which run


def test_s6_every_run_is_named_as_it_was_typed(call: Call, capsys: PRINTED, run: Path, tmp_path: Path) -> None:
    (tmp_path / "nix").mkdir()
    allowed = "must be the folder of a finished run, with generator.safetensors in it; got 'nix'"
    assert refusal(call, capsys, evaluate.main, "run=nix") == f"error: run {allowed}"
    assert refusal(call, capsys, evaluate.main, "run=run", "control=nix") == f"error: control {allowed}"
    assert refusal(call, capsys, utility.main, "runs={a: run, b: nix}") == f"error: runs.b {allowed}"
    for typed, name in (
        ("run=", "run must be the folder of a finished run, or null"),
        ("runs={run: ''}", "runs.run must be the folder of a finished run"),
    ):
        assert refusal(call, capsys, utility.main, typed) == f"error: {name}; got ''"
    record = run / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"failed"'))
    with pytest.raises(ValueError, match="^control must be the folder of a finished run; got "):
        open_run(run, setting="control")
    record.write_text("{")
    with pytest.raises(ValueError, match="^control must be the folder of a finished run, with a readable run.json"):
        open_run(run, setting="control")
    (run / "generator.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="^control: .* is not a generator of this version of fedgan"):
        load_generator(run, setting="control")


def test_s6_data_that_have_moved_are_named_by_root(call: Call, image_folder: Path, tmp_path: Path) -> None:
    call(train.main, *FOLDER, "dataset.root=images", "fl.rounds=1", "hydra.run.dir=run")
    image_folder.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="^dataset.root must be an existing folder"):
        open_run(tmp_path / "run")
    with pytest.raises(ValueError, match="^root must be an existing folder; '/nowhere' does not exist$"):
        open_run(tmp_path / "run", root="/nowhere")
    open_run(tmp_path / "run", root=str(tmp_path / "moved"))
    (tmp_path / "moved/train/benign/0.png").unlink()
    with pytest.raises(
        ValueError, match=r"^root must contain the data set that the run was trained on \(train images .*\)"
    ):
        open_run(tmp_path / "run", root=str(tmp_path / "moved"))


# S7: an empty root


def test_s7_an_empty_root_is_not_a_place(call: Call, capsys: PRINTED, run: Path) -> None:
    said = refusal(call, capsys, train.main, "resume=run", "fl.rounds=2", "root=")
    assert said == "error: root must be a path, or null; got ''"


# S8, S11: Hydra's folders


@pytest.mark.parametrize("main", [sample.main, evaluate.main])
def test_s8_no_command_lets_hydra_write_its_records(
    main: Callable[[], Any], call: Call, capsys: PRINTED, run: Path, tmp_path: Path
) -> None:
    before = names(tmp_path)
    said = refusal(call, capsys, main, "run=run", "hydra.output_subdir=x")
    assert said.startswith("error: hydra.output_subdir must be null")
    assert names(tmp_path) == before


def test_s11_sampling_leaves_nothing_but_the_data_set(call: Call, capsys: PRINTED, run: Path, tmp_path: Path) -> None:
    before = names(tmp_path)
    said = refusal(call, capsys, sample.main, "-m", "run=run", "out=a,b", "per_class=1")
    assert said == "error: python -m fedgan.sample takes no -m: start it once for each set of settings"
    assert names(tmp_path) == before
    call(sample.main, "run=run", "out=a", "per_class=1", "hydra.run.dir=elsewhere")
    assert {name.partition("/")[0] for name in names(tmp_path)} == {"run", "a"}


def test_s11_a_sweep_of_evaluations_has_a_folder_of_its_own(call: Call, run: Path, tmp_path: Path) -> None:
    call(evaluate.main, "-m", "run=run", "latent_seed=0,1", "metrics=none", "samples_per_class=2")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "outputs"}
    assert [path.name for path in (tmp_path / "outputs/evaluate").rglob("*") if path.is_file()] == ["multirun.yaml"]


@pytest.mark.parametrize("rounds", ["1", "2"])
def test_s11_5_a_run_is_resumed_in_its_own_folder_and_no_other(
    rounds: str, call: Call, capsys: PRINTED, run: Path, tmp_path: Path
) -> None:
    said = refusal(call, capsys, train.main, "resume=run", f"fl.rounds={rounds}", "hydra.run.dir=deep/elsewhere")
    allowed = "left away with resume=, whose folder is the run's"
    assert said == f"error: hydra.run.dir must be {allowed}; got 'deep/elsewhere'"
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_s11_neither_does_one_that_is_interrupted(
    call: Call, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(SystemExit):
        call(train.main, "resume=run", "fl.rounds=2")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


STOPPED = "stopped before the first round: there is nothing to continue"


@pytest.mark.parametrize(
    ("main", "module", "interrupts", "typed", "said"),
    [
        (train.main, training, "build_parts", (), STOPPED),
        (train.main, training, "build_parts", ("resume=run", "fl.rounds=2"), "stopped; to continue: {resume}"),
        (evaluate.main, evaluation, "open_run", ("run=run",), "stopped"),
        (sample.main, sampling, "load_generator", ("run=run", "out=drawn"), "stopped"),
        (utility.main, utility_command, "open_run", ("run=run",), "stopped"),
    ],
)
def test_ctrl_c_says_how_to_continue_where_there_is_a_way(
    main: Callable[[], Any],
    module: ModuleType,
    interrupts: str,
    typed: tuple[str, ...],
    said: str,
    call: Call,
    run: Path,
    capsys: PRINTED,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, interrupts, interrupted)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        call(main, *typed)
    assert stop.value.code == INTERRUPTED
    assert capsys.readouterr().err.splitlines()[-1] == said.format(resume=f"python -m fedgan.train resume={run}")


# S9: what the system says


def denied(number: int, path: Path) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return fail


@pytest.mark.parametrize(
    ("typed", "file", "setting"),
    [
        (("resume=run", "fl.rounds=2"), "run/.lock", "resume"),
        (("resume=auto", "hydra.run.dir=run", *TINY), "run/run.json", "hydra.run.dir"),
        ((*TINY, "hydra.run.dir=new"), "new/a/b", "hydra.run.dir"),
        ((*FOLDER, "dataset.root=new/images", "hydra.run.dir=new"), "new/images/a", "dataset.root"),
        ((*TINY, "hydra.run.dir=new"), "/proc/nothing", None),
    ],
)
def test_s9_the_setting_stands_in_front_of_what_the_system_says(
    typed: tuple[str, ...],
    file: str,
    setting: str | None,
    call: Call,
    capsys: PRINTED,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "train", denied(errno.EACCES, tmp_path / file))
    said = refusal(call, capsys, train.main, *typed)
    where = repr(str(tmp_path / file))
    plain = f"error: [Errno 13] Permission denied: {where}"
    assert said == (f"error: {setting}: Permission denied: {where}" if setting else plain)


def test_s9_a_sweeps_run_names_the_sweeps_folder(
    call: Call, capsys: PRINTED, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", denied(errno.ENOSPC, tmp_path / "sweep/seed-0/rounds.csv"))
    with pytest.raises(SystemExit):
        call(train.main, "-m", *TINY, "seed=0,1", "hydra.sweep.dir=sweep")
    assert "error: hydra.sweep.dir: No space left on device: " in capsys.readouterr().err


@pytest.mark.parametrize(("where", "said"), [("/proc/x", "No such file"), ("a" * 300, "File name too long")])
def test_s9_a_folder_that_cannot_be_made_is_the_settings(where: str, said: str, call: Call, capsys: PRINTED) -> None:
    line = refusal(call, capsys, train.main, *TINY, f"hydra.run.dir={where}")
    assert line.startswith(f"error: hydra.run.dir: {said}")


def test_s9_a_folder_that_may_not_be_written_to(
    call: Call, capsys: PRINTED, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    allowed = "must be a folder that can be {}; you may not write to {}"
    said = refusal(call, capsys, train.main, *TINY, "hydra.run.dir=new/deep")
    assert said == f"error: hydra.run.dir {allowed.format('made', tmp_path)}"
    said = refusal(call, capsys, train.main, "resume=run", "fl.rounds=2")
    assert said == f"error: resume {allowed.format('written to', run)}"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", [True, False])
def test_s9_two_samplings_into_one_folder(
    there: bool, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other has finished while this one drew; its images stay whole, and nothing of this one is left."""
    out, release, draw = tmp_path / "both", load_generator(run), sampling.write_images

    def drawn_twice(*args: Any) -> list[str]:
        monkeypatch.setattr(sampling, "write_images", draw)
        sampling.write_dataset(release, out, per_class=2, seed=5, batch_size=2)
        return draw(*args)

    if there:
        out.mkdir()
    monkeypatch.setattr(sampling, "write_images", drawn_twice)
    with pytest.raises(ValueError, match="^out must be a folder that nothing else writes to; .*both has been filled"):
        sampling.write_dataset(release, out, per_class=2, seed=6, batch_size=2)
    sampling.write_dataset(release, tmp_path / "alone", per_class=2, seed=5, batch_size=2)
    files = [name for name in names(tmp_path / "alone") if name.endswith(("png", "csv"))]
    assert names(out) == names(tmp_path / "alone")
    assert all((out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes() for name in files)
    assert not [name for name in names(tmp_path) if ".fedgan-" in name]


def test_s9_a_full_disk_is_said_of_out_and_not_of_a_temporary_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "write_images", denied(errno.ENOSPC, tmp_path / ".temporary"))
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/out'$"):
        sampling.write_dataset(load_generator(run), tmp_path / "out", per_class=2, seed=6, batch_size=2)


# S10: Hydra's own sentences


NEEDED = "this setting is needed and cannot be removed; type"
GROUPS = (
    "arm, attack, checkpoint, dataset, defense, evaluation, experiment, fl, hparams_search, logger, metrics, model, "
    "partition, sweep, trainer, update_attack"
)
SENTENCES = {
    "+fl.rounds=5": "fl.rounds is a setting already: type fl.rounds=VALUE without +",
    "+attack=none": "attack is chosen once: type attack=NAME without +",
    "trainer.devices=[0,1]": "trainer.devices must be a number of processes on the CPU; got [0, 1]",
    "~attack": f"~attack: {NEEDED} attack=none",
    "~seed": f"~seed: {NEEDED} seed=VALUE",
    "~defense": f"~defense: {NEEDED} defense=none",
    "attack=null": f"attack must be one of {choices('attack')}; got null",
    "partition=3": f"partition must be one of {choices('partition')}; got 3",
    "name=..": "name must be a name that a folder can have; got '..'",
    "fl.rounds:3": "settings are typed as name=value; got 'fl.rounds:3'",
    "defense=[median": "defense must have a closing bracket for each opening one; got [median",
    "partition.alpha=1": "partition.alpha is not a setting of the partition that is chosen; partition=dirichlet | "
    "dirichlet_equal has it; in a sweep over partition write ++partition.alpha=...",
    "~fl.rounds": f"~fl.rounds: {NEEDED} fl.rounds=VALUE",
    "~name": f"~name: {NEEDED} name=VALUE",
    "~hydra.run.dir": f"~hydra.run.dir: {NEEDED} hydra.run.dir=VALUE",
    "hydra.run.dir=null": "hydra.run.dir must be given, and cannot be null",
    "experiment=demo,paper_chestx": "experiment must be one value; got demo,paper_chestx; for a sweep type -m in front "
    "of all settings",
    "defense=none,feddetect": "defense must be one value; got none,feddetect; for a sweep type -m in front of all "
    "settings; for a list type defense=[none,feddetect]",
    "typo.x=1": f"typo.x is not a setting: there is no group typo; groups are: {GROUPS}",
    "atack.size=1": f"atack.size is not a setting: there is no group atack; groups are: {GROUPS}; "
    "did you mean attack.size?",
    "evaluation.typo.x=1": "evaluation.typo is not a setting; evaluation has: every, grid_per_class, latent_seed, "
    "samples_per_class",
    "fl/typo=x": "there is no group fl/typo; groups are: arm, attack, dataset, defense, experiment, fl, fl/backend, "
    "fl/server_optimizer, fl/weighting, hparams_search, logger, metrics, model, partition, trainer, update_attack",
}


@pytest.mark.parametrize("typed", SENTENCES)
def test_s10_what_hydra_refuses_is_said_in_the_settings_words(typed: str, call: Call, capsys: PRINTED) -> None:
    assert refusal(call, capsys, train.main, *TINY, typed) == f"error: {SENTENCES[typed]}"


@pytest.mark.parametrize("typed", ["experiment=demo", "typo=1", "typo.x=1"])
def test_s10_a_command_lists_its_own_settings_alone(typed: str, call: Call, capsys: PRINTED) -> None:
    said = refusal(call, capsys, sample.main, typed)
    name = typed.partition("=")[0].partition(".")[0]
    known = "batch_size, out, per_class, run, seed, trust"
    assert said == f"error: {name} is not a setting; the configuration has: {known}"


def test_s10_a_setting_that_is_put_back_may_be_removed(call: Call, image_folder: Path, tmp_path: Path) -> None:
    """As conf/dataset/chestx.yaml says how classes are merged."""
    typed = ("~dataset.classes", "+dataset.classes={a: [benign], b: [malignant]}")
    settings = (*FOLDER, "dataset=chestx", "dataset.root=images", "fl.rounds=1")
    call(train.main, *settings, *typed, "hydra.run.dir=run")
    assert OmegaConf.load(tmp_path / "run/config.yaml").dataset.classes == {"a": ["benign"], "b": ["malignant"]}


# S12: clashes of a sweep


@pytest.mark.parametrize(
    ("typed", "subdir"),
    [(("seed=0,1", "hydra.sweep.subdir=same"), "same"), (("seed=0,0",), "seed-0"), (("attack.size=4,4",), None)],
)
def test_s12_a_clash_of_folders_is_seen_before_the_first_run(
    typed: tuple[str, ...], subdir: str | None, call: Call, capsys: PRINTED, tmp_path: Path
) -> None:
    said = refusal(call, capsys, train.main, "-m", *TINY, *typed, "hydra.sweep.dir=sweep")
    assert said.startswith("error: hydra.sweep.subdir must differ from run to run; #0 and #1 would both go into ")
    assert subdir is None or said.endswith(repr(subdir))
    assert not (tmp_path / "sweep").exists()


def test_s12_folders_by_number_or_by_choice_do_not_clash(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    summary = {"metrics": {}, "rounds": 1}
    monkeypatch.setattr(training, "train", lambda cfg, folder: trained.append(folder.name) or summary)
    number, choice = "hydra.sweep.subdir=${hydra.job.num}", "hydra.sweep.subdir=${hydra:runtime.choices.attack}"
    call(train.main, "-m", *TINY, "seed=0,1", "hydra.sweep.dir=a", number)
    call(train.main, "-m", *TINY, "attack=white_square,noise_patch", "hydra.sweep.dir=b", choice)
    assert trained == ["0", "1", "white_square", "noise_patch"]


# Words


@pytest.mark.parametrize(
    ("typed", "key", "before", "got"),
    [
        ("attack=none", "attack", "white_square", "none"),
        ("attack=random_patch", "attack", "white_square", "random_patch"),
        ("logger=wandb", "logger", "none", "wandb"),
        ("defense=rotation", "defense", "none", "rotation"),
        ("defense=[rotation,horizontal_flip]", "defense", "none", "[rotation,horizontal_flip]"),
        ("metrics=[emission]", "metrics", "none", "emission"),
        ("fl/backend=vectorized", "fl/backend", "serial", "vectorized"),
        ("dataset=lesion_phantom", "dataset", "chest_phantom", "lesion_phantom"),
        ("seed=1", "seed", "0", "1"),
        ("attack.position=center", "attack.position", "'bottom_right'", "'center'"),
        ("fl=fedavg", "fl.batch_size", "8", "16, which fl= sets"),
    ],
)
def test_a_resumed_runs_choices_are_named_as_they_are_typed(
    typed: str, key: str, before: str, got: str, configure: Configure, tmp_path: Path
) -> None:
    OmegaConf.save(configure(), tmp_path / "config.yaml", resolve=True)
    own = configure(
        f"resume={tmp_path}", *([] if "position" not in typed else ["attack=white_square"]), typed, tiny=False
    )
    with pytest.raises(ValueError) as error:
        resumed_config(own, [f"resume={tmp_path}", typed])
    assert str(error.value) == f"{key} must be {before}, {MAY_CHANGE}; got {got}"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("dataset=image_folder", "dataset.root=NEW"), "leave dataset= away and type root=NEW"),
        (("dataset=medmnist", "dataset.file=x.npz"), "leave dataset= away and type root=x.npz"),
    ],
)
def test_a_resumed_runs_data_are_moved_by_root(
    typed: tuple[str, ...], words: str, configure: Configure, tmp_path: Path
) -> None:
    OmegaConf.save(configure("dataset.seed=5"), tmp_path / "config.yaml", resolve=True)
    with pytest.raises(ValueError, match=f"^dataset must be the run's own, which resume= knows: {words}$"):
        resumed_config(configure(f"resume={tmp_path}", *typed, tiny=False), typed)


def test_a_place_that_is_no_setting_here_says_what_to_type(call: Call, capsys: PRINTED, run: Path) -> None:
    said = refusal(call, capsys, train.main, "resume=run", "dataset.root=NEW")
    assert said.endswith("root= may be typed; where the data have moved, type root=PATH")
    assert not refusal(call, capsys, train.main, "resume=run", "attack.cells=2").endswith("root=PATH")


def test_a_component_that_no_file_names_is_called_by_its_class() -> None:
    assert chosen(OmegaConf.create({"attack": {"_target_": "my_lab.attacks.Stripes"}}), "attack") == "Stripes"
    assert chosen(OmegaConf.create({"logger": {}}), "logger") == "none"
    image_folder = {"dataset": {"_target_": "fedgan.datasets.image_folder.ImageFolder"}}
    assert chosen(OmegaConf.create(image_folder), "dataset") == "image_folder", "as isic and chestx are"


def test_a_folder_in_a_files_place_is_called_one(call: Call, capsys: PRINTED, image_folder: Path) -> None:
    with pytest.raises(ValueError, match=f"^dataset.labels '{image_folder}': it is a folder$"):
        read_table(image_folder)
    with pytest.raises(ValueError, match="there is no such file$"):
        read_table(image_folder / "nothing.csv")
    typed = [o for o in TINY if "dataset.t" not in o]
    said = refusal(call, capsys, train.main, *typed, "dataset=medmnist", "dataset.file=images")
    assert said.endswith("images': it is a folder")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({"a": ["nv", "mel"], "b": ["mel"]}, "'mel' is in both 'a' and 'b'"),
        ({"a": "mel", "b": "nv", "c": ["x", "nv"]}, "'nv' is in both 'b' and 'c'"),
        ({"a": ["nv", "nv"]}, "'nv' is in 'a' twice"),
    ],
)
def test_a_name_in_two_classes_is_named_with_both(classes: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"^classes must list each name once; {words}$"):
        class_members(classes)


def test_one_is_not_many() -> None:
    one = ImageSet(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.tensor([0]), ("a",))
    reasons = {"links that lead outside dataset.root": 1, "rows without a class": 1, "with suffix .txt": 1, "hidden": 2}
    left = "1 link that leads outside dataset.root, 1 row without a class, 1 with suffix .txt, 2 hidden"
    assert str(Splits("x", one, one, left_out=reasons)).endswith(f"5 left out: {left}")


def test_a_runs_first_lines_and_its_generators_say_one_round(
    call: Call, capsys: PRINTED, image_folder: Path, run: Path
) -> None:
    assert str(load_generator(run).spec).startswith("1 round on chest_phantom; ")
    call(train.main, "resume=run")
    assert "nothing to do: the run has its 1 round; " in capsys.readouterr().err


# 5: settings that were ignored, or refused though they change nothing


def test_a_trainer_is_chosen_anew_where_a_run_is_resumed(call: Call, capsys: PRINTED, run: Path) -> None:
    """What its settings follow (evaluation.every, fl.rounds) is the run's own, not the default's."""
    call(train.main, "resume=run", "trainer=cpu")
    assert "nothing to do: the run has its" in capsys.readouterr().err


def test_5_settings_that_say_what_the_run_says_are_accepted(call: Call, capsys: PRINTED, run: Path) -> None:
    """The run has attack.size=8 and fl.batch_size=8; the first is no setting of the default attack=none."""
    call(train.main, "resume=run", "attack.size=8", "fl.batch_size=8", "model.optimizer_d.betas=[0.9,0.999]")
    assert "nothing to do: the run has its 1 round" in capsys.readouterr().err
    call(train.main, "resume=run", "attack.size=8", "fl.rounds=2")
    assert OmegaConf.load(run / "config.yaml").fl.rounds == 2


@pytest.mark.parametrize("typed", ["attack.size=6", "fl.batch_size=4", "attack.size=8.5", "fl.batch_size=true"])
def test_5_settings_that_differ_from_the_runs_are_refused(typed: str, call: Call, capsys: PRINTED, run: Path) -> None:
    said = refusal(call, capsys, train.main, "resume=run", typed)
    assert said.startswith(f"error: {typed.partition('=')[0]} must be ")
    assert "as in the run that is resumed" in said


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("attack=none", "fl.malicious=1"), True),
        (("attack=none",), False),
        (("attack=none", "fl.malicious=0"), False),
        (("attack=none", "update_attack=scaling", "fl.malicious=1"), False),
        (("fl.malicious=1",), False),
    ],
)
def test_5_a_number_of_attackers_without_an_attack_is_warned_of(
    typed: tuple[str, ...], expected: bool, call: Call, capsys: PRINTED
) -> None:
    settings = [each for each in TINY if not (each.startswith("attack") and "attack=none" in typed)]
    call(train.main, *settings, "fl.rounds=1", "hydra.run.dir=run", *typed)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    unused = "fl.malicious=1 has no effect: nobody attacks with attack=none and update_attack=none"
    assert said == ([f"warning: {unused}"] if expected else [])


def test_5_a_file_that_is_no_yaml_is_named_in_one_line(call: Call, capsys: PRINTED, run: Path, tmp_path: Path) -> None:
    (tmp_path / "own/attack").mkdir(parents=True)
    (tmp_path / "own/attack/star.yaml").write_text("# A star.\nrays: [5\nsize: 1\n")
    said = refusal(call, capsys, train.main, "--config-dir=own", "attack=star")
    place = f"{tmp_path}/own/attack/star.yaml: not readable as YAML: line 3, column 5: "
    assert said == f"error: {place}expected ',' or ']', but got ':'"
    (run / "config.yaml").write_text("a: [5\nb: 1\n")
    said = refusal(call, capsys, train.main, "resume=run")
    assert said.startswith(f"error: {run}/config.yaml: not readable as YAML: line 2, column 2: ")
