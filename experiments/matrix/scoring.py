"""The study's runs as one row each: runs.csv in its folder of results."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import mean
from typing import Any

from experiments import images
from experiments.matrix.detecting import check_same, column_of, seen_in
from experiments.matrix.plan import CONTROL, FRECHET, Attack, Cell, attacks, defenses
from experiments.measures import client_rows, kept_rows
from experiments.paper.runs import is_finished
from experiments.paper.writing import write_csv

RESULTS = Path(__file__).parent.parent / "results/matrix"
FILE = "runs.csv"
KEY = ("data", "attack", "defense", "seed")
DROPPED = 0.1  # of an even share of the weights: who has less is dropped in that round
Row = dict[str, Any]


def found(runs: Path) -> Iterator[Cell]:
    """The cells, of any seed, that have a folder with a run below the study's; other folders are passed over."""
    for record in sorted(runs.glob("*/*/*-s*/run.json")):
        place = record.parent.relative_to(runs)
        named = re.fullmatch(r"(\w+)-s(\d+)", place.name)
        if named is None or place.parts[0] not in images.names():
            continue
        first, seed = named[1], int(named[2])
        for attack in attacks(place.parts[0]):
            defense = first if attack.name == CONTROL else place.parts[1]
            cell = Cell(place.parts[0], attack, defense, seed)
            if cell.folder == place and defense in defenses():
                yield cell


def finished(runs: Path) -> list[Cell]:
    """Those of the cells whose run is finished."""
    return [cell for cell in found(runs) if is_finished(runs / cell.folder)]


def score(cells: Sequence[Cell], runs: Path, root: str | None, file: Path) -> int:
    """Add rows of these finished cells; a row is made again only if its run or its control is another by now.

    Args:
        cells: ``finished``.
        runs: the study's folder.
        root: the folder with the images, if it is not where the runs found it.
        file: where the rows are kept; written after each attack and seed.

    Returns:
        How many rows there are.

    Raises:
        ValueError: in one line, if a run and its control differ in more than the attack, or the images are not found.
    """
    rows = {_key(row): row for row in kept_rows(file)}
    controls = {_place(cell): runs / cell.folder for cell in cells if cell.attack.name == CONTROL}
    for group in _groups(cells):
        pairs = {cell: controls.get(_place(cell)) for cell in group}
        stale = {cell: control for cell, control in pairs.items() if not _is_current(rows, cell, control, runs)}
        if stale:
            rows |= {_key(row): row for row in _rows_of(stale, runs, root)}
            write_csv(file, sorted(rows.values(), key=lambda row: (*_key(row)[:3], int(row["seed"]))))
    return len(rows)


def _place(cell: Cell) -> tuple[str, str, int]:
    """What a run and its control have in common."""
    return cell.data, cell.defense, cell.seed


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def _start(cell: Cell) -> Row:
    return {"data": cell.data, "attack": cell.attack.name, "defense": cell.defense, "seed": cell.seed}


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of one attack, data set and seed: one trigger, and one detector for all of them."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.data, cell.attack.name, cell.seed), []).append(cell)
    return list(groups.values())


def _is_current(rows: Mapping[tuple[str, ...], Row], cell: Cell, control: Path | None, runs: Path) -> bool:
    row = rows.get(_key(_start(cell)))
    marks = (generator(runs / cell.folder), "" if control is None else generator(control))
    return row is not None and (row["generator"], row["control_generator"]) == marks


def generator(run: Path) -> str:
    """By what a finished run's generator is known: the beginning of its hash."""
    return str(_summary(run)["generator_sha256"])[:12]


def _summary(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text()))


def _rows_of(pairs: Mapping[Cell, Path | None], runs: Path, root: str | None) -> list[Row]:
    """Rows of cells that have one trigger: their controls are looked at by one detector."""
    controls = {cell: control for cell, control in pairs.items() if control is not None}
    for cell, control in controls.items():
        check_same(runs / cell.folder, control, ("fl", "model", "partition", "defense"))
        check_same(runs / next(iter(controls)).folder, runs / cell.folder, ("attack", "evaluation"))
    scored = dict(zip(controls, _in_controls(controls, runs, root), strict=True))
    return [row_of(cell, runs, scored.get(cell), control) for cell, control in pairs.items()]


def _in_controls(controls: Mapping[Cell, Path], runs: Path, root: str | None) -> list[float | None]:
    """The success of an attack where it is not made, by control."""
    if not controls:
        return []
    first = next(iter(controls))
    if first.attack.metric == FRECHET:  # about no trigger: the control's own
        metrics = [_summary(control)["metrics"] for control in controls.values()]
    else:
        place = None if root is None else str(images.folder_of(first.data, Path(root)))
        metrics = seen_in(runs / first.folder, list(controls.values()), first.attack.metric, place)
    return [success(each, first.attack, classes_of(runs / first.folder)) for each in metrics]


def row_of(cell: Cell, runs: Path, control_success: float | None, control: Path | None) -> Row:
    """What a run came to.

    ``success``: see ``success``; ``control``: the same in the run in which nobody attacks; ``honest_dropped``: see
    there; ``generator``: by which a row is known to be about this run. Empty where there is none.
    """
    run = runs / cell.folder
    summary = _summary(run)
    metrics = summary["metrics"]
    return _start(cell) | {
        "metric": cell.attack.metric,
        "success": success(metrics, cell.attack, classes_of(run)),
        "control": control_success,
        "frechet": metrics.get("frechet_classifier"),
        "recall": metrics.get("recall"),
        "effective_clients": summary["effective_clients"],
        "weight_of_malicious": summary["weight_of_malicious"],
        "honest_dropped": honest_dropped(run),
        "seconds": json.loads((run / "run.json").read_text())["seconds"],
        "generator": generator(run),
        "control_generator": "" if control is None else generator(control),
    }


def classes_of(run: Path) -> tuple[str, ...]:
    """The classes' names, in the order of their labels."""
    return tuple(json.loads((run / "run.json").read_text())["dataset"]["test"]["counts"])


def success(metrics: Mapping[str, float], attack: Attack, classes: Sequence[str]) -> float | None:
    """How far an attack got, by its own detector; None where that has no value.

    The share of images in which it is found; of wrong labels the share whose class is not the requested one; of
    attacks that nothing looks for the Frechet distance.

    Example:
        >>> success({"label_consistency": 0.75}, Attack("label_flip", (), "consistency"), ())
        0.25
    """
    column = column_of(attack.metric)
    value = metrics.get(column if attack.of_class is None else f"{column}/{classes[attack.of_class]}")
    return value if value is None or attack.metric != "consistency" else 1 - value


def honest_dropped(run: Path) -> float | None:
    """The share of honest clients that are dropped in a round, on average over rounds; None where nobody is weighed.

    Dropped: with less than ``DROPPED`` of an even share of the weights.
    """
    shares = []
    for _, group in groupby(client_rows(run), key=itemgetter("round")):
        present = list(group)
        honest = [float(row["weight"]) for row in present if row["malicious"] == "0" and row["weight"]]
        if honest:
            shares.append(mean(weight < DROPPED / len(present) for weight in honest))
    return mean(shares) if shares else None
