"""Parts of a report by themselves: explanations of metrics, charts, pictures, files; values by hand."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image

from fedgan.attacks.white_square import WhiteSquare
from fedgan.config.refusals import CONF
from fedgan.config.typed.paths import as_setting, quoted
from fedgan.core.images import ImageSet
from fedgan.reports import arms, client_scores, detail, figures, pictures
from fedgan.reports.assemble import curves, detections, sections
from fedgan.reports.blocks import Chart, Galleries, Picture, Table, flat
from fedgan.reports.export import markdown
from fedgan.reports.glossary import companions, entries, entry
from fedgan.reports.latex import latex
from fedgan.reports.run import Run
from fedgan.reports.words import command
from fedgan.scoring.grid import draw_grid, places, save_grid

SQUARE = {"_target_": "fedgan.attacks.white_square.WhiteSquare", "size": 8, "margin": 1}
FEDDETECT = {"feddetect": {"_target_": "fedgan.defenses.feddetect.FedDetect", "warmup": 10}}
METRICS = sorted(file.stem for file in (CONF / "metrics").glob("*.yaml") if file.stem != "none")


def run_of(folder: Path, metrics: dict[str, float] | None, **settings: Any) -> Run:
    """A run's folder with as little in it as a report takes."""
    folder.mkdir(parents=True)
    base = {
        "dataset": {"_target_": "fedgan.datasets.chest_phantom.ChestPhantom"},
        "attack": SQUARE,
        "defense": {},
        "fl": {"num_clients": 4, "rounds": 2},
        "evaluation": {"grid_per_class": 3},
        "seed": 0,
    }
    data = {"name": "x", "channels": 1, "image_size": 32}
    data |= {part: {"counts": {"a": 4, "b": 4}, "sha256": "0"} for part in ("train", "test")}
    record = {"status": "failed" if metrics is None else "finished", "dataset": data, "malicious": [1]}
    (folder / "config.yaml").write_text(yaml.safe_dump(base | settings))
    (folder / "run.json").write_text(json.dumps(record))
    if metrics is not None:
        (folder / "summary.json").write_text(json.dumps({"metrics": metrics, "effective_clients": 4.0}))
    return Run(folder)


@pytest.mark.parametrize("option", METRICS)
def test_every_metric_is_explained(option: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"metrics=[{option}]"])
    for name in instantiate(cfg.metrics[option], _convert_="all").names:
        about = entry(name)
        assert name in companions() or (about.unit and about.meaning), f"{name} has no entry in glossary.yaml"


def test_no_explanation_is_of_a_metric_that_does_not_exist() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"metrics=[{','.join(METRICS)}]"])
    names = {name for part in cfg.metrics.values() for name in instantiate(part, _convert_="all").names}
    assert {*entries(), *companions()} - names == {"effective_clients", "weight_of_malicious"}


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    ("size", "per_class", "classes"), [(32, 3, 2), (32, 1, 2), (64, 11, 1), (100, 8, 3), (16, 9, 2)]
)
def test_where_the_images_of_a_grid_are(size: int, per_class: int, classes: int, real: bool) -> None:
    """Every image is of one gray level of its own: all of its box is, and so is no other."""
    count = per_class * classes
    levels = torch.arange(100, 100 + count, dtype=torch.uint8)
    images = levels[:, None, None, None].expand(count, 1, size, size)
    labels = torch.arange(classes).repeat_interleave(per_class)
    names = tuple("abc"[:classes])
    grays = ImageSet(images.contiguous(), labels, names)
    below = ImageSet(torch.zeros(8, 1, size, size, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64), names)
    picture = draw_grid(grays, per_class=per_class, real=below if real else None)
    sheet, boxes = places(size, per_class, classes, real=real)
    assert (sheet, len(boxes)) == (picture.size, count)
    for level, (left, top, width, height) in zip(levels.tolist(), boxes, strict=True):
        box = picture.crop((left, top, left + width, top + height)).convert("L")
        assert set(box.getdata()) == {level}


