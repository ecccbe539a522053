"""Verdicts recomputed from what is committed: the CSV files of experiments/results/."""

import re
import sys
from pathlib import Path

import pytest

from experiments import rejudge
from experiments.paper.plan import KEPT
from experiments.paper.verdicts import Verdict

SMALL = KEPT / "small_drawn"


def published(file: Path) -> dict[str, str]:
    """The nominal verdict on each claim that the Markdown file shows."""
    rows = re.findall(r"^\| (.+?) +\| (shown|not shown|reversed|not judged) +\|", file.read_text(), re.MULTILINE)
    return dict(rows)


def nominal(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.claim.says: verdict.verdict for verdict in verdicts}


@pytest.mark.parametrize("name", ["table1", "table2", "figure3", "figure4"])
def test_a4_published_verdicts_follow_from_the_published_values(name: str) -> None:
    """Of those whose claims and arms are today's."""
    found, old = nominal(rejudge.rejudged(SMALL)[name]), published(SMALL / f"{name}.md")
    assert {says: found[says] for says in old} == old
    assert len(old) >= 3
    assert {found[says] for says in found.keys() - old} <= {"not judged"}, "about arms that there were not"


def test_a4_the_published_table_of_defenses_is_of_the_rule_that_made_it() -> None:
    """The files say FedDetect; what they were made with is now called FedDetect (mean)."""
    found = nominal(rejudge.rejudged(SMALL)["table4"])
    old = published(SMALL / "table4.md")
    now = {says.removeprefix("Not in the paper: "): verdict for says, verdict in found.items()}
    same = [says for says in old if says.replace("FedDetect", "FedDetect (mean)") in now]
    assert len(same) == 6, "all but the claim that now counts seeds"
    assert all(now[says.replace("FedDetect", "FedDetect (mean)")] == old[says] for says in same)
    assert {now[says] for says in same} == {"not judged"}, "nothing is known of the paper's own rule"
    counted = next(v for v in rejudge.rejudged(SMALL)["table4"] if v.claim.kind == "succeeds" and v.comparisons)
    assert counted.verdict == "not judged"
    assert [c.successes for c in counted.comparisons] == [3, 3, 3]


def test_a4_verdicts_that_survive_holm_in_table_3() -> None:
    """Three were published as shown; 0.0012 x 6 is below 0.05, 0.026 x 5 and 0.034 x 4 are not."""
    shown = [v for v in rejudge.rejudged(SMALL)["table3"] if v.verdict == "shown"]
    assert len(shown) == 3
    assert [v.claim.says for v in shown if v.after_holm == "shown"] == [
        "Not in the paper: FedDetect (mean) has lower LPIPS than rotations (Section 4.3.3)"
    ]


def test_a4_a_file_without_values_by_seed_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "data,arm,real_per_class,mean,std,num_seeds,published,made with"
    (tmp_path / "figure7.csv").write_text(f"{header}\nisic,vanilla,1,0.5,0.1,3,,\n")
    monkeypatch.setattr(sys, "argv", ["rejudge", str(tmp_path)])
    rejudge.main()
    assert "figure7.csv has no values by seed: nothing can be judged." in capsys.readouterr().out


def test_a4_the_command_prints_every_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rejudge", str(KEPT / "small_dcgan")])
    rejudge.main()
    said = capsys.readouterr().out
    assert said.startswith("# table2\n\n4 claims, 0 of them judged.")
    assert said.count("A verdict is about the difference") == 1


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["a", "b"]])
def test_a4_bad_arguments(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rejudge", *arguments])
    with pytest.raises(SystemExit, match="^error: the argument must be a folder of results; got "):
        rejudge.main()


@pytest.mark.parametrize("content", [(), ("notes.csv", "table1.md")])
def test_a_folder_without_results_is_refused_in_one_line(
    content: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in content:
        (tmp_path / name).touch()
    monkeypatch.setattr(sys, "argv", ["rejudge", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=f"^error: the argument must be a folder of results, with .*; got '{tmp_path}'$"
    ):
        rejudge.main()
    assert capsys.readouterr().out == ""
