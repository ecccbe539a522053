"""The matrix study: its plan covers conf/, a tiny one goes from training to tables, scores and verdicts by hand."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from PIL import Image

from experiments.images import FOLDERS
from experiments.matrix import __main__ as command
from experiments.matrix import plan, scoring, tables
from experiments.matrix.budget import budget
from experiments.matrix.heatmap import grid
from experiments.matrix.judging import Rule, by_cell, verdict
from experiments.matrix.plan import CONTROL, NONE, Cell, attacks, cells, chosen, defended, defenses
from experiments.multirun import option_of
from experiments.paper.runs import composed
from fedgan.config.evaluation import evaluate
from fedgan.config.help.reference import groups
from fedgan.config.refusals import CONF
from fedgan.runs.load import open_run
from tests.helpers.images import drawn_chests
from tests.helpers.runs import in_process

Values = list[tuple[float, float]]  # of a cell: success and control by seed
RULE = Rule({"others": 0.05, "consistency": 0.1}, factor=1.5, blind={"others": 0.2, "consistency": 0.4}, fewest=3)
SMALL = (
    "dataset.test_per_class=6",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "fl.rounds=2",
    "fl.batch_size=4",
    "evaluation.every=2",
    "evaluation.samples_per_class=8",
    "++metrics.frechet.classifier.steps=3",
    "++metrics.precision_recall.classifier.steps=3",
)
PART = [
    "--data",
    "chest",
    "--attacks",
    "control,white_square,sign_flip",
    "--defenses",
    "none,krum",
    "--seeds",
    "201-202",
]


def file_names(group: str) -> set[str]:
    return {file.stem for file in (CONF / group).glob("*.yaml")} - {"none"}


def cell_of(attack: str, defense: str = NONE, seed: int = 200) -> Cell:
    own = next(each for each in attacks("chest") if each.name == attack)
    return Cell("chest", own, defense, seed)


# The plan


@pytest.mark.parametrize("data", ["chest", "lesions"])
def test_every_attack_and_defense_of_conf_is_in_the_plan(data: str) -> None:
    names = [each.name for each in attacks(data)]
    assert sorted(names) == sorted({CONTROL} | file_names("attack") | file_names("update_attack"))
    assert sorted(defenses()) == sorted({NONE} | file_names("defense"))
    folders = [cell.folder for cell in cells()]
    assert len(set(folders)) == len(folders) == 2 * len(names) * len(defenses()) * 3


def test_all_that_the_plan_sets_is_known_to_conf() -> None:
    """A misspelled name of an attack, a defense or a setting would otherwise be passed over or fail in a run."""
    read = plan.read_plan()
    assert set(read["attacks"]) <= file_names("attack") | file_names("update_attack")
    assert set(read["defenses"]) <= file_names("defense")
    known = {s.key for group in ("attack", "update_attack", "defense") for o in groups()[group] for s in o.settings}
    typed = [text for data in ("chest", "lesions") for attack in attacks(data) for text in attack.overrides]
    typed += [text for name in defenses() for text in defended(name, "chest")]
    keys = {text.partition("=")[0] for text in typed}
    assert {key for key in keys if "." in key and key != "fl.malicious"} <= known
    assert not any("{" in text for text in typed)


def test_rules_that_count_malicious_clients_are_told_two_and_bulyan_one() -> None:
    counting = {o.name for o in groups()["defense"] for s in o.settings if s.key.endswith(".num_malicious")}
    assert {"krum", "dnc", "trimmed_mean"} <= counting
    for name in counting:
        assert f"defense.{name}.num_malicious={1 if name == 'bulyan' else 2}" in defended(name, "chest")


@pytest.mark.parametrize(
    ("attack", "metric"),
    [("blended", "template"), ("noise_patch", "pattern"), ("label_flip", "consistency"), ("scaling", "emission")],
)
def test_each_attack_is_looked_for_by_its_own_detector(attack: str, metric: str) -> None:
    own = cell_of(attack)
    assert own.attack.metric == metric
    assert f"metrics=[{metric},frechet,precision_recall]" in own.overrides


def test_attacks_without_a_trigger_are_judged_by_the_images_quality() -> None:
    assert "metrics=[frechet,precision_recall]" in cell_of("sign_flip").overrides
    assert {"attack=none", "fl.malicious=2"} <= set(cell_of("sign_flip").overrides)
    assert {"attack=none", "fl.malicious=0"} <= set(cell_of(CONTROL).overrides)


def test_a_trigger_is_the_papers_on_each_data_set_and_the_spread_that_of_about_ten_clients() -> None:
    on = {data: next(a for a in attacks(data) if a.name == "scaling").overrides for data in ("chest", "lesions")}
    assert "attack=white_square" in on["chest"]
    assert "attack=random_patch" in on["lesions"]
    assert defended("feddetect_cusum", "chest")[1] == "defense.feddetect_cusum.spread=0.13"


def test_controls_are_trained_first_then_no_defense_then_the_defenses() -> None:
    stages = list(dict.fromkeys(cell.stage for cell in cells()))
    assert stages[:2] == ["controls", NONE]
    assert stages[2:] == list(defenses()[1:])


def test_an_option_is_what_the_same_overrides_compose(tmp_path: Path) -> None:
    """The file of a job against the command line."""
    typed = cell_of("scaling", "krum").overrides
    option = option_of(typed)
    assert {"override /defense": ["krum"]} in option["defaults"]
    cfg = composed("config", list(typed))
    assert option["update_attack"]["factor"] == cfg.update_attack.factor == 5
    assert option["defense"]["krum"]["num_malicious"] == cfg.defense.krum.num_malicious == 2
    assert option["seed"] == cfg.seed == 200


def test_cells_are_chosen_by_patterns_and_seeds() -> None:
    own = chosen(cells(range(300, 302)), "lesions", "control,min_*", "krum")
    assert [str(each.folder) for each in own] == [
        "lesions/controls/krum-s300",
        "lesions/controls/krum-s301",
        *(f"lesions/krum/min_{which}-s{seed}" for seed in (300, 301) for which in ("max", "sum")),
    ]


# From training to tables


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn chest X-rays where real ones would be."""
    return drawn_chests(tmp_path_factory.mktemp("images"))


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Call the command; it must succeed."""
    monkeypatch.setattr("sys.argv", ["matrix", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0


def rows_in(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_tiny_matrix_from_training_to_tables(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    train = ("train", str(runs), "--root", str(root), *PART, *SMALL)
    monkeypatch.setattr("experiments.multirun.call", partial(in_process, monkeypatch))
    typed(monkeypatch, *train)
    assert len(list(runs.glob("chest/*/*-s*/summary.json"))) == 12

    def refuse(*arguments: str) -> int:
        raise AssertionError("a finished run is trained again")

    monkeypatch.setattr("experiments.multirun.call", refuse)
    typed(monkeypatch, *train)  # resumes: nothing is left to do
    with pytest.raises(ValueError, match=r"none-s201 must be a run with fl\.rounds=3, or none; got 'fl\.rounds=2'$"):
        plan.check_runs(chosen(cells(range(201, 203)), "chest", CONTROL, NONE), runs, [*SMALL, "fl.rounds=3"])

    typed(monkeypatch, "score", str(runs), "--results", str(results))
    rows = rows_in(results / "runs.csv")
    assert len(rows) == 12
    key = {"data": "chest", "attack": "white_square", "defense": "krum", "seed": "201"}
    own = next(row for row in rows if row.items() >= key.items())
    run, control = (open_run(runs / "chest" / each) for each in ("krum/white_square-s201", "controls/krum-s201"))
    emission = {"emission": instantiate(composed("config", ["metrics=[emission]"]).metrics.emission)}
    scored = evaluate(run, control, emission, samples_per_class=8)
    assert float(own["success"]) == scored["metrics"]["emission"]
    assert float(own["control"]) == scored["control_metrics"]["emission"]
    assert float(own["effective_clients"]) == 1, "Krum keeps one"
    assert float(own["honest_dropped"]) == pytest.approx(
        sum(7 + (who in run_malicious(runs)) for who in chosen_by(runs)) / (8 * 2)
    )

    before = (results / "runs.csv").read_text()
    typed(monkeypatch, "score", str(runs), "--results", str(results))
    assert (results / "runs.csv").read_text() == before
    capsys.readouterr()
    typed(monkeypatch, "tables", "--results", str(results))
    written = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert written == ["chest_cells.csv", "chest_verdicts.csv", "chest.md", "chest.png"]
    assert Image.open(results / "chest.png").width > 1000
    assert f"6 of {len(attacks('chest')) * len(defenses())} cells have runs" in (results / "chest.md").read_text()


def run_malicious(runs: Path) -> list[int]:
    """Of the run that is looked at."""
    return list(json.loads((runs / "chest/krum/white_square-s201/run.json").read_text())["malicious"])


def chosen_by(runs: Path) -> list[int]:
    """Whom Krum has chosen in each round: the client with all the weight."""
    table = rows_in(runs / "chest/krum/white_square-s201/clients.csv")
    return [int(row["client"]) for row in table if float(row["weight"]) == 1]


# Scores by hand


def write_settings(folder: Path, **fl: int) -> None:
    settings: dict[str, dict[str, int]] = {key: {} for key in ("model", "partition", "defense", "attack", "evaluation")}
    (folder / "config.yaml").write_text(json.dumps(settings | {"fl": fl}))


def finished_run(folder: Path, metrics: dict[str, float], clients: str, malicious: list[int]) -> None:
    """The files of a run that scores are read from."""
    folder.mkdir(parents=True)
    data = {part: {"counts": {"NORMAL": 2, "PNEUMONIA": 2}, "sha256": part} for part in ("train", "test")}
    record = {"status": "finished", "malicious": malicious, "seconds": 60.0, "rounds": 20, "dataset": data}
    (folder / "run.json").write_text(json.dumps(record))
    summary = {"metrics": metrics, "effective_clients": 2.5, "weight_of_malicious": 0.25 if malicious else None}
    (folder / "summary.json").write_text(json.dumps(summary | {"generator_sha256": "f" * 64}))
    (folder / "clients.csv").write_text(clients)
    write_settings(folder, malicious=len(malicious))


def test_scores_of_one_cell_by_hand(tmp_path: Path) -> None:
    """Of three honest clients of four one is dropped in the first round (0.02 < 0.1 / 4), two in the second."""
    clients = "round,client,malicious,weight\n0,0,1,0.3\n0,1,0,0.02\n0,2,0,0.38\n0,3,0,0.3\n"
    clients += "1,0,1,0.98\n1,1,0,0.0\n1,2,0,0.0\n1,3,0,0.03\n"
    cell = cell_of("class_trigger", "flame")
    metrics = {"emission": 0.4, "emission/PNEUMONIA": 0.75, "frechet_classifier": 51.5, "recall": 0.125}
    finished_run(tmp_path / cell.folder, metrics, clients, [0])
    row = scoring.row_of(cell, tmp_path, 0.03, None)
    assert row == {
        "data": "chest",
        "attack": "class_trigger",
        "defense": "flame",
        "seed": 200,
        "metric": "emission",
        "success": 0.75,  # of the class that is attacked
        "control": 0.03,
        "frechet": 51.5,
        "recall": 0.125,
        "effective_clients": 2.5,
        "weight_of_malicious": 0.25,
        "honest_dropped": 0.5,
        "seconds": 60.0,
        "generator": "f" * 12,
        "control_generator": "",
    }


def test_a_rule_without_weights_drops_nobody_that_could_be_counted(tmp_path: Path) -> None:
    finished_run(tmp_path / "run", {}, "round,client,malicious,weight\n0,0,0,\n0,1,0,\n", [])
    assert scoring.honest_dropped(tmp_path / "run") is None


def test_a_row_is_made_again_when_its_control_is_there(tmp_path: Path) -> None:
    file, clients = tmp_path / "runs.csv", "round,client,malicious,weight\n0,0,0,1.0\n"
    attacked, control = cell_of("gaussian"), cell_of(CONTROL)
    finished_run(tmp_path / attacked.folder, {"frechet_classifier": 90.0}, clients, [1])
    assert scoring.score(scoring.finished(tmp_path), tmp_path, None, file) == 1
    assert [(row["success"], row["control"]) for row in rows_in(file)] == [("90.0", "")]
    finished_run(tmp_path / control.folder, {"frechet_classifier": 60.0}, clients, [])
    (tmp_path / "chest" / "none" / "other-s1").mkdir()
    (tmp_path / "chest" / "none" / "other-s1" / "run.json").write_text("{}")  # of no attack: passed over
    assert scoring.score(scoring.finished(tmp_path), tmp_path, None, file) == 2
    assert {row["attack"]: row["control"] for row in rows_in(file)} == {"gaussian": "60.0", CONTROL: "60.0"}


def test_a_control_of_another_federation_is_refused(tmp_path: Path) -> None:
    clients = "round,client,malicious,weight\n0,0,0,1.0\n"
    for name in ("gaussian", CONTROL):
        finished_run(tmp_path / cell_of(name).folder, {"frechet_classifier": 9.0}, clients, [])
    write_settings(tmp_path / cell_of(CONTROL).folder, malicious=0, rounds=3)
    with pytest.raises(
        ValueError, match=r"controls/none-s200 must be a run with the fl of .*gaussian-s200; got 'another'$"
    ):
        scoring.score(scoring.finished(tmp_path), tmp_path, None, tmp_path / "runs.csv")


# Verdicts


def table(attack: str, defense: str, values: Values, metric: str = "emission") -> list[dict[str, Any]]:
    """Rows of a cell: success and control by seed."""
    empty = dict.fromkeys(tables.MEASURES, "")
    start = {"data": "chest", "attack": attack, "defense": defense, "metric": metric}
    numbered = enumerate(values, 200)
    return [empty | start | {"seed": str(s), "success": str(a), "control": str(b)} for s, (a, b) in numbered]


def controls_at(defense: str, *distances: str) -> list[dict[str, Any]]:
    """Runs in which nobody attacks, with these Frechet distances."""
    rows = table(CONTROL, defense, [(0, 0)] * len(distances))
    return [row | {"frechet": distance} for row, distance in zip(rows, distances, strict=True)]


def word(*parts: list[dict[str, Any]], defense: str = "krum", attack: str = "white_square") -> str:
    rows = [row for part in parts for row in part]
    return verdict(("chest", attack, defense), by_cell(rows), RULE).word


UNDEFENDED = table("white_square", NONE, [(0.9, 0.01), (0.8, 0.0), (0.7, 0.02)])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([(0.06, 0.02), (0.05, 0.0), (0.0, 0.01)], "stopped"),
        ([(0.08, 0.02), (0.05, 0.0), (0.0, 0.01)], "mixed"),
        ([(0.08, 0.02), (0.5, 0.0), (0.9, 0.01)], "not stopped"),
        ([(0.0, 0.0), (0.0, 0.0)], "too few seeds"),
        ([(0.9, 0.0), (0.9, 0.0), (0.9, 0.21)], "too few seeds"),  # the detector sees it in the control of the last
        ([], "no runs"),
    ],
)
def test_verdicts_by_hand(values: Values, says: str) -> None:
    assert word(UNDEFENDED, table("white_square", "krum", values)) == says


def test_what_does_not_succeed_without_defense_is_not_stopped() -> None:
    defended_ = table("white_square", "krum", [(0.0, 0.0)] * 3)
    weak = table("white_square", NONE, [(0.9, 0.0), (0.9, 0.0), (0.04, 0.0)])
    assert word(weak, defended_) == word(defended_) == "no attack to stop"
    assert word(weak, defense=NONE) == "mixed"
    assert word(UNDEFENDED, defense=NONE) == "succeeds"


def test_attacks_on_quality_are_judged_by_the_ratio_and_labels_by_a_margin_of_their_own() -> None:
    ruined = table("gaussian", NONE, [(91.0, 60.0), (100.0, 60.0), (120.0, 60.0)], "frechet")
    assert word(ruined, defense=NONE, attack="gaussian") == "succeeds"
    assert word([*ruined[:2], ruined[2] | {"success": "89.0"}], defense=NONE, attack="gaussian") == "mixed"
    flipped = table("label_flip", NONE, [(0.39, 0.3)] * 3, "consistency")
    assert word(flipped, defense=NONE, attack="label_flip") == "fails"
    assert word([row | {"control": "0.41"} for row in flipped], defense=NONE, attack="label_flip") == "too few seeds"


def test_the_price_of_a_defense_is_against_the_control_of_the_same_seed() -> None:
    controls = [*controls_at(NONE, "60", "50", "40"), *controls_at("krum", "91", "76", "61")]
    assert word(controls, attack=CONTROL) == "dear"
    controls[-1]["frechet"] = "60"
    found = verdict(("chest", CONTROL, "krum"), by_cell(controls), RULE)
    assert (found.word, found.hits, found.judged) == ("mixed", 2, 3)


def test_the_rule_of_the_plan_is_the_one_that_is_tested() -> None:
    assert Rule.read() == RULE


# Tables


def test_tables_are_written_of_whatever_there_is(tmp_path: Path) -> None:
    """One cell of one seed, without its control; nothing of lesions."""
    rows = [table("white_square", "krum", [(0.5, 0.0)])[0] | {"control": ""}]
    assert [path.name for path in tables.write(rows, tmp_path)][-1] == "chest.png"
    every = rows_in(tmp_path / "chest_cells.csv")
    assert len(every) == 2 * 2 * len(tables.MEASURES), "of attacks and defenses with a run, and of the controls"
    known = [list(row.values()) for row in every if row["n"] != "0"]
    assert known == [["chest", "white_square", "krum", "success", "0.5", "", "1"]]
    verdicts = {(row["attack"], row["defense"]): row["verdict"] for row in rows_in(tmp_path / "chest_verdicts.csv")}
    assert verdicts["white_square", "krum"] == "too few seeds"
    assert verdicts["white_square", NONE] == "no runs"
    said = (tmp_path / "chest.md").read_text()
    assert f"1 of {len(attacks('chest')) * len(defenses())} cells have runs" in said
    assert "Attacks without runs: blended, " in said
    assert "Defenses without runs: bucketing, " in said
    assert "Further cells without runs: none (control, white_square), krum (control)." in said
    assert "| gaussian" not in said


def test_what_the_heat_map_colors() -> None:
    """Means over seeds: of shares as they are, of distances over the control's of each seed."""
    prices = [*controls_at(NONE, "60", "40"), *controls_at("krum", "125")]
    ruined = table("gaussian", "krum", [(90.0, 60.0), (100.0, 40.0)], "frechet")
    found = by_cell([*UNDEFENDED, *prices, *ruined])
    krum = defenses().index("krum")
    shares = grid("share", ["white_square"], "chest", found)[:, 0]
    assert shares[0] == pytest.approx(0.8)
    assert shares[krum] != shares[krum]
    assert grid("ratio", ["gaussian"], "chest", found)[krum, 0] == pytest.approx((1.5 + 2.5) / 2)
    assert grid("price", [CONTROL], "chest", found)[krum, 0] == pytest.approx(2.5)