def test_the_trigger_is_marked_where_it_is(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    trigger = WhiteSquare(size=8, margin=1).trigger(1, 32, 0)
    black = torch.zeros(6, 1, 32, 32, dtype=torch.uint8)
    images = ImageSet(trigger.apply(black), torch.tensor([0, 0, 0, 1, 1, 1]), ("a", "b"))
    (run.folder / "samples").mkdir()
    save_grid(images, run.folder / "samples/round_0001.png", per_class=3)
    picture = pictures.opened(run.folder / "samples/round_0001.png")
    marks = pictures.marks(run, picture)
    assert len(marks) == 6
    for left, top, width, height in marks:
        assert (width, height) == (16, 16), "images of 32 pixels are drawn with 64"
        assert set(picture.crop((left, top, left + width, top + height)).getdata()) == {(255, 255, 255)}
        around = picture.crop((left - 2, top - 2, left + width + 2, top + height + 2))
        assert sum(pixel == (255, 255, 255) for pixel in around.getdata()) == 16 * 16
    assert pictures.marks(run, Image.new("RGB", (200, 200))) == [], "not a grid of these settings"


def test_grids_fit_into_their_budget(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    (run.folder / "samples").mkdir()
    noise = torch.randint(0, 256, (6, 1, 32, 32), dtype=torch.uint8)
    images = ImageSet(noise, torch.tensor([0, 0, 0, 1, 1, 1]), ("a", "b"))
    for round_ in range(10):
        save_grid(images, run.folder / f"samples/round_{round_:04d}.png", per_class=3)
    one = len(pictures.samples(run, "r", 10**9).frames[0].uri)
    gallery = pictures.samples(run, "r", 3 * one)
    assert [each.round for each in gallery.frames] == [0, 4, 9]
    assert gallery.title == "r (3 of 10 grids)"
    assert [each.round for each in pictures.samples(run, "r", 1).frames] == [9], "the last always"
    wide = Image.effect_noise((4000, 500), 80).convert("RGB")
    assert len(pictures.encoded(wide)[0]) < 400_000


def test_arms_by_hand(tmp_path: Path) -> None:
    emissions = {"a": (0.2, {}, 0), "b": (0.4, {}, 1), "c": (0.5, FEDDETECT, 0), "d": (None, FEDDETECT, 1)}
    runs = [
        run_of(
            tmp_path / name,
            None if value is None else {"emission": value, "emission_low": 0.4, "emission_high": 0.61},
            defense=defense,
            seed=seed,
        )
        for name, (value, defense, seed) in emissions.items()
    ]
    table = arms.scores(arms.named(runs))
    assert table.shown["arm"].tolist() == ["defense=none", "defense=feddetect"]
    assert table.shown["runs"].tolist() == ["2 of 2", "1 of 2"]
    assert table.shown["emission ↓"].tolist() == ["0.3 ± 0.14 (n = 2)", "0.5 [0.4, 0.61]"]
    assert table.frame["emission_n"].tolist() == [2, 1]


def test_an_arm_without_the_one_setting_that_differs_says_so(tmp_path: Path) -> None:
    plain = {"_target_": "torch.optim.SGD", "lr": 1.0}
    runs = [
        run_of(tmp_path / name, {"emission": 0.5}, fl={"server_optimizer": optimizer})
        for name, optimizer in (("a", plain), ("b", plain | {"momentum": 0.9}))
    ]
    table = arms.scores(arms.named(runs))
    momentum = "fl.server_optimizer.momentum"
    assert table.shown["arm"].tolist() == [f"without {momentum}", f"{momentum}=0.9"]


def test_settings_once_where_all_agree(tmp_path: Path) -> None:
    runs = {
        name: run_of(tmp_path / name, {}, attack=SQUARE | {"size": size}, defense=defense)
        for name, size, defense in (("a", 4, {}), ("b", 8, FEDDETECT))
    }
    said = dict(arms.settings_table(runs).frame.to_numpy().tolist())
    assert said["fl.rounds"] == "2"
    assert said["attack.size"] == "differs: 4, 8"
    assert said["defense.feddetect.warmup"] == "10 (in 1 runs)"


def test_metrics_against_a_setting_by_defense(tmp_path: Path) -> None:
    values = {(4, 0): 0.1, (4, 1): 0.3, (8, 0): 0.7, (8, 1): 0.9}
    runs = [
        run_of(tmp_path / f"{size}-{seed}-{bool(defense)}", {"emission": value * (0.5 if defense else 1)},
               attack=SQUARE | {"size": size}, defense=defense, seed=seed)
        for (size, seed), value in values.items()
        for defense in ({}, FEDDETECT)
    ]  # fmt: skip
    (chart,) = curves(arms.named(runs))
    assert isinstance(chart, Chart)
    assert chart.name == "against_attack.size"
    panel = chart.figure.axes[0]
    drawn = {tuple(each.lines[0].get_xdata()): each.lines[0].get_ydata().tolist() for each in panel.containers}
    lines = sorted(each.lines[0].get_ydata().tolist() for each in panel.containers)
    assert list(drawn) == [(4.0, 8.0)]
    assert lines[0] == pytest.approx([0.1, 0.4])
    assert lines[1] == pytest.approx([0.2, 0.8])
    (legend,) = chart.figure.legends
    assert sorted(text.get_text() for text in legend.texts) == ["defense=feddetect", "defense=none"]
    assert curves(arms.named(runs[:1])) == []


def test_malicious_clients_by_color_and_dash(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    rows = [
        {"round": t, "client": i, "malicious": int(i == 1), "loss_g": t + i / 10, "flagged": int((t, i) == (1, 2)),
         "flag_count": 0, "weight": None, "poisoned_images": 0, "num_examples": 4}
        for t in range(3)
        for i in range(4)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(run.folder / "clients.csv", index=False)
    figure = figures.client_lines(run)
    (panel,) = figure.axes
    assert panel.get_title(loc="left") == "loss_g", "no weights, no panel"
    dashed = [line for line in panel.lines if line.get_color() == figures.MALICIOUS and line.get_linestyle() == "--"]
    assert [line.get_ydata().tolist() for line in dashed] == [[0.1, 1.1, 2.1]]
    crosses = [line for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in crosses] == [([1], [1.2])]
    table = detail.detection(run, "run")
    assert table.frame["client"].tolist() == [1, 2, 0, 3], "malicious ones, then by flags"
    assert list(table.marked) == [0]


def test_many_clients_are_a_band(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    rows = [
        {"round": t, "client": i, "malicious": 0, "loss_g": float(i), "flagged": 0, "flag_count": 0, "weight": 0.01,
         "poisoned_images": 0, "num_examples": 4}
        for t in range(2)
        for i in range(101)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(run.folder / "clients.csv", index=False)
    panel = figures.client_lines(run).axes[0]
    assert [line.get_ydata().tolist() for line in panel.lines if len(line.get_xdata())] == [[50.0, 50.0]]
    assert panel.collections[0].get_datalim(panel.transData).y1 == 100.0
    assert len(detail.detection(run, "run").frame) == detail.MOST_CLIENTS


def test_charts_take_the_pages_colors_and_fonts(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    run.record["partition"] = {"a <&>": [1, 2], "$b$ 肺炎": [3, 4]}
    text = figures.svg(figures.partition(run), "one")
    assert "var(--accent)" in text
    assert "a &lt;&amp;&gt;" in text
    assert "$b$ 肺炎" in text
    assert not re.search("http|xmlns|font-family|<metadata|<!", text)
    assert not [color for color in figures.VARIABLES if color in text]
    ids = [set(re.findall(r'id="([^"]+)"', figures.svg(figures.partition(run), name))) for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_numbers_in_a_chart_are_whole() -> None:
    """Coordinates are shortened, and what a reader reads is not: 0.075 is no 0.07."""
    figure = Figure()
    axes = figure.subplots()
    axes.set(xticks=[0.025, 0.075], xlabel="lr=0.00125")
    text = figures.svg(figure, "one", "A <caption> & more")
    assert {"0.025", "0.075", "lr=0.00125"} <= set(re.findall(r">([^<>\n]+)</text>", text))
    assert not re.search(r"<path [^>]*\.\d{3}", text)
    assert 'role="img" aria-label="A &lt;caption&gt; &amp; more"' in text
    assert re.search(r'width="[\d.]+pt"', text), "points: in pixels its text would be a quarter smaller"


def test_a_legend_is_not_cut(tmp_path: Path) -> None:
    """The sheet is as wide as the longest name in the legend, and grows by its lines."""
    runs = {name: run_of(tmp_path / name, {}) for name in ("a", "b")}
    for run in runs.values():
        run.rounds = pd.DataFrame({"round": [0, 1], "effective_clients": [4.0, 4.0]})
    arms_ = {"a": "attack.size=2 " * 8, "b": "attack.size=4 " * 8}
    figure = figures.over_rounds(runs, arms_, ["effective_clients"])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert figure.axes[0].get_position().height * figure.get_figheight() > 1.5


def test_curves_only_where_runs_with_metrics_differ(tmp_path: Path) -> None:
    """A failed run's own settings give no chart; its ticks are the values that were set."""
    runs = {
        "a": run_of(tmp_path / "a", {"emission": 0.2}, attack=SQUARE | {"size": 2}),
        "b": run_of(tmp_path / "b", {"emission": 0.3}, attack=SQUARE | {"size": 8}),
        "c": run_of(tmp_path / "c", None, fl={"rounds": 99}),
    }
    (chart,) = curves(runs)
    assert isinstance(chart, Chart)
    assert chart.name == "against_attack.size"
    assert [label.get_text() for label in chart.figure.axes[0].get_xticklabels()] == ["2", "8"]


def test_long_tables_in_latex_go_over_pages() -> None:
    frame = pd.DataFrame({"name": ["[a_b] < -0.5"] * 41, "text": ["x" * 64] * 41})
    text = latex(Table("t", "A caption.", frame))
    assert text.count("\\begin{longtable}") == 1
    assert "\\caption{A caption.}" in text
    assert "{[}a\\_\\allowbreak{}b] $<$ $-$0.5 & " in text
    assert "x" * 17 not in text
    assert "\\begin{table}" in latex(Table("t", "A caption.", frame.head(40)))


def test_latex_and_markdown_print_what_is_there() -> None:
    frame = pd.DataFrame({"a_b": ["50 % & more", "x|y"], "n": [0.123456, 2.0]})
    table = Table("t", "A_caption with 5 %.", frame)
    assert latex(table).count("\\toprule") == 1
    assert "\\caption{A\\_caption with 5 \\%.}" in latex(table)
    assert "50 \\% \\& more & 0.1235 \\\\" in latex(table)
    assert "{lr}" in latex(table)
    assert "| x\\|y        |      2 |" in markdown(table)


def test_a_run_that_has_hardly_begun(tmp_path: Path) -> None:
    """No table at all, and no data set in its record."""
    run = run_of(tmp_path / "run", None)
    (run.folder / "run.json").write_text('{"status": "running"}')
    parts = sections([Run(run.folder)], details=1)
    card = parts[0].blocks[0]
    assert card.verdict == "Not finished (still running, or killed): 0 rounds recorded."
    assert card.command is None
    assert not [block for part in parts for block in flat(part.blocks) if isinstance(block, Galleries | Chart)]


def test_a_stopped_run_has_the_metrics_of_its_last_evaluation(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", None)
    (run.folder / "rounds.csv").write_text(
        "round,loss_g,effective_clients,true_positive_rate,false_positive_rate,emission,frechet_classifier\n"
        "0,1,4,,,,\n1,1,4,,,0.25,12\n2,1,4,,,,\n"
    )
    verdict = sections([run], details=1)[0].blocks[0].verdict
    assert verdict.startswith("Failed after 3 rounds. At its last evaluation, in round 1: 25 % of the synthetic images")
    assert verdict.endswith("Frechet distance to real test images: 12.")


def test_what_defenses_found_is_in_the_verdict(tmp_path: Path) -> None:
    """Client 0 flagged in two of three rounds; the generator set back after the last one."""
    view = {"view": "place", "score": 9.0, "place": [3, 4, 5, 5], "whole": False}
    flagged = {"client": 0, "first": 1, "last": 2, "rounds": 2, **view, "views": [view]}
    highest = {"client": 0, "round": 2, "view": "place", "score": 9.0}
    own = {"threshold": 7.5, "highest": highest, "flagged": [flagged], "rewound": [{"round": 2, "rounds": 2}]}
    run = run_of(tmp_path / "run", {})
    summary = run.summary | {"rounds": 3, "malicious": [0], "scores": {"audit": own}, "effective_clients": 3.0}
    (run.folder / "summary.json").write_text(json.dumps(summary | {"weight_of_malicious": 0.0}))
    verdict = sections([Run(run.folder)], details=1)[0].blocks[0].verdict
    assert verdict.endswith(
        "This was in the last round, whose aggregate was discarded. "
        "audit: flagged client 0 (malicious) in rounds 1 to 2 by place, rows 3 to 4, column 5. "
        "audit: generator set back 2 rounds after round 2: 1 of 3 rounds of training are left."
    )


def test_an_extended_run_is_repeated_with_all_its_rounds(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {}, fl={"num_clients": 4, "rounds": 5})
    (run.folder / ".hydra").mkdir()
    (run.folder / ".hydra/overrides.yaml").write_text("- fl.rounds=2\n- attack.size=8\n- resume=auto\n")
    assert command(run) == "python -m fedgan.train fl.rounds=2 attack.size=8"
    (run.folder / "run.json").write_text(json.dumps(run.record | {"resumed": [{"status": "finished"}]}))
    assert command(Run(run.folder)) == "python -m fedgan.train attack.size=8 fl.rounds=5"


def test_a_former_end_of_a_run_that_is_being_extended_counts_no_more(tmp_path: Path) -> None:
    """Finished after 2 rounds, extended, stopped after 4: its summary.json is still that of the 2 rounds."""
    run = run_of(tmp_path / "run", {"emission": 0.9})
    (run.folder / "run.json").write_text(json.dumps(run.record | {"status": "interrupted", "reason": "SIGTERM"}))
    (run.folder / "rounds.csv").write_text(
        "round,loss_g,effective_clients,true_positive_rate,false_positive_rate,emission\n"
        "0,1,4,,,\n1,1,4,,,\n2,1,4,,,0.25\n3,1,4,,,\n"
    )
    stopped = Run(run.folder)
    verdict = sections([stopped], details=1)[0].blocks[0].verdict
    assert verdict.startswith("Interrupted after 4 rounds: SIGTERM. At its last evaluation, in round 2: 25 % of the")
    assert "emission" not in arms.overview({"run": stopped}).frame
    assert arms.scores({"run": stopped}) is None


def test_an_evaluation_of_another_generator_is_noted_and_left_out(tmp_path: Path) -> None:
    """As it is once the run is extended: the metrics and facts are those of its own end."""
    run = run_of(tmp_path / "run", {"emission": 0.5, "emission/a": 0.5})
    before = {"metrics": {"emission": 0.25, "emission/a": 0.25}, "facts": {"emission": {"emission_false_alarm": 0.125}}}
    before |= {"control_metrics": {"emission": 0.0}, "absent": {"lpips": "x"}, "generator_sha256": "other"}
    (run.folder / "evaluation.json").write_text(json.dumps(before))
    parts = sections([run], details=1)
    card = parts[0].blocks[0]
    said = "evaluation.json is about another generator than the run's present one and is left out: evaluate it again."
    assert card.notes == [said]
    assert "50 % of the synthetic images carry the trigger." in card.verdict
    table = detail.by_class(run, "run")
    assert table is not None
    assert (table.frame["mean"].tolist(), "control" in table.frame) == ([0.5], False)
    assert arms.reasons({"run": run}) is None


@pytest.mark.parametrize("name", ["a b", 'say "x"', "back\\slash\\", '\\"', "${seed}", "a=1,b=[2]", "肺炎", "it's"])
def test_folders_arrive_as_they_are_typed(name: str) -> None:
    override = OverridesParser.create().parse_override(f"paths=[{quoted(name)}]")
    assert OmegaConf.create({"seed": 0, "paths": override.value()}).paths[0] == name


def test_folders_come_before_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1").mkdir()
    assert as_setting(["lr=1", "other", "out=x", "late"]) == ['paths=["lr=1","other"]', "out=x", "late"]
    assert as_setting(["out=x"]) == ["out=x"]
    assert as_setting(["--cfg", "job"]) == ["--cfg", "job"]


def scored_run(folder: Path, attacker: float, clients: int = 4) -> Run:
    """Client 1 is malicious and flagged in round 2; two views, a threshold that changes."""
    run = run_of(folder, {})
    rows: list[tuple[object, ...]] = []
    for t in range(3):
        rows += [(t, "defense.audit", None, "threshold", 4.0 + t), (t, "defense.median", None, "acted", 1.0)]
        for i in range(clients):
            rows += [(t, "defense.audit", i, "place_score", t + (attacker if i == 1 else i / 10))]
            rows += [(t, "defense.audit", i, "classes_score", 0.5), (t, "defense.audit", i, "place_row", 9.0)]
            rows += [(t, "defense.audit", i, "flagged", float((t, i) == (2, 1)))]
    columns = ["round", "component", "client", "measure", "value"]
    pd.DataFrame(rows, columns=columns).to_csv(run.folder / "receipts.csv", index=False)
    return run


def test_f18_scores_over_the_rounds_with_their_threshold(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run", attacker=6.0)
    assert client_scores.scoring(run) == ["audit"]
    figure = client_scores.chart(run, "audit")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["classes", "place"]
    panel = figure.axes[1]
    found = [(line.get_color(), line.get_linestyle(), line.get_ydata().tolist()) for line in panel.lines]
    assert (figures.MALICIOUS, "--", [6.0, 7.0, 8.0]) in found
    assert (figures.INK, ":", [4.0, 5.0, 6.0]) in found
    assert [ys for color, style, ys in found if (color, style) == (figures.HONEST, "-")] == [
        [0.0, 1.0, 2.0],
        [0.2, 1.2, 2.2],
        [0.3, 1.3, 2.3],
    ]
    crosses = [line for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in crosses] == [([2], [8.0])]
    labels = {text.get_text() for text in figure.axes[0].get_legend().texts}
    assert labels == {"honest", "malicious", "flagged", "threshold"}
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear"]
    (chart,) = [block for block in detections({"run": run}) if isinstance(block, Chart)]
    assert (chart.name, chart.figure.axes[1].get_title(loc="left")) == ("scores_audit_run", "place")


def test_a_score_far_above_the_threshold_leaves_it_visible(tmp_path: Path) -> None:
    figure = client_scores.chart(scored_run(tmp_path / "run", attacker=400.0), "audit")
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "symlog"]


def test_scores_without_a_threshold_or_a_flag_are_no_chart(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "run", attacker=6.0)
    table = pd.read_csv(run.folder / "receipts.csv")
    table[table["measure"] != "threshold"].to_csv(run.folder / "receipts.csv", index=False)
    assert client_scores.scoring(Run(run.folder)) == []
    table[table["measure"] != "flagged"].to_csv(run.folder / "receipts.csv", index=False)
    assert len(client_scores.chart(Run(run.folder), "audit").axes) == 2, "of an older version: no crosses"


def test_pictures_of_clients_that_stood_out_come_ahead_of_maps(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {})
    place = run.folder / "defenses/audit"
    place.mkdir(parents=True)
    for name in ("spectrum", "place", *(f"client_{i}" for i in (2, 10, 1))):
        Image.new("RGB", (4, 4)).save(place / f"{name}.png")
    shown = [block.title for block in pictures.left_by_defenses(run, "run") if isinstance(block, Picture)]
    assert [title.removeprefix("run: ") for title in shown] == [
        *(f"what audit saw of client {i}" for i in (1, 2, 10)),
        *(f"audit, {name}.png" for name in ("place", "spectrum")),
    ]


def test_receipts_of_several_clients_have_no_last_one_and_places_no_mean(tmp_path: Path) -> None:
    lines = ["round,component,client,measure,value"]
    for t in range(2):
        lines.append(f"{t},defense.audit,,threshold,8.0")
        for client in range(3):
            lines += [
                f"{t},defense.audit,{client},place_{what},{value}" for what, value in (("score", client), ("row", 30))
            ]
    (tmp_path / "receipts.csv").write_text("\n".join(lines) + "\n")
    run = SimpleNamespace(receipts=pd.read_csv(tmp_path / "receipts.csv"))
    rows = detail.receipts(cast(Run, run), "run").frame.set_index("measure")
    assert list(rows.index) == ["threshold", "place_score"]
    assert rows.loc["threshold", "last"] == 8.0
    assert pd.isna(rows.loc["place_score", "last"])
    assert rows.loc["place_score", ["mean", "least", "most"]].tolist() == [1.0, 0.0, 2.0]
