"""The transfer study: its plan, a tiny one from training to the picture, gains and verdicts by hand."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from omegaconf import DictConfig
from PIL import Image

from experiments.federations import Setting
from experiments.images import FOLDERS
from experiments.measures import read_rows
from experiments.paper.plan import generator_of
from experiments.transfer import __main__ as command
from experiments.transfer import judging, plan, scoring, tables
from tests.helpers.images import drawn_chests
from tests.helpers.runs import in_process

IMAGES = "/images"
SMALL = (
    "dataset.test_per_class=6",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "fl.rounds=1",
    "fl.batch_size=4",
    "evaluation.every=1",
    "evaluation.samples_per_class=8",
    "++metrics.frechet.classifier.steps=3",
    "++metrics.transfer.classifier.steps=3",
)


def test_each_setting_has_its_control_and_seeds_of_its_own() -> None:
    every = plan.settings(IMAGES)
    names = {(each.data, each.name) for each in every}
    assert len(names) == len(every) == 16 + 12
    assert all(each.seeds == tuple(range(301, 311)) for each in every)
    for each in every:
        attacked = not each.name.startswith(plan.CONTROL)
        assert ("fl.malicious=0" in each.overrides) != attacked
        if attacked:
            assert (each.data, plan.controls()[plan.control_of(each.name)]) in names


def test_a_setting_and_its_control_differ_in_who_attacks_and_how_many_images_alone() -> None:
    by_name = {(each.data, each.name): each for each in plan.settings(IMAGES)}
    for (data, name), each in by_name.items():
        if not name.startswith(plan.CONTROL):
            control = plan.controls()[plan.control_of(name)]
            other = {text.partition("=")[0] for text in set(by_name[data, control].overrides) ^ set(each.overrides)}
            patch = set() if control == plan.control_of(name) else {"attack.size"}  # pasted afterwards
            assert other - {"attack.poison_share"} == {"fl.malicious"} | patch


def test_settings_are_configurations(configure: Callable[..., DictConfig]) -> None:
    for each in plan.settings(IMAGES):
        if each.name in ("size8_feddetect", "size2", "size4_share20"):
            cfg = configure(*each.overrides, tiny=False)
            assert cfg.attack.classes == [1]
            assert cfg.attack.look == {"chest": "white_square", "lesions": "random_patch"}[each.data]
            assert list(cfg.metrics) == ["emission", "transfer", "frechet"]


def test_every_claim_is_about_settings_of_the_plan() -> None:
    names = {each.name for each in plan.settings(IMAGES)}
    for claim in judging.claims():
        assert {claim.setting, claim.minus or claim.setting} <= names
        assert (claim.at_most is None) != (claim.at_least is None)


def rows(**changed: list[float]) -> list[dict[str, str]]:
    """Of X-rays, seeds from 301 on; the other measures are 0."""
    other = dict.fromkeys(("accuracy", "recognized", "emission", "frechet", "weight"), "0")
    return [
        {"data": "chest", "setting": name, "seed": str(301 + i), "changed": str(value), **other}
        for name, values in changed.items()
        for i, value in enumerate(values)
    ]


def test_a_gain_is_over_the_control_of_the_same_seed() -> None:
    made = rows(size8_share20=[0.5, 0.75, 0.25], control_size8=[0.25, 0.125])
    assert judging.gain(made, "chest", "size8_share20") == {301: 0.25, 302: 0.625}
    assert judging.gain(made, "lesions", "size8_share20") == {}


def test_a_gain_less_another_by_hand() -> None:
    made = rows(
        size8=[0.9, 0.8, 0.9, 0.8, 0.9],
        control_size8=[0.1] * 5,
        size2=[0.3, 0.2, 0.3, 0.2, 0.3],
        control_size2=[0.1] * 5,
    )
    claim = judging.Claim("larger is more", "size8", minus="size2", at_least=0.0)
    found = judging.judged(claim, made, "chest")
    assert (found["mean"], found["95 % interval"], found["verdict"]) == ("0.600", "0.600 to 0.600", "shown")
    alone = judging.judged(judging.Claim("", "size2", at_most=0.05), made, "chest")
    assert (alone["mean"], alone["verdict"]) == ("0.160", "contradicted")


def test_tables_of_part_of_the_study(tmp_path: Path) -> None:
    made = rows(size8=[0.9, 0.8], control_size8=[0.1, 0.2], size8_flame=[0.4])
    written = tables.write(made, tmp_path)
    claims, settings = (path.read_text() for path in written[:2])
    assert claims.count("| chest ") == sum(claim.data in (None, "chest") for claim in judging.claims())
    assert "FLAME" not in claims, "of which something is claimed on lesions alone"
    assert "lesions" not in claims + settings
    line = next(each for each in settings.splitlines() if "| size8 " in each)
    assert [cell.strip() for cell in line.split("|")][3:6] == ["2", "0.850", "0.700 (-0.571 to 1.971)"]
    with Image.open(written[2]) as picture:
        assert picture.width > picture.height


def test_the_study_from_images_to_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.multirun.call", partial(in_process, monkeypatch))
    images, runs = drawn_chests(tmp_path / "images"), tmp_path / "runs"
    elsewhere = ["--results", str(tmp_path / "results")]
    train = ["train", str(runs), "--root", str(images), *SMALL]
    for arguments in (
        [*train, "--only", "chest/*size8", "--seeds", "301-302"],
        [*train, "--only", "chest/size4", "--seeds", "301-301"],
        ["score", str(runs), *elsewhere],
        ["tables", *elsewhere],
    ):
        assert typed(monkeypatch, *arguments) == 0
    found = read_rows(tmp_path / "results" / scoring.FILE)
    assert [(row["setting"], row["seed"]) for row in found] == [
        *((name, seed) for name in ("control_size8", "size8") for seed in ("301", "302")),
        ("size4", "301"),
        ("control_size4", "301"),
    ]
    assert all(0 <= float(row[name]) <= 1 for row in found for name in ("changed", "accuracy", "emission"))
    assert [row["weight"] for row in found] == ["", "", "0.25", "0.25", "0.25", ""]
    looked_at = json.loads((runs / "chest/size4/s301/control.json").read_text())
    assert looked_at["control_generator_sha256"] == generator_of(runs / "chest/control_size8/s301")
    assert float(found[-1]["accuracy"]) == looked_at["control_metrics"]["synthetic_accuracy"]
    assert (tmp_path / "results/transfer.png").is_file()

    (runs / "chest/size8/s301").rename(tmp_path / "gone")
    assert typed(monkeypatch, "score", str(runs), *elsewhere) == 0
    assert read_rows(tmp_path / "results" / scoring.FILE) == found, "what was scored before is kept"
    refused = str(typed(monkeypatch, "score", str(runs)))
    allowed = "control_size8/s301 must be a run with dataset.test_per_class=234, or none"
    assert refused.endswith(f"{allowed}; got 'dataset.test_per_class=6'")
    monkeypatch.chdir(scoring.RESULTS.parent)
    assert str(typed(monkeypatch, "score", str(runs), "--results", scoring.RESULTS.name)) == refused
    refused = str(typed(monkeypatch, *train, "fl.rounds=3", "--seeds", "302-302"))
    assert refused.endswith("/s302 must be a run with fl.rounds=3, or none; got 'fl.rounds=1'")


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code, or the line of a refusal."""
    monkeypatch.setattr("sys.argv", ["transfer", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_the_documentation_shows_the_picture_that_is_kept() -> None:
    shown = Path(__file__).parents[2] / "docs/pictures/transfer.png"
    kept = scoring.RESULTS / "transfer.png"
    assert shown.read_bytes() == kept.read_bytes(), f"copy {kept} to {shown}"


def test_a_run_of_something_else_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "chest/size2/s1"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"status": "finished", "dataset": {"test": {"counts": {"a": 1, "b": 1}}}}')
    (run / "config.yaml").write_text("seed: 1\n")
    (run / "summary.json").write_text('{"metrics": {"emission/b": 0.1}, "weight_of_malicious": 0.2}')
    with pytest.raises(
        ValueError,
        match="without transfer_attack_rate/a, synthetic_accuracy, synthetic_accuracy/b, frechet_classifier'$",
    ):
        list(scoring.rows_of([Setting("chest", "size2", (), (1,))], tmp_path))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("score {tmp}", "RUNS must be a folder with finished federations"),
        ("tables", "no such file"),
        ("train {tmp}/r --root {tmp} --only nothing", "--only and --seeds must be of the plan's settings and seeds"),
        ("train {tmp}/r --root {tmp}/none", "--root must be a folder with chest_xray"),
    ],
)
def test_what_is_refused(arguments: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(scoring, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("sys.argv", ["transfer", *arguments.format(tmp=tmp_path).split()])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert says in str(stopped.value)
    assert "\n" not in str(stopped.value)
