"""Runs side by side: numbers by hand, files, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedgan import compare as command
from fedgan.reports.compare import compare, draw, readable
from fedgan.reports.run import Run, find_runs
from tests.helpers.reports import FEDDETECT, SQUARE, run_of
from tests.helpers.runs import refusal

Call = Callable[..., Any]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Sizes 4 and 8, with and without FedDetect, two seeds each; one more failed."""
    for size, defense, values in (
        (4, {}, (0.8, 1.0)),
        (8, {}, (0.9, 0.9)),
        (4, FEDDETECT, (0.0, 0.2)),
        (8, FEDDETECT, (0.5, 0.1)),
    ):
        for seed, value in enumerate(values):
            folder = tmp_path / "sweep" / f"size-{size}-{len(defense)}-{seed}"
            metrics = {"emission": value, "emission/a": value / 2, "emission_low": 0.0}
            run_of(folder, metrics, attack=SQUARE | {"size": size}, defense=defense, seed=seed)
    run_of(tmp_path / "sweep/failed", None, attack=SQUARE | {"size": 8}, seed=9)
    return tmp_path / "sweep"


def runs(sweep: Path) -> list[Run]:
    return find_runs([sweep])


def test_means_and_spreads_by_hand(sweep: Path) -> None:
    found = compare(runs(sweep), x="attack.size", by=["defense"])
    assert found.metrics == ("emission", "effective_clients")
    table = found.table.set_index(["attack.size", "defense"])
    assert table.loc[(4, "none"), "emission_mean"] == pytest.approx(0.9)
    assert table.loc[(8, "feddetect"), "emission_mean"] == pytest.approx(0.3)
    assert table.loc[(8, "feddetect"), "emission_std"] == pytest.approx(0.08**0.5)  # (0.2^2 + 0.2^2) / 1
    assert table["emission_n"].tolist() == [2, 2, 2, 2]
    assert len(found.runs) == 9


@pytest.mark.parametrize("named", [{}, {"x": "seed"}, {"metrics": ["emission"]}])
def test_runs_without_any_metric_are_refused(named: dict[str, Any], tmp_path: Path) -> None:
    """metrics=none, and a median, whose aggregate has no weights either."""
    for seed in range(2):
        run = run_of(tmp_path / str(seed), {}, seed=seed)
        (run.folder / "summary.json").write_text('{"metrics": {}, "effective_clients": null}')
    with pytest.raises(ValueError, match=r"^paths must be runs of which at least one has a metric, or weights; got"):
        compare(runs(tmp_path), **named)


def test_what_varies_is_taken_where_nothing_is_named(sweep: Path) -> None:
    assert compare(runs(sweep)).by == ("attack.size", "defense")
    assert compare(runs(sweep), x="attack.size").by == ("defense",)
    everything = compare(runs(sweep), by=[], metrics=["emission/a"])
    assert everything.table["emission/a_mean"].tolist() == pytest.approx([0.275])
    assert everything.table["emission/a_n"].tolist() == [8]


def test_for_people(sweep: Path) -> None:
    shown = readable(compare(runs(sweep), x="attack.size", by=["defense"], metrics=["emission"]))
    assert shown.to_dict("list") == {
        "attack.size": ["4", "4", "8", "8"],
        "defense": ["feddetect", "none", "feddetect", "none"],
        "runs": [2, 2, 2, 2],
        "emission": ["0.1 ± 0.14", "0.9 ± 0.14", "0.3 ± 0.28", "0.9 ± 0"],
    }


def test_the_picture_has_a_curve_for_each_defense(sweep: Path) -> None:
    figure = draw(compare(runs(sweep), x="attack.size", by=["defense"], metrics=["emission"]))
    (panel,) = figure.axes
    curves = [container.lines[0] for container in panel.containers]
    assert [line.get_xdata().tolist() for line in curves] == [[4, 8], [4, 8]]
    assert [line.get_ydata().tolist() for line in curves] == [pytest.approx([0.1, 0.3]), pytest.approx([0.9, 0.9])]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["feddetect", "none"]
    assert panel.get_xlabel() == "attack.size"
    names = draw(compare(runs(sweep), x="defense", by=[], metrics=["emission"])).axes[0]
    assert [tick.get_text() for tick in names.get_xticklabels()] == ["feddetect", "none"]


