"""The library's page: each option has its row, and a row says what the code does."""

import re
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.defense_controls import RESULTS
from fedgan.attacks.base import Attack
from fedgan.config.help.library import tables
from fedgan.config.help.reference import read_file
from fedgan.config.refusals import CONF, options
from fedgan.core.window import Window
from fedgan.defenses.base import Defense
from fedgan.defenses.robust.rule import RobustRule
from tests.helpers.documents import ROOT, generate, sections

SIZES = (4, 8, 16)
TABLES = tables()
PAGE = generate().pages()["library.md"]
DEFENSES = {row["name"]: row for row in TABLES["defense"]}
ATTACKS = {row["name"]: row for row in TABLES["attack"]}


def defense(name: str, **settings: int) -> Defense:
    """From the option's file, on which that of ``feddetect_chestx`` alone builds further."""
    file = CONF / "defense" / f"{name.replace('_chestx', '')}.yaml"
    made = instantiate(OmegaConf.merge(OmegaConf.load(file), settings), _convert_="all")
    assert isinstance(made, Defense)
    return made


def accepts(name: str, num_clients: int, **settings: int) -> bool:
    """Whether a federation of this size starts with the defense."""
    try:
        defense(name, **settings).setup(num_clients=num_clients, clients_per_round=num_clients, rounds=100)
    except ValueError:
        return False
    return True


def stated(name: str) -> dict[int, tuple[int, bool]]:
    """By N: how many malicious clients the table says that a defense tolerates, and whether it says ``refused``."""
    said = DEFENSES[name]["tolerates"]
    found = re.findall(r"(\d+) of (\d+)(?: clients)?(?: \((refused))?", said)
    return {int(n): (int(f), bool(refused)) for f, n, refused in found}


@pytest.mark.parametrize("group", TABLES)
def test_each_option_has_a_row_and_a_line_of_the_page(group: str) -> None:
    names = [row["name"] for row in TABLES[group]]
    assert names == [name for name in options(group) if name != "none"]
    for name in names:
        assert len(re.findall(rf"^\| \[`{name}`\]\(\S+{name}\) \| ", PAGE, re.MULTILINE)) == 1


@pytest.mark.parametrize("group", TABLES)
def test_no_cell_is_empty_and_each_row_names_its_source(group: str) -> None:
    for row in TABLES[group]:
        assert all(row.values()), row
        assert re.search(r"\b(19|20)\d\d\b|^ours$|^no paper$", row["source"]), row["name"]
        cited = re.findall(r"\w+ et al\. \d{4}", (CONF / group / f"{row['name']}.yaml").read_text())
        assert all(each in row["source"] for each in cited)


def test_a_source_in_brackets_leaves_the_sentence() -> None:
    row = ATTACKS["sinusoidal"]
    assert (row["what it does"], row["source"]) == (
        "A wave across the malicious clients' images.",
        "SIG, Barni et al. 2019",
    )
    assert row["defaults"] == "`amplitude=20.0`, `cycles=6`, `poison_share=1.0`"  # the window is said once for all
    assert "All of them: `start=0`, `stop=null`, `every=1`." in PAGE


def test_the_defaults_are_those_that_the_classes_get() -> None:
    krum = defense("krum")
    assert DEFENSES["krum"]["defaults"] == "`num_malicious=1`, `selected=1`"
    assert (vars(krum)["num_malicious"], vars(krum)["selected"]) == (1, 1)
    assert "`decay=0.8`" in DEFENSES["feddetect_chestx"]["defaults"]
    assert "`optimizer.lr=2.0e-4`" in DEFENSES["gradient_penalty"]["defaults"]
    assert Attack().window == Window(0, None, 1)


@pytest.mark.parametrize("name", [name for name in DEFENSES if stated(name)])
def test_the_tolerates_column_says_what_setup_refuses(name: str) -> None:
    found = stated(name)
    assert set(SIZES) - set(found) <= ({16} if name == "multi_metrics" else set())  # which has no proven number
    rule = defense(name)
    for count, (most, refused) in found.items():
        assert accepts(name, count) == (not refused), count
        if hasattr(rule, "num_malicious") and "num_malicious" in DEFENSES[name]["defaults"]:
            taken = [f for f in range(1, count) if accepts(name, count, num_malicious=f)]
            assert most == max(taken, default=0), count
        elif isinstance(rule, RobustRule):
            assert most == rule.condition.tolerates(count), count
        elif name == "fltrust":
            assert most == count - 1
        else:
            assert most == (count - 1) // 2, count


