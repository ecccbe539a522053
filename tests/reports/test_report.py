"""python -m fedgan.report on small runs: what it says is what their files say, and the page stands alone."""

import base64
import csv
import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from omegaconf import DictConfig
from PIL import Image

from fedgan import report
from fedgan.config import report as config_report
from fedgan.config import training
from fedgan.reports.html import MARK
from fedgan.reports.run import Run
from fedgan.reports.table import runs_table
from tests.helpers.pages import Page, read_page
from tests.helpers.runs import refusal, rows

Call = Callable[..., Any]
ARMS = {
    "attack": (),
    "clean": ("fl.malicious=0",),
    "feddetect": ("defense=feddetect_mean", "defense.feddetect_mean.warmup=0", "defense.feddetect_mean.trees=10"),
    "median": ("defense=median",),
    "failed": ("fl.dropout=0.99", "fl.max_retries=0"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "study"


@pytest.fixture
def study(shared: Path, configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    """A copy of a folder with one run per arm; trained once for all tests of this file."""
    metrics = ("metrics=[emission,frechet,pattern]", "metrics.frechet.classifier.steps=3", "evaluation.every=1")
    for name, overrides in () if shared.exists() else ARMS.items():
        try:
            training.train(configure(*metrics, *overrides), shared / name)
        except ValueError:
            assert name == "failed"
    return Path(shutil.copytree(shared, tmp_path / "study", symlinks=True))


@pytest.fixture
def whole(call: Call, study: Path, shared: Path) -> Page:
    """The report on all runs, written once for all tests of this file that only read it."""
    file = shared.parent / "whole.html"
    if not file.exists():
        call(report.main, str(study), f"out={file}")
    return read_page(file)


@pytest.fixture
def exported(call: Call, study: Path, shared: Path) -> Path:
    """The runs with a report and its files, written once for all tests of this file that only read them."""
    once = shared.parent / "exported"
    if not once.exists():
        shutil.copytree(study, once, symlinks=True)
        page_of(call, once, "export=true")
    return once


def page_of(call: Call, *arguments: object) -> Page:
    call(report.main, *map(str, arguments))
    return read_page(Path(str(arguments[0])) / "report.html")


def test_the_numbers_are_those_of_the_files(whole: Page, study: Path) -> None:
    table = {row["run"]: row for row in whole.table("One row per run")}
    assert table.keys() == ARMS.keys()
    for name in ("attack", "clean", "feddetect", "median"):
        metrics = json.loads((study / name / "summary.json").read_text())["metrics"]
        for metric in ("emission", "trigger_strength", "frechet_classifier"):
            assert float(table[name][metric]) == pytest.approx(metrics[metric], rel=2e-3), (name, metric)
    assert [table[name]["status"] for name in ARMS] == ["finished"] * 4 + ["failed"]
    assert table["failed"]["emission"] == "–"
    assert [table[name]["defense"] for name in ARMS] == ["none", "none", "feddetect_mean", "median", "none"]


def test_each_run_in_a_sentence(whole: Page, study: Path) -> None:
    facts = json.loads((study / "attack/summary.json").read_text())
    text = " ".join(whole.text.split())
    emission, floors = facts["metrics"]["emission"], facts["facts"]["frechet"]
    assert f"Finished after 2 rounds. {100 * emission:.3g} % of the synthetic images carry the trigger (95 % in" in text
    assert (
        f"false alarm rate on real test images is {100 * facts['facts']['emission']['emission_false_alarm']:.3g} %"
        in text
    )
    floor = sum(value for name, value in floors.items() if "_floor/" in name) / 2
    assert f"(its floor, what as many real training images score, is {float(f'{floor:.4g}'):g})" in text
    assert "The malicious client has 25 % of the weight. Effective clients: 4.00 of 4." in text
    assert "The aggregate has no weights." in text, "median"
    assert "Failed after 0 rounds: ValueError: round 0 was tried" in text
    assert "nobody (the trigger that is looked for: white_square (size 8" in text
    report_ = json.loads((study / "attack/run.json").read_text())["poison_reports"][0]
    assert f"; images changed: {report_['images_changed']} of {report_['num_examples']}" in text


def test_who_was_flagged(call: Call, study: Path) -> None:
    page = page_of(call, study / "feddetect")
    written = rows(study / "feddetect/clients.csv")
    for row in page.table("Who was flagged"):
        own = [each for each in written if each["client"] == row["client"]]
        assert int(row["rounds flagged"]) == sum(int(each["flagged"]) for each in own)
        assert float(row["mean weight"]) == pytest.approx(sum(float(each["weight"]) for each in own) / len(own), 1e-3)
        assert (row["malicious"] == "malicious") == (own[0]["malicious"] == "1")
    (flags,) = page.table("Flags over all rounds")
    falsely = [float(row["false_positive_rate"]) for row in rows(study / "feddetect/rounds.csv")]
    assert float(flags["false positive rate"]) == pytest.approx(sum(falsely) / 2, abs=1e-4)
    assert int(flags["flags"]) == sum(int(row["flagged"]) for row in written) > 0
    acted = json.loads((study / "feddetect/summary.json").read_text())["rounds_acted"]["feddetect_mean"]
    assert f"feddetect_mean acted in {acted} of 2 rounds." in page.text


def test_absent_metrics_say_why(whole: Page, study: Path) -> None:
    (row,) = whole.table("Metrics that have no value")
    why = json.loads((study / "attack/summary.json").read_text())["absent"]["pattern"]
    assert (row["metric"], row["why it has no value"], row["runs"]) == ("pattern", why, "4")


def test_the_page_asks_nobody_for_anything(whole: Page, study: Path) -> None:
    source = whole.source
    assert all(each.startswith(("data:image/webp;base64,", "#")) for each in whole.references)
    assert sum(each.startswith("data:") for each in whole.references) == 4 * 2 + 1, "grids, and the real images"
    assert not re.search(r"https?://|@import|url\((?!#)", source)
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in source
    assert len(source) < 10_000_000
    assert len(whole.ids) == len(set(whole.ids)), "charts do not refer to each other's parts"


def test_every_color_is_defined_for_light_dark_and_print(whole: Page, study: Path) -> None:
    source = whole.source
    light, dark, print_ = (
        set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", source, re.DOTALL)
    )
    used = set(re.findall(r"var\((--[\w-]+)\)", source)) - {"--font", "--link"}
    assert "--accent" in used
    assert used <= light & dark & print_


def test_names_are_text_and_nothing_else(call: Call, study: Path) -> None:
    odd = study / "</title><script>alert(1)</script>&amp; 肺炎"
    odd.parent.mkdir(parents=True)
    shutil.move(study / "attack", odd)
    config = odd / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["name"] = "<img src=http://example.org/x onerror=alert(2)>"
    config.write_text(yaml.safe_dump(settings))
    page = page_of(call, study)
    assert page.tags.count("script") == 1
    assert page.tags.count("title") == 1
    assert not [each for each in page.references if "example.org" in each]
    assert "<script>alert(1)</script>&amp; 肺炎" in page.text
    assert "<img src=http://example.org/x onerror=alert(2)>" in page.text


def test_the_command_that_repeats_a_run(call: Call, study: Path) -> None:
    typed = ["dataset.classes={benign: [nv, 'b kl']}", "name=it's", "fl.rounds=2"]
    (study / "attack/.hydra").mkdir(exist_ok=True)
    (study / "attack/.hydra/overrides.yaml").write_text(yaml.safe_dump([*typed, "resume=auto"]))
    (line,) = re.findall("python -m fedgan.train.*", page_of(call, study / "attack").text)
    assert shlex.split(line) == ["python", "-m", "fedgan.train", *typed]


def test_what_fedgan_did_not_write_stays(call: Call, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = study / "report.html"
    mine.write_text("<html>mine</html>")
    message = refusal(call, capsys, report.main, str(study))
    assert message == f"error: out must be a new file, or one that fedgan.report has written; got {str(mine)!r}"
    assert mine.read_text() == "<html>mine</html>"
    mine.unlink()
    page_of(call, study)
    before = mine.read_text()
    assert MARK in before[:2000]
    page_of(call, study / "attack")
    call(report.main, str(study / "attack"), f"out={mine}")
    assert "1 run in" in mine.read_text() != before
    link = study / "link.html"
    link.symlink_to(mine)
    assert "out must be a new file" in refusal(call, capsys, report.main, str(study), f"out={link}")
    assert "ends in .html" in refusal(call, capsys, report.main, str(study), f"out={study / 'report.txt'}")


def test_exported_tables_read_back(exported: Path) -> None:
    files = exported / "report_files"
    table = pd.read_csv(files / "runs.csv", keep_default_na=False, na_values=[""])
    expected = runs_table([Run(exported / name) for name in sorted(ARMS)])
    assert table["run"].tolist() == sorted(ARMS)
    for metric in ("emission", "frechet_classifier", "effective_clients"):
        assert table[metric].tolist() == pytest.approx(expected[metric].tolist(), rel=1e-12, nan_ok=True)
    tex, md = (files / "metrics.tex").read_text(), (files / "metrics.md").read_text()
    assert "\\toprule" in tex
    assert "frechet\\_\\\\classifier $\\downarrow$" in tex
    assert "$\\pm$ standard deviation" in tex
    assert len({line.count("|") for line in md.splitlines() if line.startswith("|")}) == 1
    for file in files.glob("*.png"):
        with Image.open(file) as picture:
            assert picture.width > 300
    assert all(file.read_bytes().startswith(b"%PDF") for file in files.glob("*.pdf"))
    assert {file.stem for file in files.glob("*.png")} == {file.stem for file in files.glob("*.pdf")}
    assert {"partition_attack", "clients_feddetect", "effective_clients"} <= {file.stem for file in files.glob("*.png")}


def test_exported_files_replace_their_own_and_nothing_else(
    call: Call, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        page_of(call, study / "clean", "export=true")
    other = study / "other_files"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    said = refusal(call, capsys, report.main, str(study), f"out={study / 'other.html'}", "export=true")
    assert said.startswith("error: out: the folder for its files must be a new or empty folder")
    assert not (study / "other.html").exists()


def test_what_a_defense_left_is_shown_under_its_name(call: Call, study: Path) -> None:
    place = study / "attack/defenses/krum"
    place.mkdir(parents=True)
    with (place / "scores.csv").open("w") as file:
        csv.writer(file).writerows([["client", "score"], [3, 0.125], [1, "<b>"]])
    Image.new("RGB", (20, 10), "red").save(place / "map.png")
    (place / "broken.png").write_bytes(b"no picture")
    secret = study / "secret.csv"
    secret.write_text("a,b\n1,SECRET\n")
    (place / "link.csv").symlink_to(secret)
    page = page_of(call, study / "attack")
    assert page.table("attack: krum, scores.csv") == [
        {"client": "3", "score": "0.125"},
        {"client": "1", "score": "<b>"},
    ]
    assert "attack: krum, map.png" in page.text
    assert "attack: krum, broken.png cannot be read" in page.text
    assert "SECRET" not in page.text


def test_real_images_that_cannot_be_read_cost_one_line(call: Call, study: Path) -> None:
    record = json.loads((study / "attack/run.json").read_text())
    record["dataset"]["test"]["sha256"] = "0" * 64
    (study / "attack/run.json").write_text(json.dumps(record))
    page = page_of(call, study / "attack")
    assert (
        "Real images of chest_phantom are not shown: its data set must be the one that the run was trained" in page.text
    )
    assert "Real test images" not in page.text


def test_of_many_runs_the_first_are_shown_in_detail(call: Call, study: Path) -> None:
    page = page_of(call, study, "details=2")
    assert "The first 2 of 5 runs (details= sets how many" in page.text
    assert "3 further runs" in page.text
    assert len(page.table("One row per run")) == 5
    assert len(page.table("Time and machine")) == 5
    assert page.text.count("losses and weight of every client") == 2


def test_a_page_that_would_be_too_large_shows_fewer_runs_in_detail(
    call: Call, study: Path, whole: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = len(whole.source.encode()) - 1
    monkeypatch.setattr(config_report, "LARGEST", limit)
    page = page_of(call, study)
    assert len(page.source.encode()) <= limit
    assert "The first 2 of 5 runs" in page.text
    assert len(page.table("One row per run")) == 5


def test_a_damaged_run_is_left_out_and_named(call: Call, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "clean/rounds.csv").write_bytes(b"")
    page = page_of(call, study)
    assert f"Left out: cannot read {study / 'clean/rounds.csv'}" in page.text
    assert [row["run"] for row in page.table("One row per run")] == sorted(ARMS.keys() - {"clean"})
    assert refusal(call, capsys, report.main, str(study / "clean")).startswith("error: run: cannot read")


def test_several_folders_go_into_a_new_one(call: Call, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(report.main, str(study / "attack"), str(study / "clean"))
    (file,) = (study.parent / "outputs/report").glob("*/report.html")
    assert len(read_page(file).table("One row per run")) == 2
    assert capsys.readouterr().out.strip() == str(file.relative_to(study.parent))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "paths must be at least one folder of a run, a sweep or a study, typed before all settings; got \\[\\]"),
        (("nowhere",), "paths must be folders of runs or sweeps that exist; got 'nowhere'"),
        (("study", "details=0"), "details must be a whole number of at least 1; got 0"),
        (("study", "detail=1"), "detail is not a setting; .* did you mean details\\?"),
    ],
)
def test_refusals(
    arguments: tuple[str, ...], said: str, call: Call, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.fullmatch(f"error: {said}", refusal(call, capsys, report.main, *arguments))
    assert not (study / "report.html").exists()


@pytest.fixture
def browser() -> Iterator[Any]:
    """A Chromium without a window; skips where playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium on the path")
    with playwright.sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield program
        program.close()


def opened(browser: Any, file: Path, width: int = 1400, scheme: str = "light") -> tuple[Any, list[str]]:
    """The page in a window, and what it asks for or complains about."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("request", lambda each: None if each.url.startswith(("file:", "data:")) else said.append(each.url))
    page.on("console", lambda each: said.append(each.text) if each.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri())
    return page, said


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_nothing_is_wider_than_the_window(
    width: int, scheme: str, browser: Any, whole: Page, shared: Path
) -> None:
    page, said = opened(browser, shared.parent / "whole.html", width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = """[...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll')
        && each.getBoundingClientRect().right > innerWidth).map(each => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(outside) == []
    page.wait_for_function("document.querySelectorAll('.scroll[tabindex]').length > 0 || innerWidth > 1000")
    hidden = """[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth
        && each.tabIndex != 0).length"""
    assert page.evaluate(hidden) == 0, "the keyboard reaches what has to be scrolled"
    dark = sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))) < 200
    assert dark == (scheme == "dark")
    assert not said


def test_in_a_browser_slider_and_marks(browser: Any, whole: Page, shared: Path) -> None:
    page, said = opened(browser, shared.parent / "whole.html")
    picture = page.locator(".galleries .frame.current[data-round] img").first
    last = picture.get_attribute("src")
    assert picture.bounding_box()["width"] == picture.evaluate("each => each.naturalWidth"), "pixel for pixel"
    assert not page.locator(".marks rect").first.is_visible()
    page.check("#show-trigger")
    assert page.locator(".current .marks rect").first.is_visible()
    page.locator("#round").focus()
    page.keyboard.press("Home")
    assert page.locator(".of-round").first.inner_text() == "0"
    assert page.locator("#round").get_attribute("aria-valuetext") == "round 0"
    assert picture.get_attribute("src") != last
    assert not said


def test_in_a_browser_on_paper(browser: Any, whole: Page, shared: Path) -> None:
    """What only a screen can use is gone; no table and no chart is cut."""
    page, said = opened(browser, shared.parent / "whole.html", 680, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".slider").is_visible()
    assert not page.locator("nav").is_visible()
    wide = "[...document.querySelectorAll('.chart svg, .gallery img')].filter(each => each.clientWidth > 680).length"
    assert page.evaluate(wide) == 0
    tables = "[...document.querySelectorAll('.table:not(.wide) table')].filter(each => each.offsetWidth > 680).length"
    assert page.evaluate(tables) == 0
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    assert not said


def test_headings_and_names_for_those_who_listen(browser: Any, whole: Page, shared: Path) -> None:
    page, _ = opened(browser, shared.parent / "whole.html")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    nameless = "img:not([alt]), img[alt=''], .chart svg:not([aria-label]), .chart svg[aria-label=''], th:not([scope])"
    assert page.locator(nameless).count() == 0
    assert page.locator("section").count() == page.locator("nav a").count()
    assert (
        page.evaluate("[...document.querySelectorAll('section')].filter(each => each.children.length < 2).length") == 0
    )


def test_exported_tables_are_typeset(exported: Path) -> None:
    """pdflatex takes every table as it is, and none is wider or longer than its page."""
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex on the path")
    tables = sorted((exported / "report_files").glob("*.tex"))
    head = "\\documentclass{article}\n\\usepackage{array,booktabs,graphicx,longtable,pdflscape}\n\\begin{document}\n"
    body = "".join(f"\\input{{report_files/{file.name}}}\\clearpage\n" for file in tables)
    (exported / "all.tex").write_text(f"{head}{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=exported, capture_output=True, timeout=120, check=False)
    log = (exported / "all.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert len(tables) > 10
    wide = [float(each) for each in re.findall(r"Overfull .hbox \((\d+\.\d+)pt too wide", log)]
    assert not [each for each in wide if each > 15], "points beyond the text's edge"
    assert "Float too large" not in log