def test_the_budget_is_runs_times_seconds(tmp_path: Path) -> None:
    """Two finished runs of 60 s; of another stage their median, of other images the guess; 3 rounds are another run."""
    some = chosen(cells(), None, "control,gaussian", NONE)
    for cell in some[:2]:
        finished_run(tmp_path / cell.folder, {}, "", [])
    lines = budget(some, tmp_path).splitlines()
    assert [line.split()[:4] for line in lines[2:6]] == [
        ["controls", "chest", "3", "1"],
        ["controls", "lesions", "3", "3"],
        [NONE, "chest", "3", "3"],
        [NONE, "lesions", "3", "3"],
    ]
    assert "60 (measured on 2)" in lines[2]
    assert "60 (measured on 2)" in lines[4]
    assert "(a guess)" in lines[3]
    seconds = plan.read_plan()["seconds"]
    assert lines[-1] == f"12 runs, 10 left: {(4 * 60 + 6 * seconds) / 3600:.1f} hours of one process"
    assert "12 runs, 12 left" in budget(some, tmp_path, ["fl.rounds=3"])


# Refusals


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("train {tmp}/r", "error: --root must be a folder with chest_xray and skin_lesions in it; got null"),
        (
            "train {tmp}/r --root {tmp}/no",
            "error: --root must be a folder with chest_xray and skin_lesions in it; got ",
        ),
        ("train {tmp}/r --root {tmp} --data brain", "error: --data must be one of chest, lesions; got 'brain'"),
        ("train {tmp}/r --root {tmp} --attacks nothing", "error: --attacks and --defenses must be of the matrix; got"),
        ("train {tmp}/r --root {tmp} --seeds 9-3", "error: --seeds must be FIRST-LAST, such as 100-119; got '9-3'"),
        (
            "train {tmp}/r --root {tmp} --seeds 3-9",
            "error: --seeds must be from 201 on (others were looked at",
        ),
        ("score {tmp}", "error: RUNS must be a folder with finished federations, DATA/DEFENSE/ATTACK-sN, in it; got"),
        (
            "tables --results {tmp}",
            "runs.csv must be there: python -m experiments.matrix score RUNS; got 'no such file'",
        ),
    ],
)
def test_what_is_nothing_to_do_is_refused_in_one_line(
    arguments: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    monkeypatch.setattr("sys.argv", ["matrix", *arguments.format(tmp=tmp_path).split()])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert says in str(stopped.value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("arguments", ["score {tmp} fl.rounds=2", "train {tmp} --root {tmp} --sweep"])
def test_overrides_are_for_training_alone(arguments: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["matrix", *arguments.format(tmp=tmp_path).split()])
    with pytest.raises(SystemExit, match="2"):
        command.main()


def test_a_dry_run_needs_no_images_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "train", str(tmp_path / "r"), "--dry-run", "--data", "chest", "--defenses", "krum")
    assert f"{3 * len(attacks('chest'))} runs" in capsys.readouterr().out
    assert not (tmp_path / "r").exists()


def test_the_documentation_shows_the_picture_that_is_kept() -> None:
    shown = Path(__file__).parents[2] / "docs/pictures/matrix_chest.png"
    kept = scoring.RESULTS / "chest.png"
    assert shown.read_bytes() == kept.read_bytes(), f"copy {kept} to {shown}"
