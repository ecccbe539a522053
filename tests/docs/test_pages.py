"""The pages against what the code writes and what conf/ has: columns, keys, options."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig

from fedgan.config import sampling, training
from fedgan.config.refusals import CONF, options
from fedgan.core import arguments
from fedgan.federated.faults import Event
from tests.helpers.documents import ROOT, named, sections
from tests.helpers.federation import FEDDETECT
from tests.helpers.runs import rows

DOCS = ROOT / "docs"
FOLDER = sections(DOCS / "run-folder.md")
METRICS = {file.stem for file in (CONF / "metrics").glob("*.yaml")} - {"none"}


@pytest.fixture
def run(configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    """A run in which everything that leaves a trace is on."""
    chosen = ["metrics=[emission,frechet]", "metrics.frechet.classifier.steps=3", "update_attack=scaling"]
    detect = (*FEDDETECT, "model.arrival_samples=8")
    training.train(configure(*chosen, *detect, "fl.dropout=0.2", "fl.rounds=3"), tmp_path / "run")
    return tmp_path / "run"


def documented(section: str) -> set[str]:
    """What the first cells of a section's tables name in backticks."""
    return named(" ".join(re.findall(r"^\| (`[^|]*) \|", FOLDER[section], re.MULTILINE)))


def header(file: Path) -> set[str]:
    with file.open() as stream:
        return set(next(csv.reader(stream)))


def test_each_column_of_a_run_is_documented_and_no_other(run: Path) -> None:
    scored = {column for column in header(run / "rounds.csv") if column.startswith(("emission", "trigger", "frechet"))}
    assert {"emission", "emission/normal", "frechet_classifier"} <= scored
    assert header(run / "rounds.csv") - scored == documented("rounds.csv") - {"<metric>", "<metric>/<class>"}
    for name in ("clients.csv", "receipts.csv", "timing.csv"):
        assert header(run / name) == documented(name), name
    assert header(run / "events.csv") == header_of_events()
    assert {"dropped_out"} <= {row["kind"] for row in rows(run / "events.csv")} <= documented("events.csv")


def test_each_measure_of_a_receipt_is_documented(run: Path) -> None:
    measures = {row["measure"] for row in rows(run / "receipts.csv")}
    assert measures == {"relative_norm", "share_changed", "cosine", "metrics_changed", "acted"}
    assert measures <= named(FOLDER["receipts.csv"])


def test_each_key_of_run_json_is_documented(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["poison_reports"]
    assert set(record) <= documented("run.json")
    assert set(record["dataset"]) | set(record["dataset"]["train"]) <= named(FOLDER["run.json"])
    assert set(record["poison_reports"][0]) <= named(sections(DOCS / "attacks.md")["Attacks on images"])


def test_each_key_of_summary_json_is_documented_and_no_other(run: Path) -> None:
    assert set(json.loads((run / "summary.json").read_text())) == documented("summary.json")


def test_each_column_of_the_manifest_is_documented() -> None:
    assert set(sampling.COLUMNS) <= named(FOLDER["manifest.csv"])


def test_each_kind_of_event_is_documented() -> None:
    assert Event.__doc__ is not None
    (said,) = re.findall(r"kind: ([\w, ]+)[.]\n", Event.__doc__)
    kinds = set(re.split(r", | or ", said))
    assert len(kinds) == 8
    assert kinds | header_of_events() == documented("events.csv")


def header_of_events() -> set[str]:
    return {field.name for field in fields(Event)}


@pytest.mark.parametrize(
    ("page", "group"),
    [("attacks", "attack"), ("attacks", "update_attack"), ("defenses", "defense"), ("metrics", "metrics")],
)
def test_each_option_has_its_section(page: str, group: str) -> None:
    found = {title.partition("=")[2] for title in sections(DOCS / f"{page}.md") if title.startswith(f"{group}=")}
    assert found == set(options(group))


@pytest.mark.parametrize("name", sorted(METRICS))
def test_each_column_and_fact_of_a_metric_is_in_its_section(name: str, configure: Callable[..., DictConfig]) -> None:
    metric = instantiate(configure(f"metrics=[{name}]").metrics[name])
    section = sections(DOCS / "metrics.md")[f"metrics={name}"]
    assert set(metric.names) <= named(section)
    for part in ("**Columns.**", "**Facts.**", "**Cost.**", "**Cannot see.**"):
        assert part in section, part


def test_the_types_of_arguments_are_described_as_errors_describe_them() -> None:
    described = re.findall(r"^\| `(\w+)` \| (.+) \|$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert len(described) == 10
    assert {name: arguments.allowed(getattr(arguments, name)) for name, _ in described} == dict(described)


def test_the_facts_of_a_run_are_named(run: Path) -> None:
    facts = json.loads((run / "summary.json").read_text())["facts"]
    page = (DOCS / "metrics.md").read_text()
    names = {fact.partition("/")[0] for each in facts.values() for fact in each}
    assert {
        name for name in names if not re.search(rf"`{name.removesuffix('_low').removesuffix('_high')}", page)
    } == set()
