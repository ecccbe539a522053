"""The audit's study: its plan, what detectors make of recorded federations, and how claims are judged."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from experiments.audit import __main__ as command
from experiments.audit import counting, judging, plan, tables
from experiments.audit.recording import Recording, read
from experiments.audit.replay import EQUALIZED, _updates, audited, detectors, rated, replay, verdict
from experiments.audit.scores import by_client
from experiments.federations import chosen
from experiments.images import FOLDERS
from experiments.measures import AUDIT, kept_rows
from fedgan.core.round import Round
from fedgan.defenses.audit.views import VIEWS, reduced
from fedgan.defenses.feddetect_mean import FedDetectMean
from fedgan.defenses.replay import replay as replay_losses
from fedgan.defenses.robust.gram import gram_matrix
from fedgan.defenses.robust.median import Median

IMAGES = "/images"


def test_study_seeds_were_never_used_in_the_trial() -> None:
    every = plan.settings(IMAGES)
    assert len({each.folder for each in every}) == len(every)
    assert all(seed >= 100 for each in every for seed in each.seeds)
    assert all(len(each.seeds) >= 10 for each in every)
    controls = Counter(each.name for each in every for _ in each.seeds if each.name.startswith("control"))
    assert min(controls.values()) >= 40, "of both data together"


def test_controls_have_nobody_malicious_and_acting_ones_the_audit() -> None:
    for each in plan.settings(IMAGES):
        assert ("fl.malicious=0" in each.overrides) == each.name.startswith("control")
        acting = each.name.endswith(plan.ACTING)
        assert ("defense=generator_audit" in each.overrides) == acting
        assert not acting or ("defense.generator_audit.equalize=false" in each.overrides and max(each.seeds) == 109)
        assert not any("{" in text and "_target_" not in text for text in each.overrides)


@pytest.mark.parametrize(
    "name", ["size2", "control_n16", "control_dirichlet", "sinusoidal", "two_of_ten_acting", "blended_acting"]
)
def test_settings_are_configurations(name: str, configure: Callable[..., DictConfig]) -> None:
    for each in plan.settings(IMAGES):
        if each.name == name:
            cfg = configure(*[text for text in each.typed if not text.startswith("seed=")], tiny=False)
            assert cfg.dataset.image_size == 32
            assert "recording" in cfg.defense


def test_seeds_may_differ_by_data() -> None:
    seeds = {each.data: each.seeds for each in plan.settings(IMAGES) if each.name == "control_feature_skew"}
    assert seeds == {"chest": tuple(range(100, 130)), "lesions": tuple(range(100, 160))}


def test_settings_are_chosen_by_pattern_and_seed() -> None:
    own = chosen(plan.settings(IMAGES), "lesions/size?", range(105, 108))
    assert [(each.name, each.seeds) for each in own] == [(f"size{s}", (105, 106, 107)) for s in (2, 8, 4)]


def recorded(rounds: int, clients: int, guilty: dict[int, float]) -> list[dict[str, Any]]:
    """Noise; of some clients a patch in the mean image and losses that are higher."""
    made = []
    for t in range(rounds):
        rng = np.random.default_rng(t)
        mean = rng.normal(size=(clients, 2, 1, 32, 32))
        losses = rng.normal(2.0, 0.01, size=(clients, 3))
        for client, height in guilty.items():
            mean[client, :, :, 4:7, 4:7] += height
            losses[client] += height
        deltas = rng.normal(size=(clients, 50))
        names = np.array(["loss_g", "loss_g_final", "loss_g_last"])
        made.append(
            {
                "clients": np.arange(clients),
                "mean": mean.astype(np.float32),
                "spectrum": rng.normal(size=(clients, 2, 1, 32, 17)).astype(np.float32),
                "losses": losses,
                "names": names,
                "gram": deltas @ deltas.T,
            }
        )
    return made


@pytest.mark.parametrize("equalize", [False, True])
def test_the_audit_finds_who_paints_in_a_recording(equalize: bool) -> None:
    found = audited(recorded(10, 5, {3: 3.0}), [3], equalize=equalize)
    assert (found.honest, found.rounds) == (0, 0)
    assert found.found is not None
    assert found.found <= 4
    assert found.attacker is not None
    assert found.highest is not None
    assert found.attacker > 12 > found.highest
    control = audited(recorded(10, 5, {}), [], equalize=equalize)
    assert (control.found, control.attacker, control.honest) == (None, None, 0)


def test_rules_on_losses_get_the_recorded_losses() -> None:
    found = rated(FedDetectMean(warmup=5), recorded(10, 6, {3: 3.0}), [3])
    assert found.found == 6, "the first round after the warm-up"


def test_e12_the_study_and_the_package_replay_alike() -> None:
    rounds = recorded(10, 6, {3: 3.0})
    names = list(rounds[0]["names"])
    losses = {name: np.stack([each["losses"][:, i] for each in rounds]) for i, name in enumerate(names)}
    flags = [each.flagged for each in replay_losses(FedDetectMean(warmup=5), losses)]
    assert any(flags)
    assert rated(FedDetectMean(warmup=5), rounds, [3]) == verdict(flags, list(range(6)), [3])
    with pytest.raises(ValueError, match="^defense must be one that changes weights or flags clients; got 'Median'$"):
        rated(Median(), rounds, [3])


def test_rules_on_updates_get_updates_with_the_recorded_inner_products() -> None:
    one = recorded(1, 6, {})[0]
    updates = _updates(one)
    reference = {"w": 0 * updates[0].state["w"]}
    round_ = Round(0, reference, frozenset({"w"}), num_clients=6)
    np.testing.assert_allclose(gram_matrix([each.state for each in updates], round_), one["gram"], atol=1e-9)


def test_a_verdict_by_hand() -> None:
    flags = [frozenset[int](), frozenset({0}), frozenset({1, 2}), frozenset({1, 2, 0})]
    assert verdict(flags, [0, 1, 2, 3], [1, 2])[:4] == (1, 2, 2, 2 / 8)
    assert verdict(flags, [0, 1, 2, 3], [])[:4] == (3, 6, None, 6 / 16)


def run_folder(folder: Path, seed: int, malicious: list[int], emission: str) -> None:
    run = folder / "chest" / ("size2" if malicious else "control") / f"s{seed}"
    (run / "recording").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"status": "finished", "malicious": malicious}))
    (run / "rounds.csv").write_text(f"round,emission\n0,\n1,{emission}\n")
    for t, arrays in enumerate(recorded(8, 4, dict.fromkeys(malicious, 3.0))):
        np.savez(run / "recording" / f"round_{t:04d}.npz", **arrays)


@pytest.mark.parametrize("share", ["emission", "template_emission", "spectrum_emission"])
def test_the_share_of_images_is_that_of_the_attacks_own_detector(share: str, tmp_path: Path) -> None:
    run_folder(tmp_path, 100, [2], "0.9")
    rounds = tmp_path / "chest/size2/s100/rounds.csv"
    rounds.write_text(rounds.read_text().replace("emission", share))
    assert {row["emission"] for row in counting.rows_of(rounds.parent)} == {0.9}


def test_where_nothing_was_measured_nothing_is_clean() -> None:
    (claim,) = [
        each for each in judging.claims() if each.says == "where the audit acts, patches do not reach the images"
    ]
    assert [claim.holds_of({"emission": text}) for text in ("0.01", "0.03", "0.04", "")] == [True, True, False, False]


def test_federations_are_counted_once_and_tables_are_written_from_the_file(tmp_path: Path) -> None:
    for seed in (100, 101):
        run_folder(tmp_path, seed, [2], "0.9")
        run_folder(tmp_path, seed, [], "")
    file = tmp_path / "federations.csv"
    assert counting.count(counting.finished(tmp_path), file) == 4
    before = file.read_text()
    assert counting.count(counting.finished(tmp_path), file) == 4
    assert file.read_text() == before
    rows = kept_rows(file)
    assert {row["detector"] for row in rows} == {AUDIT, EQUALIZED, *detectors(1, 0.1)} - {"krum", "multi_krum"}
    written = tables.write(rows, tmp_path)
    assert [path.name for path in written] == ["claims.md", "settings.md", "equalized.md", "roc.png"]
    claims = written[0].read_text()
    assert "| 2 of 2 " in claims
    own = next(line for line in written[1].read_text().splitlines() if "size2" in line and "generator_audit " in line)
    assert [cell.strip() for cell in own.split("|")][4:6] == ["0 of 2 (0 to 84 %)", "2 of 2 (16 to 100 %)"]
    assert own.rstrip(" |").endswith("0.900")


def test_an_honest_client_above_the_threshold_is_named_where_the_attacker_has_its_place() -> None:
    def row(seed: int, honest: str, highest: str) -> dict[str, str]:
        start = {"data": "chest", "setting": "size2", "seed": str(seed), "detector": AUDIT, "found": "1"}
        return {**start, "honest": honest, "highest": highest, "weight": "0", "emission": ""}

    threshold = -math.log(0.02 / (3 * 20))
    scores = (threshold + 0.01, threshold - 0.01, 30.0)
    rows = [row(seed, "0", str(score)) for seed, score in enumerate(scores)]
    assert tables.by_setting(rows)[0]["false alarms"] == "0 of 3 (0 to 71 %), 2 above"
    rows = [row(0, "1", "30.0"), row(1, "0", "1.0")]
    assert tables.by_setting(rows)[0]["false alarms"] == "1 of 2 (1 to 99 %)"
    without_scores = [row(0, "1", ""), row(1, "0", "")]
    assert tables.by_setting(without_scores)[0]["false alarms"] == "1 of 2 (1 to 99 %)"


@pytest.mark.parametrize(("seed", "counted"), [(5, False), (100, True)])
def test_runs_of_the_plan_alone_are_counted_among_the_studys_own(
    seed: int,
    counted: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Seed 5 is one of those on which the method was chosen."""
    run_folder(tmp_path / "runs", seed, [], "")
    monkeypatch.setattr(counting, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "check_runs", lambda *_: None)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr("sys.argv", ["audit", "score", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert (ended.value.code == 0) == counted
    assert len({row["seed"] for row in kept_rows(tmp_path / "results" / counting.FILE)}) == int(counted)


def test_the_audit_without_and_with_equalize_is_compared_on_the_same_federations() -> None:
    def row(setting: str, seed: str, detector: str, honest: str, found: str) -> dict[str, str]:
        start = {"data": "chest", "setting": setting, "seed": seed, "detector": detector}
        return {**start, "honest": honest, "found": found}

    rows = [
        *(row("size2", str(i), AUDIT, "0", found) for i, found in enumerate(["3", "5", "", "7", "2"])),
        *(row("size2", str(i), EQUALIZED, "0", found) for i, found in enumerate(["4", "9", "6", ""])),  # not seed 4
        row("control", "0", AUDIT, "2", ""),
        row("control", "0", EQUALIZED, "0", ""),
        row("size8", "0", AUDIT, "0", "1"),
    ]
    of_controls, of_attacks = (list(each.values()) for each in tables.in_pairs(rows))
    assert of_controls == ["chest", "control", "1", "1, 0", "-", "-"]
    assert of_attacks == ["chest", "size2", "4", "0, 0", "3, 3", "2.5"], "1 and 4 rounds later"


@pytest.mark.parametrize(
    ("own", "detector"), [("{}", AUDIT), ("{equalize: false}", AUDIT), ("{equalize: true}", EQUALIZED)]
)
def test_a_run_in_which_the_audit_acted_is_read_from_its_own_record(own: str, detector: str, tmp_path: Path) -> None:
    run = tmp_path / "chest" / "size2_acting" / "s100"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"status": "finished", "malicious": [1]}))
    (run / "rounds.csv").write_text("round,emission\n0,\n1,0.01\n")
    (run / "clients.csv").write_text(
        "round,client,malicious,flagged\n0,0,0,0\n0,1,1,0\n0,2,0,1\n1,0,0,0\n1,1,1,1\n1,2,0,0\n"
    )
    (run / "config.yaml").write_text(f"defense: {{generator_audit: {own}}}")
    (row,) = counting.rows_of(run)
    assert (row["detector"], row["honest"], row["rounds"], row["found"], row["weight"]) == (detector, 1, 1, 1, 0.25)
    assert row["emission"] == 0.01


