"""Does the attack ruin image quality? Each pair of runs with one seed, vanilla and attacked, evaluation by evaluation.

python -m experiments.arms preset=paper_chestx arms=[vanilla,attack] seeds=[501,502,503] ... hydra.run.dir=FOLDER
python -m experiments.quality [FOLDER ...] [--results FOLDER]

Rows of the folders' finished runs are added to evaluations.csv in the folder of results; then the verdicts
(quality.md) and the curves (quality.png, quality.pdf) are made from all rows there.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.measures import kept_rows, read_rows
from experiments.paper.runs import is_finished
from experiments.paper.writing import markdown, write_csv, write_text
from fedgan import load
from fedgan.core.checks import check
from fedgan.core.folders import claim
from fedgan.reports.writing import write_picture

RESULTS = Path(__file__).parent / "results/quality"
FILE, TABLE, CURVES = "evaluations.csv", "quality.md", "quality"
ARMS = {"vanilla": "#1f77b4", "attack": "#d62728"}  # and the color of their curves
METRICS = {  # and how the curves' panels call them
    "frechet_classifier": "Frechet distance",
    "diversity": "diversity",
    "emission": "images with the trigger",
}
OF_RUNS = ("emission", "frechet", "diversity")  # the runs' metrics
LAST = 4  # evaluations: of their Frechet distances a run's is the median
# Of the claims in the log, section 48: what ruined images are, collapsed ones, and images with the trigger.
RUINED, COLLAPSED, PAINTED = 1.25, 0.3, 0.5
RULE = (
    f"Frechet distance: the median of a run's last {LAST} evaluations (lower is better); "
    f"ruined: more than {RUINED} times vanilla's. "
    "Diversity (of real images: 1) and images with the trigger: of the last evaluation; "
    f"collapsed: a diversity of at most {COLLAPSED}; painted: more than {PAINTED} of the images."
)
Row = Mapping[str, Any]


def main() -> None:
    """What is typed; see the module."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m experiments.quality", description=__doc__, formatter_class=layout)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="that experiments.arms has left")
    parser.add_argument("--results", type=Path, metavar="FOLDER", default=RESULTS, help="results/quality/")
    typed = parser.parse_args()
    try:
        print(*carry_out(typed.folders, typed.results), sep="\n")
    except ValueError as error:
        sys.exit(f"error: {error}")


def carry_out(folders: Sequence[Path], results: Path) -> list[Path]:
    """Add the rows of these folders' runs, then write everything; the files.

    Raises:
        ValueError: in one line, if a folder has no finished run of an arm, or there is no pair of runs.
    """
    rows: dict[tuple[str, int, int], Row] = {_key(row): row for row in kept_rows(results / FILE)}
    for folder in folders:
        found = list(evaluations(folder))
        check(bool(found), str(folder), f"a folder with finished runs {' or '.join(ARMS)}-seed_<seed>", "none")
        anew = {_key(row)[:2] for row in found}
        rows = {key: row for key, row in rows.items() if key[:2] not in anew} | {_key(row): row for row in found}
    ordered = [rows[key] for key in sorted(rows)]
    pairs = verdicts(ordered)
    check(bool(pairs), "FOLDER", f"folders with {' and '.join(ARMS)} of one seed", [str(each) for each in folders])
    claim(results, [FILE, TABLE, f"{CURVES}.png", f"{CURVES}.pdf"], "--results")
    text = write_text(results / TABLE, "# Does the attack ruin image quality?", markdown(pairs), RULE)
    return [write_csv(results / FILE, ordered), text, *write_picture(draw(ordered), results / CURVES)]


def evaluations(folder: Path) -> Iterator[Row]:
    """A row for each evaluation of each finished run in a folder; diversity as a share of that of real images.

    Raises:
        ValueError: in one line, if a run lacks one of the metrics.
    """
    for run in sorted(folder.glob("*-seed_*")):
        arm, _, seed = run.name.partition("-seed_")
        if arm not in ARMS or not seed.isdecimal() or not is_finished(run):
            continue
        facts = load(run).summary["facts"].get("diversity", {})
        check(bool(facts), str(run), f"a run with metrics=[{','.join(OF_RUNS)}]", "no diversity")
        real = mean(value for name, value in facts.items() if name.startswith("diversity_real/"))
        for row in read_rows(run / "rounds.csv"):
            if row.get("frechet_classifier"):
                missing = [name for name in METRICS if not row.get(name)]
                check(not missing, str(run), f"a run with metrics=[{','.join(OF_RUNS)}]", f"no {' and '.join(missing)}")
                values = {name: float(row[name]) for name in METRICS}
                values["diversity"] /= real
                yield {"arm": arm, "seed": int(seed), "round": int(row["round"]), **values}


def verdicts(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One line for each seed with both runs, to read."""
    runs, lines = by_run(rows), []
    for seed in sorted({seed for _, seed in runs}):
        vanilla, attacked = runs.get(("vanilla", seed)), runs.get(("attack", seed))
        if vanilla is None or attacked is None:
            continue
        ratio = distance(attacked) / distance(vanilla)
        diversity, painted = float(vanilla[-1]["diversity"]), float(attacked[-1]["emission"])
        lines.append(
            {
                "seed": str(seed),
                "rounds": str(int(vanilla[-1]["round"]) + 1),
                "vanilla's Frechet distance": f"{distance(vanilla):.1f}",
                "attacked": f"{distance(attacked):.1f}",
                "ratio": f"{ratio:.2f}, {'ruined' if ratio > RUINED else 'not ruined'}",
                "vanilla's diversity": f"{diversity:.2f}{', collapsed' if diversity <= COLLAPSED else ''}",
                "attacked's diversity": f"{float(attacked[-1]['diversity']):.2f}",
                "images with the trigger": f"{painted:.3f}, {'painted' if painted > PAINTED else 'not painted'}",
            }
        )
    return lines


def _key(row: Row) -> tuple[str, int, int]:
    return row["arm"], int(row["seed"]), int(row["round"])


def by_run(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of each run, by arm and seed: vanilla first, in the order of ``ARMS``."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: list(ARMS).index(row["arm"])):
        found.setdefault((row["arm"], int(row["seed"])), []).append(row)
    return found


def distance(rows: Sequence[Row]) -> float:
    """A run's Frechet distance: the median of its last evaluations.

    Example:
        >>> distance([{"frechet_classifier": value} for value in (900, 80, 60, 70, 100)])
        75.0
    """
    return float(median(float(row["frechet_classifier"]) for row in rows[-LAST:]))


def draw(rows: Sequence[Row]) -> Figure:
    """A panel for each metric, a curve for each run; distances on a logarithmic axis."""
    runs = by_run(rows)
    figure = Figure(figsize=(4.2 * len(METRICS), 3.6), layout="constrained")
    for axis, (metric, title) in zip(figure.subplots(1, len(METRICS)), METRICS.items(), strict=True):
        for (arm, _), own in runs.items():
            rounds, values = [int(row["round"]) for row in own], [float(row[metric]) for row in own]
            axis.plot(rounds, values, color=ARMS[arm], linewidth=1.2)
        axis.set(xlabel="round", title=title)
        axis.spines[["top", "right"]].set_visible(False)
        if metric == "frechet_classifier":
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
    keys = [Line2D([], [], color=color, label=f"{arm}, one line per seed") for arm, color in ARMS.items()]
    figure.axes[0].legend(handles=keys, frameon=False)
    return figure


if __name__ == "__main__":
    main()