def test_the_command_writes_tables_and_a_picture(
    sweep: Path, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(command.main, str(sweep), "x=attack.size", "by=defense", "hydra.run.dir=out")
    written = {file.name for file in (tmp_path / "out").iterdir()}
    names = {"table.csv", "table.md", "table.tex", "runs.csv", "picture.png", "picture.pdf"}
    assert written >= names
    table = pd.read_csv(tmp_path / "out/table.csv")
    assert table["emission_mean"].tolist() == pytest.approx([0.1, 0.9, 0.3, 0.9])
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].endswith("out/picture.png")
    assert "failed is left out: failed" in printed.err
    assert r"\toprule" in (tmp_path / "out/table.tex").read_text()
    call(command.main, str(sweep), "x=attack.size", "by=defense", "hydra.run.dir=out")  # its own files again


def test_methods_of_one_module_are_not_averaged(tmp_path: Path) -> None:
    for seed, (name, value) in enumerate((("Uniform", 0.2), ("Uniform", 0.4), ("NumExamples", 0.8))):
        weighting = {"weighting": {"_target_": f"fedgan.federated.weighting.{name}"}}
        run_of(tmp_path / str(seed), {"emission": value}, fl=weighting, seed=seed)
    for by in (None, ["fl.weighting"]):
        table = compare(runs(tmp_path), by=by, metrics=["emission"]).table
        assert table["fl.weighting"].tolist() == ["NumExamples", "Uniform"]
        assert table["emission_mean"].tolist() == pytest.approx([0.8, 0.3])


def test_a_table_is_written_whole_or_stays_as_it_was(
    sweep: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(command.main, str(sweep), "hydra.run.dir=out")
    before = (tmp_path / "out/runs.csv").read_text()
    write = pd.DataFrame.to_csv

    def half(self: pd.DataFrame, file: Path, **options: Any) -> None:
        if "run" not in self:
            return write(self, file, **options)
        Path(file).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(SystemExit):
        call(command.main, str(sweep), "hydra.run.dir=out")
    assert (tmp_path / "out/runs.csv").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "paths must be folders of runs, sweeps or studies, typed ahead of the settings; got null"),
        (("nix",), "paths must be folders of runs or sweeps that exist; got 'nix'"),
        (("SWEEP", "x=attack.sise"), "no run has the setting attack.sise; those that vary are: attack.size, defense"),
        (
            ("SWEEP", "metric=emision"),
            "metric must be one that the runs have (emission, effective_clients), or of one class, such as "
            "emission/CLASS; got 'emision'",
        ),
        (("SWEEP/failed",), "paths must be runs of which at least one is finished; got ['failed']"),
        (("SWEEP", "hydra.run.dir=SWEEP"), "hydra.run.dir must be a new or empty folder; SWEEP contains failed, "),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], said: str, sweep: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [argument.replace("SWEEP", str(sweep)) for argument in arguments]
    assert refusal(call, capsys, command.main, *typed).startswith(f"error: {said.replace('SWEEP', str(sweep))}")


def test_paths_are_taken_as_they_are(call: Call, sweep: Path, tmp_path: Path) -> None:
    odd = sweep.rename(tmp_path / "it's a, [sweep]")
    call(command.main, str(odd), "hydra.run.dir=out")
    assert (tmp_path / "out/table.csv").is_file()


def test_runs_that_differ_in_what_is_not_named_are_said_to_be_averaged(
    sweep: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attacked runs and their controls, say: a mean of both is of neither."""
    call(command.main, str(sweep), "x=attack.size", "by=defense", "hydra.run.dir=one")
    call(command.main, str(sweep), "x=attack.size", "hydra.run.dir=two")
    assert "are averaged" not in capsys.readouterr().err
    call(command.main, str(sweep), "x=defense", "by=seed", "hydra.run.dir=three")
    said = "warning: runs that differ in attack.size are averaged; by=[seed,attack.size] keeps them apart"
    assert said in capsys.readouterr().err