@pytest.mark.parametrize("name", [name for name in DEFENSES if not stated(name)])
def test_who_states_no_number_refuses_none_of_the_sizes(name: str) -> None:
    assert DEFENSES[name]["tolerates"].startswith("no proven number")
    assert all(accepts(name, count) for count in SIZES)


def test_multi_metrics_is_refused_up_to_nine() -> None:
    assert [accepts("multi_metrics", count) for count in (9, 10, 16)] == [False, True, True]
    assert "it takes 10" in DEFENSES["multi_metrics"]["tolerates"]


def test_the_counts_are_those_of_the_proofs() -> None:
    """By hand: N >= 2 f + 3, N >= 4 f + 3, 2 f < N, 4 f < N."""
    assert stated("krum") == {4: (0, True), 8: (2, False), 16: (6, False)}
    assert stated("bulyan") == {4: (0, True), 8: (1, False), 16: (3, False)}
    assert stated("median") == {4: (1, False), 8: (3, False), 16: (7, False)}
    assert stated("bucketing") == {4: (0, True), 8: (1, False), 16: (3, False)}


def test_where_they_act() -> None:
    acts = {name: row["acts in"] for name, row in DEFENSES.items()}
    assert acts["flame"] == "filter, reweight, finish"
    assert acts["median"] == "aggregate"
    assert acts["norm_clipping"] == "filter, finish"
    assert acts["rotation"] == "local training (batches)"
    assert acts["gradient_penalty"] == "local training (objective)"
    assert acts["feddetect"] == "local training (objective), reweight"
    assert acts["reconstruction"] == "after training"
    assert acts["fltrust"] == "filter, reweight, training at the server, each round"


def test_a_control_that_was_not_measured_says_so() -> None:
    measured = {line.partition(",")[0] for line in (RESULTS / "controls.csv").read_text().splitlines()[1:]}
    for name, row in DEFENSES.items():
        said = row["control without attack"]
        assert (name in measured) == ("experiments/defense_controls.py" in said), name
    assert DEFENSES["fltrust"]["control without attack"].startswith("not measured")


def test_what_malicious_clients_know() -> None:
    rows = {row["name"]: row["knowledge"] for row in TABLES["update_attack"]}
    assert rows["scaling"] == rows["neurotoxin"] == "`own`"
    assert rows["inner_product"].startswith("`all` (all: they know the honest clients' updates; own: ")
    assert rows["loss_hiding"] == "`all` (they know what the honest clients report; own is refused)"
    assert not any("knowledge" in row["defaults"] for row in TABLES["update_attack"])


def test_the_metric_that_finds_an_attack_is_the_guides() -> None:
    guide = sections(ROOT / "docs/attacks.md")
    for name, row in ATTACKS.items():
        metric = row["found by"].partition(";")[0]
        assert metric in options("metrics")
        assert re.search(rf"^Found by: \[`{metric}`\]", guide[f"attack={name}"], re.MULTILINE), name


def test_a_part_of_a_comment_may_take_several_lines(tmp_path: Path) -> None:
    (tmp_path / "wall").mkdir()
    file = tmp_path / "wall/brick.yaml"
    file.write_text("# Bricks (Kiln 1820),\n# red.\n# Tolerates 1 of\n# 4.\n# Control: none.\nheight: 2 # m\n")
    parts = read_file(file, tmp_path).parts
    assert parts == {"": "Bricks (Kiln 1820), red.", "Tolerates": "1 of 4.", "Control:": "none."}


def test_the_guides_lead_to_the_tables() -> None:
    assert "(library.md#attacks-on-images)" in (ROOT / "docs/attacks.md").read_text()
    assert "(library.md#defenses)" in (ROOT / "docs/defenses.md").read_text()
    assert "library.md" in (ROOT / "mkdocs.yml").read_text()
