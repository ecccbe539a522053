"""README: the table of what is included is what conf/ has, links lead somewhere, numbers are those of results."""

import csv
import re
from pathlib import Path

import pytest

from fedgan.config.refusals import options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GROUPS = dict(
    re.findall(r"^\| `([\w/]+)`[^|]*\| (.*) \|$", README.partition("<!-- included")[2].partition("<!-- end")[0], re.M)
)
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)", README)


@pytest.mark.parametrize("group", GROUPS)
def test_included_is_what_conf_has(group: str) -> None:
    assert re.findall(r"`(\w+)`", GROUPS[group]) == options(group)


def test_every_group_of_a_federation_is_included() -> None:
    chosen = set(re.findall(r"^  - (?:override )?/?([\w/]+):", (ROOT / "conf/config.yaml").read_text(), re.M))
    apart = {
        "trainer",
        "logger",
        "checkpoint",
        "evaluation",
        "experiment",
        "arm",
        "hparams_search",
    }  # how a run is carried out
    assert GROUPS.keys() >= chosen - apart


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_demos_numbers_are_those_of_its_table() -> None:
    with (ROOT / "experiments/results/demo/table.csv").open() as file:
        shown = {row["arm"]: row["images with the trigger"] for row in csv.DictReader(file)}
    for title, arm in (("no attack", "no attack"), ("attack", "attack"), ("attack + FedDetect", "attack + FedDetect")):
        (line,) = re.findall(rf"^\| {re.escape(title)} \|.*\|$", README.partition("## Your own images")[0], re.M)
        assert f"| {shown[arm]} |" in line
