"""Whom defenses flagged in a run and by what, from tables written by hand, and in runs with a defense of our own."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from fedgan.config import training
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Comparison, Decision, Defense
from fedgan.runs.closing import found, is_discarded
from fedgan.runs.findings import places
from fedgan.runs.record import RECEIPT_COLUMNS
from fedgan.runs.scores import scores_of
from tests.helpers.runs import rows

Rows = Sequence[tuple[int, str, int | None, str, float | None]]
Configure = Callable[..., DictConfig]


def receipts(folder: Path, written: Rows) -> Path:
    with (folder / "receipts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([RECEIPT_COLUMNS, *written])
    return folder / "receipts.csv"


def of_client(round_: int, client: int, name: str = "defense.audit", **measures: float) -> Rows:
    return [(round_, name, client, measure, value) for measure, value in measures.items()]


def test_f18_who_was_flagged_when_and_where(tmp_path: Path) -> None:
    """Client 2 in rounds 1, 2 and 4; in the last of them by b, at rows 5 to 7 and columns 1 to 2."""
    place = {"b_row": 6.0, "b_column": 1.0}
    edges = {"b_top": 5.0, "b_bottom": 7.0, "b_left": 1.0, "b_right": 2.0}
    written: Rows = [
        (0, "update_attack", 2, "relative_norm", 3.0),
        *(row for t in range(5) for row in [
            (t, "defense.audit", None, "acted", 1.0), (t, "defense.audit", None, "threshold", 10.0 + t),
            *of_client(t, 0, a_score=1.0, b_score=0.5 * t, flagged=0.0),
            *of_client(t, 2, a_score=20.0 - t, b_score=12.0 + t, **place, flagged=float(t in (1, 2, 4)), **edges),
        ]),
        (4, "defense.median", None, "acted", 1.0),
    ]  # fmt: skip
    flagged = {"client": 2, "first": 1, "last": 4, "rounds": 3, "view": "a", "score": 16.0, "place": None}
    sights = [{"view": "a", "score": 16.0, "place": None, "whole": False},
              {"view": "b", "score": 16.0, "place": [5, 7, 1, 2], "whole": False}]  # fmt: skip
    flagged["views"] = sights
    highest = {"client": 2, "round": 0, "view": "a", "score": 20.0}
    found_ = scores_of(receipts(tmp_path, written))
    above = {"client": 2, "first": 0, "last": 3, "rounds": 2, "view": "a", "score": 17.0, "place": None}
    above["views"] = [{"view": "a", "score": 17.0, "place": None, "whole": False},
                      {"view": "b", "score": 15.0, "place": [5, 7, 1, 2], "whole": False}]  # fmt: skip
    expected = {"threshold": 14.0, "highest": highest, "flagged": [flagged], "not_flagged": [above]}
    assert found_ == {"audit": expected}, "a tie is the first's"
    later = [*written, *of_client(5, 2, b_score=30.0, **place, flagged=1.0, **edges)]
    (last,) = scores_of(receipts(tmp_path, later))["audit"]["flagged"]
    place = [5, 7, 1, 2]
    sights[1]["score"] = 30.0
    assert last == flagged | {"last": 5, "rounds": 4, "view": "b", "score": 30.0, "place": place, "views": sights}


def test_e5_a_view_that_was_never_above_the_threshold_flagged_nobody(tmp_path: Path) -> None:
    """By a in round 0; in round 1 the flag stays though nothing is above 10, in round 2 by c, over the whole image."""
    edges = {"c_top": 0.0, "c_bottom": 31.0, "c_left": 0.0, "c_right": 31.0, "c_whole": 1.0}
    rounds = [{"a": 11.0, "b": 4.0, "c": 1.0}, {"a": 5.0, "b": 9.0, "c": 1.0}, {"a": 5.0, "b": 9.0, "c": 12.0}]
    written: list[Any] = []
    for t, scores in enumerate(rounds):
        written.append((t, "defense.audit", None, "threshold", 10.0))
        own = {f"{view}_score": score for view, score in scores.items()} | {"flagged": 1.0} | (edges if t == 2 else {})
        written += of_client(t, 2, **own)
    found_ = scores_of(receipts(tmp_path, written))
    (flagged,) = found_["audit"]["flagged"]
    assert [(each["view"], each["score"], each["whole"]) for each in flagged["views"]] == [
        ("a", 11.0, False),
        ("c", 12.0, True),
    ]
    line = "audit: flagged client 2 (malicious) in rounds 0 to 2 by c, the whole image; by a"
    assert found(SUMMARY | {"scores": found_}, tmp_path) == [line]


def test_when_the_generator_was_set_back_is_said_last(tmp_path: Path) -> None:
    written: Rows = [
        row
        for t, rounds in enumerate((0.0, 2.0, 1.0))
        for row in [(t, "defense.audit", None, "rewound", rounds), *of_client(t, 0, a_score=1.0, flagged=0.0)]
    ]
    found_ = scores_of(receipts(tmp_path, written))
    assert found_["audit"]["rewound"] == [{"round": 1, "rounds": 2}, {"round": 2, "rounds": 1}]
    for rounds, left in ((5, "2 of 5 rounds of training are left"), (3, "untrained")):
        (_, line) = found(SUMMARY | {"scores": found_, "rounds": rounds}, tmp_path)
        assert line == f"audit: generator set back 2 rounds after round 1, 1 round after round 2: {left}"


def test_receipts_without_scores_say_nothing(tmp_path: Path) -> None:
    assert scores_of(receipts(tmp_path, [(0, "defense.median", None, "acted", 1.0)])) == {}


SUMMARY: dict[str, Any] = {"malicious": [2]}
HIGHEST = {"client": 3, "round": 12, "view": "spectrum", "score": 4.125}


def test_f18_the_terminal_says_whom_and_where_and_which_picture(tmp_path: Path) -> None:
    first = {"client": 2, "first": 3, "last": 18, "rounds": 16, "view": "place", "score": 40.0, "place": [27, 30, 5, 8]}
    second = first | {"client": 3, "first": 4, "last": 9, "rounds": 2, "view": "loss", "place": None}
    once = second | {"client": 1, "last": 4, "rounds": 1}
    for name in ("client_2.png", "loss.png"):
        (tmp_path / "defenses/audit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "defenses/audit" / name).touch()
    scores = {"audit": {"threshold": 10.9, "highest": HIGHEST, "flagged": [first, second, once]}}
    assert found(SUMMARY | {"scores": scores}, tmp_path) == [
        f"audit: flagged client 2 (malicious) in rounds 3 to 18 by place, rows 27 to 30, columns 5 to 8:"
        f" {tmp_path}/defenses/audit/client_2.png",
        f"audit: flagged client 3 in 2 of rounds 4 to 9 by loss: {tmp_path}/defenses/audit/loss.png",
        f"audit: flagged client 1 in round 4 by loss: {tmp_path}/defenses/audit/loss.png",
    ]


def test_f18_the_terminal_says_how_near_it_was_where_nobody_is_flagged(tmp_path: Path) -> None:
    scores = {"audit": {"threshold": 10.89, "highest": HIGHEST, "flagged": []}}
    line = "audit: nobody flagged; highest score 4.1 of 10.9 (client 3, spectrum, round 12)"
    assert found(SUMMARY | {"scores": scores}, tmp_path) == [line]
    scores["audit"]["threshold"] = None
    assert found(SUMMARY | {"scores": scores}, tmp_path) == [line.replace(" of 10.9", "")]
    assert found(SUMMARY, tmp_path) == [], "a run of an older version"


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (0.0, "; all scores are 0"),
        (10.89, "; highest score 10.9 of 10.9 (client 3, spectrum, round 12)"),
        (24.7, ", but client 3 was above the threshold: 24.7 of 10.9 (spectrum, round 12)"),
    ],
)
def test_the_terminal_does_not_say_of_a_defense_that_watches_that_nothing_was_there(
    score: float, said: str, tmp_path: Path
) -> None:
    scores = {"audit": {"threshold": 10.89, "highest": HIGHEST | {"score": score}, "flagged": []}}
    (line,) = found(SUMMARY | {"scores": scores}, tmp_path)
    assert line == f"audit: nobody flagged{said}"


def test_who_was_above_the_threshold_and_not_flagged_is_named_with_its_picture(tmp_path: Path) -> None:
    """Client 2, in rounds 3 and 4, and client 1, which is flagged in round 4 too; client 0 is not above 10."""
    written: list[Any] = []
    for t in range(5):
        written.append((t, "defense.audit", None, "threshold", 10.0))
        written += of_client(t, 0, a_score=10.0, flagged=0.0)
        written += of_client(t, 1, a_score=3.0 * t, flagged=0.0)
        written += of_client(t, 2, a_score=4.0 * t, a_row=7.0, a_column=9.0, flagged=0.0)
    found_ = scores_of(receipts(tmp_path, written))
    (tmp_path / "defenses/audit").mkdir(parents=True)
    for name in ("a.png", "client_2.png"):
        (tmp_path / "defenses/audit" / name).touch()
    near = "audit: nobody flagged, but client 2 was above the threshold: 16.0 of 10.0 (a, round 4)"
    others = [
        "audit: above the threshold, not flagged: client 1 in round 4 by a",
        "audit: above the threshold, not flagged: client 2 (malicious) in rounds 3 to 4 by a, row 7, column 9",
    ]
    files = [tmp_path / "defenses/audit" / name for name in ("a.png", "client_2.png")]
    seen = [f"{line}: {file}" for line, file in zip(others, files, strict=True)]
    assert found(SUMMARY | {"scores": found_}, tmp_path) == [near, *seen]
    assert found(SUMMARY | {"scores": found_}) == [near, *others], "in a report, without files"
    written[-11:] = [*of_client(4, 1, a_score=12.0, flagged=1.0), *of_client(4, 2, a_score=16.0, flagged=0.0)]
    flagged, other = found(SUMMARY | {"scores": scores_of(receipts(tmp_path, written))})
    assert flagged == "audit: flagged client 1 in round 4 by a"
    assert other.startswith("audit: above the threshold, not flagged: client 2 (malicious) in rounds 3 to 4 by a")


@pytest.mark.parametrize(("rounds", "discarded"), [(12, True), (13, False)])
def test_what_clients_weighed_in_a_discarded_aggregate_is_said_to_be_of_one(rounds: int, discarded: bool) -> None:
    scores = {"audit": {"rewound": [{"round": 5, "rounds": 4}, {"round": 11, "rounds": 4}]}}
    assert is_discarded({"rounds": rounds, "scores": scores}) == discarded
    assert not is_discarded({"rounds": rounds})


def test_e6_where_nobody_is_flagged_the_map_of_the_highest_score_is_named(tmp_path: Path) -> None:
    file = tmp_path / "defenses/audit/spectrum.png"
    file.parent.mkdir(parents=True)
    file.touch()
    scores = {"audit": {"threshold": 10.89, "highest": HIGHEST, "flagged": []}}
    (line,) = found(SUMMARY | {"scores": scores}, tmp_path)
    assert line.endswith(f"(client 3, spectrum, round 12); {file}")


def test_e7_a_place_that_is_all_of_an_image_is_a_measure_of_its_own() -> None:
    images = torch.zeros(1, 1, 8, 8)
    compared, spectrum = (Comparison(images[0], images[0], own) for own in (images, images[:0]))
    corner = torch.zeros(8, 8)
    corner[0, 0] = 1.0
    whole = {"top": 0.0, "bottom": 7.0, "left": 0.0, "right": 7.0}
    everywhere = places({"place": (torch.ones(8, 8), compared), "spectrum": (torch.ones(8, 8), spectrum)})
    expected = {f"{what}_{edge}": value for what in ("place", "spectrum") for edge, value in whole.items()}
    assert everywhere == expected | {"place_whole": 1.0}, "a spectrum has no place in an image"
    assert "place_whole" not in places({"place": (corner, compared)})


def test_many_flagged_clients_are_few_lines(tmp_path: Path) -> None:
    one = {"client": 0, "first": 3, "last": 3, "rounds": 1, "view": "a", "score": 40.0, "place": None}
    scores = {"audit": {"threshold": 10.9, "highest": HIGHEST, "flagged": [one | {"client": i} for i in range(31)]}}
    lines = found(SUMMARY | {"scores": scores}, tmp_path)
    assert (len(lines), lines[-1]) == (9, "and 23 more (summary.json, scores)")


class Suspicious(Defense):
    """Flags client 1 in the rounds that it is given, by a white spot at rows 4 and 5, columns 20 to 22."""

    ROUNDS = (0, 1)

    def __init__(self) -> None:
        self.round = 0

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        self.round = round_.index
        flagged = frozenset({1} if self.round in self.ROUNDS else ())
        return Decision(weights, flagged)

    def receipt(self) -> Mapping[str, float]:
        return {"threshold": 5.0}

    def client_receipts(self) -> Mapping[int, Mapping[str, float]]:
        return {i: {"spot_score": 9.0 * (i == 1) + self.round} for i in range(4)}

    def maps(self) -> Mapping[str, Mapping[int, Tensor]]:
        found_ = {i: torch.zeros(32, 32) for i in range(4)}
        found_[1][4:6, 20:23] = 7.0
        return {"spot": found_}

    def comparisons(self) -> Mapping[str, Mapping[int, Comparison]]:
        own = torch.full((1, 32, 32), self.round / 10)
        if self.round not in self.ROUNDS:
            return {}
        return {"spot": {1: Comparison(own, torch.zeros(1, 32, 32), own[None])}}


def test_f18_a_run_leaves_a_picture_of_each_client_that_was_ever_flagged(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedgan.defenses.rotation.Rotation", lambda **_: Suspicious())
    cfg = configure("defense=rotation", "fl.rounds=3", "evaluation.every=3", "metrics=none")
    summary = training.train(cfg, tmp_path / "run")
    folder = tmp_path / "run/defenses/rotation"
    assert sorted(file.name for file in folder.iterdir()) == ["client_1.png", "spot.png"]
    written = [row for row in rows(tmp_path / "run/receipts.csv") if row["client"] == "1"]
    by_round = [{row["measure"]: float(row["value"]) for row in written if row["round"] == str(t)} for t in range(3)]
    place = {"spot_top": 4.0, "spot_bottom": 5.0, "spot_left": 20.0, "spot_right": 22.0}
    assert by_round[1] == {"spot_score": 10.0, "flagged": 1.0, **place}
    assert by_round[2] == {"spot_score": 11.0, "flagged": 0.0}
    (flagged,) = summary["scores"]["rotation"]["flagged"]
    assert flagged == {"client": 1, "first": 0, "last": 1, "rounds": 2, "view": "spot", "score": 10.0,
                       "place": [4, 5, 20, 22],
                       "views": [{"view": "spot", "score": 10.0, "place": [4, 5, 20, 22], "whole": False}]}  # fmt: skip
    assert json.loads((tmp_path / "run/summary.json").read_text())["scores"] == summary["scores"]
    (line,) = found(summary, tmp_path / "run")
    assert line.endswith(f"in rounds 0 to 1 by spot, rows 4 to 5, columns 20 to 22: {folder / 'client_1.png'}")
    assert np.asarray(Image.open(folder / "client_1.png")).std() > 5


def test_loggers_get_the_picture_of_a_client_that_stood_out_before_an_evaluation(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rounds 0 and 1; the generator is evaluated after round 2, and again after round 5."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr("fedgan.defenses.rotation.Rotation", lambda **_: Suspicious())
    settings = ("defense=rotation", "fl.rounds=6", "evaluation.every=3", "metrics=none", "logger=[tensorboard]")
    training.train(configure(*settings), tmp_path / "run")
    found_ = reader.EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"images": 0})
    found_.Reload()
    logged = {tag: [image.step for image in found_.Images(tag)] for tag in found_.Tags()["images"]}
    assert logged == {"samples": [2, 5], "defense.rotation/spot": [2, 5], "defense.rotation/client_1": [2]}


def test_f18_flags_of_another_defense_are_not_its_own(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FedDetect's mean flags somebody in the first rounds; the scores are those of a defense that does not."""
    monkeypatch.setattr(Suspicious, "ROUNDS", ())
    monkeypatch.setattr("fedgan.defenses.rotation.Rotation", lambda **_: Suspicious())
    both = ("defense=[feddetect_mean,rotation]", "defense.feddetect_mean.warmup=0", "fl.rounds=4", "metrics=none")
    summary = training.train(configure(*both), tmp_path / "run")
    assert any(row["flagged"] == "1" for row in rows(tmp_path / "run/clients.csv"))
    assert summary["scores"]["rotation"]["flagged"] == []
    assert list(summary["scores"]) == ["rotation"]
    assert not (tmp_path / "run/defenses/rotation/client_1.png").exists()


def test_f18_a_run_that_is_extended_leaves_the_same_pictures_and_scores(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client 1 is flagged before the end of the short run, where alone it is evaluated, and in no later round."""
    monkeypatch.setattr("fedgan.defenses.rotation.Rotation", lambda **_: Suspicious())
    settings = ("defense=rotation", "evaluation.every=4", "metrics=none")
    once = training.train(configure(*settings, "fl.rounds=4"), tmp_path / "once")
    training.train(configure(*settings, "fl.rounds=1"), tmp_path / "twice")
    twice = training.train(configure(*settings, "fl.rounds=4", f"resume={tmp_path / 'twice'}"), tmp_path / "twice")
    assert twice["scores"] == once["scores"]
    pictures = [(tmp_path / name / "defenses/rotation/client_1.png").read_bytes() for name in ("once", "twice")]
    assert pictures[0] == pictures[1]