@pytest.mark.parametrize(
    ("counted", "row", "holds"),
    [
        ("false alarm", {"honest": "0"}, False),
        ("false alarm", {"honest": "2"}, True),
        ("found", {"found": "5.0"}, True),
        ("found", {"found": "6"}, False),
        ("found", {"found": ""}, False),
        ("clean", {"emission": "0.03"}, True),
        ("clean", {"emission": "0.031"}, False),
        ("weight", {"weight": "0.02"}, True),
        ("weight", {"weight": "0.021"}, False),
    ],
)
def test_what_is_counted(counted: Any, row: dict[str, str], holds: bool) -> None:
    assert judging.Claim("", "", (), counted, by=5).holds_of(row) is holds


def test_every_claim_covers_settings_of_the_plan() -> None:
    every = plan.settings(IMAGES)
    for claim in judging.claims():
        rows = [{"data": each.data, "setting": each.name, "detector": claim.detector} for each in every]
        assert any(claim.covers(row) for row in rows), claim.says
        assert (claim.at_most is None) != (claim.at_least is None)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("score {tmp}", "error: RUNS must be a folder with finished federations, DATA/SETTING/sN, in it; got "),
        ("tables", "must be there: python -m experiments.audit score RUNS; got 'no such file'"),
        (
            "train {tmp}/r --root {tmp}/nope",
            "error: --root must be a folder with chest_xray and skin_lesions in it; got",
        ),
        ("train {tmp}/r --root {tmp} --only nothing/*", "error: --only and --seeds must be of the plan's settings and"),
        ("train {tmp}/r --root {tmp} --seeds 119-100", "error: --seeds must be FIRST-LAST, such as 100-119; got"),
    ],
)
def test_what_is_nothing_to_do_is_refused_in_one_line(
    typed: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    monkeypatch.setattr("sys.argv", ["audit", *typed.format(tmp=tmp_path).split()])
    monkeypatch.setattr(counting, "RESULTS", tmp_path / "none")
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert says in str(stopped.value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("typed", ["score {tmp} fl.rounds=2", "train {tmp} --root {tmp} --sweep"])
def test_overrides_are_for_training_alone(typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["audit", *typed.format(tmp=tmp_path).split()])
    with pytest.raises(SystemExit, match="2"):
        command.main()


def test_statistics_of_large_images_are_those_that_the_audit_takes() -> None:
    drawn = torch.rand(8, 1, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    kept = Recording(folder="unused", per_class=4, kept_per_class=2)._views(drawn, 2)
    seen = reduced(drawn).reshape(2, 4, 1, 64, 64)
    assert kept["images"].shape == (2, 2, 1, 128, 128)
    np.testing.assert_array_equal(kept["mean"], seen.mean(1))
    audit = {view: VIEWS[view].map_of(seen) for view in VIEWS}
    (maps,) = by_client({"clients": np.array([0])} | {name: kept[name][None] for name in ("mean", "spectrum")}).values()
    for view in VIEWS:
        np.testing.assert_allclose(maps[view], audit[view], atol=1e-5)


def test_replay_leaves_out_who_refuses(tmp_path: Path) -> None:
    run_folder(tmp_path, 100, [2], "0.5")
    found = replay(tmp_path / "chest/size2/s100")
    assert "krum" not in found
    assert found["generator_audit"].found is not None
    assert len(read(tmp_path / "chest/size2/s100/recording")) == 8


def test_a_dry_run_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ten seeds one was scored before and is not there any more, another was trained in 72 seconds."""
    results = tmp_path / "results"
    results.mkdir()
    (results / counting.FILE).write_text("data,setting,seed,detector\nchest,size4,100,flame\n")
    monkeypatch.setattr(counting, "RESULTS", results)
    run = tmp_path / "runs/chest/size4/s101"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"status": "finished", "seconds": 72.0, "rounds": 20}')
    (run / "config.yaml").write_text("{fl: {weighting: {}}, partition: {}, model: {_target_: x}}")
    dry = ("train", str(tmp_path / "runs"), "--only", "chest/size4", "--dry-run")
    for typed, said in (
        (dry, "10 runs, 9 left: 0.2 hours of one process"),
        ((*dry, "--missing"), "9 runs, 8 left: 0.2 hours of one process"),
        ((*dry, "--missing", "--seeds", "100-100"), f"nothing is missing in {results / counting.FILE}"),
    ):
        monkeypatch.setattr("sys.argv", ["audit", *typed])
        with pytest.raises(SystemExit, match="0"):
            command.main()
        assert capsys.readouterr().out.splitlines()[-1] == said
    assert [path.name for path in (tmp_path / "runs").glob("*/*/*")] == ["s101"]
