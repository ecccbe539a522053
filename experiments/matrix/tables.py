"""Tables of the study from results/matrix/runs.csv alone: values by cell, verdicts, a heat map for each data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments import images
from experiments.matrix.heatmap import draw, tried
from experiments.matrix.judging import Key, Rule, Verdict, by_cell, number, verdict
from experiments.matrix.plan import CONTROL, NONE, attacks, defenses
from experiments.paper.writing import markdown, write_csv, write_text
from fedgan.core.files import atomic_write

MEASURES = ("success", "control", "frechet", "recall", "effective_clients", "weight_of_malicious", "honest_dropped")
Row = Mapping[str, Any]


def keys_of(data: str) -> list[Key]:
    """The cells of the matrix on some images, defense by defense, whether they have runs or not."""
    return [(data, attack.name, defense) for defense in defenses() for attack in attacks(data)]


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The tables and the heat map of each data set that has a run."""
    cells, rule = by_cell(rows), Rule.read()
    present = [data for data in images.names() if any(row["data"] == data for row in rows)]
    return [path for data in present for path in _write_one(data, cells, rule, folder)]


def _write_one(data: str, cells: Mapping[Key, Sequence[Row]], rule: Rule, folder: Path) -> list[Path]:
    verdicts = {key: verdict(key, cells, rule) for key in keys_of(data)}
    picture = draw(data, cells, verdicts)
    rows, columns = tried(data, verdicts)
    shown = {key: each for key, each in verdicts.items() if key[1] in columns and key[2] in rows}
    file = folder / f"{data}.png"
    written = [
        write_csv(folder / f"{data}_cells.csv", [part for key in shown for part in summary(key, cells.get(key, ()))]),
        write_csv(folder / f"{data}_verdicts.csv", [_line(key, each) for key, each in shown.items()]),
        write_text(folder / f"{data}.md", *report(data, verdicts, shown)),
    ]
    atomic_write(file, lambda path: picture.savefig(path, dpi=130, metadata={"Software": None}))
    return [*written, file]


def summary(key: Key, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each measure of a cell: mean and standard deviation over seeds, and their number, 0 if there are none.

    Example:
        >>> rows = [{name: "" for name in MEASURES} | {"success": s} for s in ("0.5", "0.75")]
        >>> [list(each.values())[3:] for each in summary(("chest", "warping", "none"), rows)][:2]
        [['success', 0.625, 0.1767766952966369, 2], ['control', None, None, 0]]
    """
    lines = []
    for name in MEASURES:
        known = [value for row in rows if (value := number(row[name])) is not None]
        middle, spread = (mean(known) if known else None), (stdev(known) if len(known) > 1 else None)
        start = dict(zip(("data", "attack", "defense"), key, strict=True))
        lines.append({**start, "measure": name, "mean": middle, "std": spread, "n": len(known)})
    return lines


def _line(key: Key, found: Verdict) -> dict[str, Any]:
    start = dict(zip(("data", "attack", "defense"), key, strict=True))
    return {**start, "verdict": found.word, "hits": found.hits, "judged": found.judged, "runs": found.runs}


def report(data: str, verdicts: Mapping[Key, Verdict], shown: Mapping[Key, Verdict]) -> list[str]:
    """Blocks of Markdown: how much there is of the matrix, each attack and each defense in numbers, what is missing."""
    missing = [key for key, each in verdicts.items() if not each.runs]
    rows, names = tried(data, shown)
    have = f"{len(verdicts) - len(missing)} of {len(verdicts)} cells have runs"
    heading = f"# {data}: every attack against every defense"
    rule = "The rule is in `experiments/matrix/plan.yaml`; few seeds, so counts of seeds and no rates."
    untried = {
        "Attacks without runs": [each.name for each in attacks(data) if each.name not in names],
        "Defenses without runs": [each for each in defenses() if each not in rows],
        "Further cells without runs": _grouped([key for key in missing if key in shown]),
    }
    listed = [f"{what}: {', '.join(each)}." for what, each in untried.items() if each]
    columns = [_of_attack(name, shown) for name in names if name != CONTROL]
    lines = [_of_defense(defense, shown) for defense in rows if defense != NONE]
    tables = [markdown(table) for table in (columns, lines) if table]
    return [heading, f"{have}. {rule}", *tables, *listed]


def _grouped(missing: Sequence[Key]) -> list[str]:
    """By defense, the attacks that it has not met."""
    by_defense: dict[str, list[str]] = {}
    for _, attack, defense in missing:
        by_defense.setdefault(defense, []).append(attack)
    return [f"{defense} ({', '.join(names)})" for defense, names in by_defense.items()]


def _of_attack(attack: str, verdicts: Mapping[Key, Verdict]) -> dict[str, str]:
    own = {key[2]: each for key, each in verdicts.items() if key[1] == attack}
    alone = own[NONE]
    return {
        "attack": attack,
        "without defense": _counted(alone, "succeeds"),
        "stopped by": _named(own, "stopped"),
        "mixed": _named({name: each for name, each in own.items() if name != NONE}, "mixed"),
        "not stopped by": _named(own, "not stopped"),
    }


def _of_defense(defense: str, verdicts: Mapping[Key, Verdict]) -> dict[str, str]:
    own = {key[1]: each for key, each in verdicts.items() if key[2] == defense}
    price = own.pop(CONTROL)
    return {
        "defense": defense,
        "price without attack": _counted(price, "dear"),
        "stops": _named(own, "stopped"),
        "does not stop": _named(own, "not stopped"),
        "too few seeds or no runs": str(sum(each.word in ("too few seeds", "no runs") for each in own.values())),
    }


def _counted(found: Verdict, hit: str) -> str:
    return f"{found.word} ({hit} in {found.hits} of {found.judged})" if found.judged else found.word


def _named(own: Mapping[str, Verdict], word: str) -> str:
    return ", ".join(name for name, each in own.items() if each.word == word) or "-"
