"""What a person reads at the end of a run, from a summary written by hand."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedgan.config.screen import screen
from fedgan.runs.closing import closing_table, headline, one_line, pictures, readings

SUMMARY: dict[str, Any] = {
    "rounds": 18,
    "fine_tuning_rounds": 2,
    "metrics": {
        "emission": 0.25,
        "emission/a": 0.5,
        "emission_low": 0.21,
        "emission_high": 0.29,
        "frechet_classifier": 101.62,
        "lpips": 0.5,
        "lpips_se": 0.0123,
    },
    "absent": {"fid": "no weights at hand"},
    "facts": {
        "emission": {"emission_false_alarm": 0.02, "emission_false_alarm_low": 0.01},
        "frechet": {
            "frechet_classifier_floor/a": 30.0,
            "frechet_classifier_floor/b": 40.0,
            "frechet_classifier_floor_all/a": 1.0,
        },
    },
    "malicious": [2],
    "weights": {"0": 0.3, "1": 0.3, "2": 0.1, "3": 0.3},
    "weight_of_malicious": 0.1,
    "effective_clients": 3.571,
    "flag_counts": {"0": 1, "1": 0, "2": 6, "3": 0},
    "rounds_acted": {"feddetect": 7, "clip": 0},
}


def printed(summary: dict[str, Any]) -> list[list[str]]:
    """The table's rows, cell by cell."""
    stream = io.StringIO()
    Console(file=stream, width=200).print(closing_table(summary))
    return [
        [cell for cell in (each.strip() for each in line.split("  ")) if cell]
        for line in stream.getvalue().splitlines()
    ]


def test_weights_of_an_aggregate_that_was_discarded_are_said_to_be() -> None:
    summary = SUMMARY | {"scores": {"audit": {"rewound": [{"round": 17, "rounds": 8}]}}}
    said = {name: rest for name, *rest in printed(summary)}
    assert said["effective clients"] == ["3.57", "of 4, in the last round, whose aggregate was discarded"]
    assert said["weight of malicious client 2"] == ["0.1", "in the last round, whose aggregate was discarded"]


def test_metrics_stand_next_to_what_they_are_read_with() -> None:
    assert printed(SUMMARY) == [
        ["emission", "0.25 [0.21, 0.29]", "0.02 on real images (false alarms)"],
        ["frechet_classifier", "101.6", "35 between real images (floor)"],
        ["lpips", "0.5 ± 0.012"],
        ["fid", "absent", "no weights at hand"],
        ["effective clients", "3.57", "of 4"],
        ["weight of malicious client 2", "0.1"],
        ["flagged", "7 times", "client 0: 1, client 2 (malicious): 6"],
        ["defense feddetect", "acted in 7 rounds"],
        ["defense clip", "acted in 0 rounds", "it changed nothing in this run"],
    ]
    assert headline(SUMMARY, 71.6) == "finished: 20 rounds in 72 s"


def test_without_an_attack_nobody_is_named() -> None:
    control = {"malicious": [], "weight_of_malicious": None, "flag_counts": {}, "rounds_acted": {}, "absent": {}}
    assert [row[0] for row in printed(SUMMARY | control)][3:] == ["effective clients"]


def test_an_attacker_without_a_weight_is_said_to_have_none() -> None:
    rows = printed(
        SUMMARY | {"malicious": [2, 5], "weight_of_malicious": None, "effective_clients": None, "weights": {}}
    )
    (row,) = [row for row in rows if row[0].startswith("weight of")]
    assert row[:2] == ["weight of malicious clients 2, 5", "-"]
    assert "no weight in the last round" in row[2]


def test_one_line_for_an_evaluation() -> None:
    assert one_line(SUMMARY["metrics"]) == "emission 0.25 [0.21, 0.29]  frechet_classifier 101.6  lpips 0.5 ± 0.012"
    assert readings({}, {}) == []


@pytest.mark.parametrize("grids", [(), ("round_0002.png", "round_0017.png"), ("round_9999.png", "round_10000.png")])
def test_the_newest_picture_is_named(grids: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for name in grids:
        (tmp_path / "samples" / name).touch()
    assert pictures(tmp_path) == ([f"pictures: {tmp_path}/samples/{grids[-1]}"] if grids else [])


@pytest.mark.parametrize(("columns", "broken"), [(None, False), ("70", True)])
def test_e11_a_table_in_a_pipe_is_wide(
    columns: str | None, broken: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A cell of 75 characters; COLUMNS is a user's own wish."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    counts = {str(client): 10 for client in range(6)}
    screen(stderr=True).print(closing_table(SUMMARY | {"flag_counts": counts}))
    said = ", ".join(f"client {i}{' (malicious)' if i == 2 else ''}: 10" for i in range(6))
    assert (said not in capfd.readouterr().err) == broken


def test_a_floor_says_of_how_many_images_it_is() -> None:
    facts = {"fid_floor/a": 30.0, "fid_floor/b": 40.0, "fid_floor_images/a": 1200, "fid_floor_images/b": 1000}
    (reading,) = readings({"fid": 50.0}, {"fid": facts})
    assert reading.next_to == "35 between real images (floor of 1,000 images)"
