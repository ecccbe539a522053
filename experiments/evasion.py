"""What it costs an attacker to hide from generator_audit: images with the trigger against how high it scores.

python -m experiments.evasion OUT --preset chestx_small --seeds 0,1,2 dataset.root=PATH

Each setting is trained twice: with an audit that only looks (acts=false), which changes nothing and scores the attacker
as it would be without defense, and with one that acts. The same command resumes: finished runs stay. OUT gets
evasion.csv, one row per setting and seed, evasion.md, one row per setting, and evasion.png; all have the arms that OUT
has by then of these sizes and seeds. --dry-run trains nothing and says how many runs are left; --tables makes
evasion.md and evasion.png again from OUT's evasion.csv.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

import matplotlib
from hydra import compose, initialize_config_dir
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from omegaconf import ListConfig

from experiments.arms import emission_of, settings_of
from experiments.measures import Row, client_rows, read_rows
from experiments.multirun import train
from experiments.paper.runs import is_finished
from experiments.paper.writing import markdown, write_csv, write_text
from experiments.settings import checked_overrides, checked_seeds, listed
from fedgan.config.refusals import CONF, REFUSALS, Interrupted, explain, options
from fedgan.config.training import check_settings
from fedgan.core.arguments import Numbers, validated
from fedgan.core.checks import check, check_choice
from fedgan.core.files import atomic_write
from fedgan.core.folders import check_own, claim
from fedgan.core.words import counted
from fedgan.reports.figures import INK, RULE, SERIES, STYLE

TABLE, SUMMARY, PICTURE = "evasion.csv", "evasion.md", "evasion.png"
AUDIT = "defense.generator_audit"
LOOKS = f"{AUDIT}.acts=false"
MARKERS = "os^Dv"  # of the trigger's sizes


@dataclass(frozen=True)
class Arm:
    """A way to hide.

    Attributes:
        called: in pictures.
        key: the setting that varies.
        values: of it.
        settings: what its runs have in common.
        divided: whether a value is a number of parts, which a trigger of fewer pixels per side does not have.
    """

    called: str
    key: str
    values: tuple[float, ...]
    settings: tuple[str, ...] = ("attack=white_square",)
    divided: bool = False

    def values_for(self, size: int) -> list[float]:
        """Those that a trigger of this size can have."""
        return [value for value in self.values if not self.divided or value <= size]


TEN = "fl.num_clients=10"  # of which four may be malicious
DIVIDED = ("attack=distributed", "attack.parts=${fl.malicious}", TEN)
ARMS = {
    "share": Arm("poisons a share of its images", "attack.poison_share", (1, 0.5, 0.2, 0.1)),
    "start": Arm("starts late", "attack.start", (5, 10, 15)),
    "spread": Arm("splits the trigger among several", "fl.malicious", (2, 3, 4), DIVIDED, divided=True),
    # The control of spread: each pastes it all.
    "crowd": Arm("several paste all of it", "fl.malicious", (2, 3, 4), ("attack=white_square", TEN)),
    "hide": Arm(
        "penalty on its mean images' change",
        "update_attack.weight",
        (0, 1, 10, 100, 300, 1000),
        ("attack=white_square", "update_attack=audit_evasion"),
    ),
}


@dataclass(frozen=True)
class Cell:
    """A setting and a seed: two runs.

    Attributes:
        arm: its name in ``ARMS``.
        size: of the trigger, pixels per side.
        value: of the setting that varies.
        seed: of both runs.
    """

    arm: str
    size: int
    value: float
    seed: int

    def run(self, out: Path, *, acting: bool) -> Path:
        """The folder of the run in which the audit acts, or of that in which it looks."""
        return folder_of(out, self.arm, self.size, acting=acting) / f"{self.value}-seed_{self.seed}"


def main() -> None:
    """Train what is missing, then write the table and the picture."""
    asked = parsed()
    try:
        if asked.tables:
            return redraw(asked.out)
        arms, sizes, seeds = checked(asked)
        check_choice("--preset", asked.preset, options("experiment"))
        settings = [f"experiment={asked.preset}", "logger=none", "metrics=[emission]", "evaluation.every=1000000"]
        settings += checked_overrides(ListConfig(asked.overrides))
        for arm in arms:
            check_composes([*settings, *settings_of_arm(arm, sizes[0])], max(sizes))
        if asked.dry_run:
            return print(left(asked.out, cells(arms, sizes, seeds)))
        check_own(asked.out, TABLE, "OUT")
        claim(asked.out, (TABLE, SUMMARY, PICTURE), "OUT")
    except REFUSALS as error:
        sys.exit(f"error: {explain(error)}")
    try:
        failed = [train_arm(asked.out, arm, size, seeds, settings) for arm, size in product(arms, sizes)]
    except Interrupted as stop:
        sys.exit(str(stop))
    rows = rows_of(asked.out, cells(list(ARMS), sizes, seeds))
    if rows:
        write(asked.out, rows)
        print(*(asked.out / name for name in (TABLE, SUMMARY, PICTURE)), sep="\n")
    sys.exit(int(any(failed)))


def redraw(out: Path) -> None:
    """evasion.md and evasion.png from the rows that are kept; without training.

    Raises:
        ValueError: in one line, if there are none.
    """
    rows = read_rows(out / TABLE) if (out / TABLE).is_file() else []
    ours = bool(rows) and {"arm", "setting", "size", "seed", "emission", "score"} <= rows[0].keys()
    ours = ours and all(row["arm"] in ARMS for row in rows)
    check(ours, "OUT", f"a folder with {TABLE} as this command writes it", out)
    show(out, rows)
    print(*(out / name for name in (SUMMARY, PICTURE)), sep="\n")


def left(out: Path, wanted: Sequence[Cell]) -> str:
    """Such as ``24 runs, 20 left``."""
    runs = [cell.run(out, acting=acting) for cell in wanted for acting in (False, True)]
    return f"{counted(len(runs), 'run')}, {sum(not is_finished(run) for run in runs)} left"


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(
        "python -m experiments.evasion",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the runs and the results")
    parser.add_argument("overrides", nargs="*", default=[], help="settings of every run: its data, fl.rounds=20")
    parser.add_argument("--preset", default="demo", help="the experiment that the settings are added to")
    parser.add_argument("--arms", default=",".join(ARMS), help="ways to hide, separated by commas")
    parser.add_argument("--sizes", default="2,8", help="of the trigger in pixels, separated by commas")
    parser.add_argument("--seeds", default="0", help="separated by commas")
    parser.add_argument("--dry-run", action="store_true", help="train nothing, say how many runs are left")
    parser.add_argument("--tables", action="store_true", help=f"train nothing, read OUT's {TABLE}")
    return parser.parse_intermixed_args()


def checked(asked: argparse.Namespace) -> tuple[list[str], tuple[int, ...], tuple[int, ...]]:
    """The arms, sizes and seeds.

    Raises:
        ValueError: in one line.
    """
    arms = str(asked.arms).split(",")
    for arm in arms:
        check_choice("each of --arms", arm, ARMS)
    sizes = tuple(validated("--sizes", Numbers, numbers(asked.sizes)))
    check(all(sizes) and len(sizes) <= len(MARKERS), "--sizes", f"1 to {len(MARKERS)} numbers above 0", asked.sizes)
    return arms, sizes, checked_seeds(numbers(asked.seeds))


def check_composes(overrides: Sequence[str], largest: int) -> None:
    """Refuse what no run could begin with, before the first of them.

    Raises:
        ValueError: in one line, as are the errors of Hydra that ``explain`` words.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides))
    check_settings(cfg)
    most = cfg.dataset.image_size - cfg.attack.margin
    check(largest <= most, "--sizes", f"at most {most}, what the images leave next to the margin", largest)


def settings_of_arm(name: str, size: int) -> list[str]:
    """What the runs of an arm have in common."""
    return ["defense=generator_audit", *ARMS[name].settings, f"attack.size={size}"]


def numbers(text: str) -> list[int | str]:
    """What is typed between commas, numbers where they are some.

    Example:
        >>> numbers("0,1,x")
        [0, 1, 'x']
    """
    return [int(part) if part.isdecimal() else part for part in text.split(",")]


def folder_of(out: Path, arm: str, size: int, *, acting: bool) -> Path:
    """Where the runs of an arm and a size are."""
    return out / ("acting" if acting else "looking") / f"{arm}-size_{size}"


def train_arm(out: Path, name: str, size: int, seeds: Sequence[int], settings: Sequence[str]) -> int:
    """Every value with every seed, with an audit that looks and with one that acts; the highest exit code."""
    arm = ARMS[name]
    varying = (listed(arm.key, arm.values_for(size)), listed("seed", seeds))
    common = [*settings, *settings_of_arm(name, size), *varying]
    subdir = f"${{{arm.key}}}-seed_${{seed}}"
    return max(
        train([*common, *([] if acting else [LOOKS])], folder_of(out, name, size, acting=acting), subdir, ())
        for acting in (False, True)
    )


def cells(arms: Sequence[str], sizes: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """All settings with all seeds."""
    pairs = product(arms, sizes)
    return [Cell(arm, size, v, seed) for arm, size in pairs for v in ARMS[arm].values_for(size) for seed in seeds]


def rows_of(out: Path, wanted: Sequence[Cell]) -> list[dict[str, object]]:
    """The table: a row for each of the settings and seeds whose two runs are finished."""
    runs = {cell: (cell.run(out, acting=False), cell.run(out, acting=True)) for cell in wanted}
    finished = {cell: pair for cell, pair in runs.items() if all(map(is_finished, pair))}
    return [row_of(cell, *pair) for cell, pair in finished.items()]


def row_of(cell: Cell, looking: Path, acting: Path) -> dict[str, object]:
    """What two runs came to.

    ``emission`` without defense and ``emission_audited`` with the audit acting, at the end; ``score``: the malicious
    clients' highest in any view and round after the warm-up, where nobody is flagged; ``lowest_score``: that of the
    malicious client with the lowest one; ``honest_score``: the honest clients' highest; ``first_flagged``: the first
    round in which a malicious client is flagged, empty for never; ``honest_flags``: honest clients flagged, summed over
    the rounds.
    """
    warmup = settings_of(acting)["defense"]["generator_audit"]["warmup"]
    receipts = [row for row in read_rows(looking / "receipts.csv") if row["component"] == AUDIT]
    flagged = [row for row in client_rows(acting) if row["flagged"] == "1"]
    malicious = {row["client"]: row["malicious"] == "1" for row in client_rows(looking)}
    scores = {client: highest_score(receipts, client, warmup) for client in malicious}
    guilty = [score for client, score in scores.items() if malicious[client]]
    return {
        "arm": cell.arm,
        "setting": f"{ARMS[cell.arm].key}={cell.value}",
        "size": cell.size,
        "seed": cell.seed,
        "emission": emission_of(looking),
        "emission_audited": emission_of(acting),
        "score": max(guilty),
        "lowest_score": min(guilty),
        "honest_score": max(score for client, score in scores.items() if not malicious[client]),
        "threshold": float(next(row["value"] for row in receipts if row["measure"] == "threshold")),
        "first_flagged": min((int(row["round"]) for row in flagged if row["malicious"] == "1"), default=""),
        "honest_flags": sum(row["malicious"] == "0" for row in flagged),
    }


def highest_score(receipts: Sequence[Row], client: str, warmup: int) -> float:
    """A client's highest score in any view, from round ``warmup`` on.

    Example:
        >>> measured = [("0", "place_score", "9.0"), ("1", "place_score", "2.5"), ("1", "place_row", "30")]
        >>> rows = [{"client": "3", "round": t, "measure": name, "value": value} for t, name, value in measured]
        >>> highest_score(rows, "3", warmup=1)
        2.5
    """
    own = [row for row in receipts if row["client"] == client and int(row["round"]) >= warmup]
    return max((float(row["value"]) for row in own if row["measure"].endswith("_score")), default=0.0)


def summary_of(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """One row per setting: over its seeds the lowest and the highest of each number."""
    settings = [list(same) for _, same in groupby(rows, lambda row: (row["setting"], row["size"], row["arm"]))]
    return [_summarized(same) for same in settings]


def _summarized(rows: Sequence[Mapping[str, object]]) -> dict[str, str]:
    first = rows[0]
    flagged = [int(str(row["first_flagged"])) for row in rows if row["first_flagged"] != ""]
    return {
        "way to hide": str(first["arm"]),
        "setting": f"{first['setting']}, {first['size']} px",
        "images with the trigger, detection only": span(rows, "emission", 3),
        "its score (of several attackers the lowest)": span(rows, "lowest_score", 1),
        "honest clients' highest score": span(rows, "honest_score", 1),
        "threshold": span(rows, "threshold", 1),
        "flagged in": f"{len(flagged)} of {len(rows)}"
        + (f", from round {', '.join(map(str, sorted(flagged)))}" * bool(flagged)),
        "images with the trigger, audit acting": span(rows, "emission_audited", 3),
    }


def span(rows: Sequence[Mapping[str, object]], name: str, digits: int) -> str:
    """The lowest and the highest of a column, rounded; a dash where rows of an older version have none.

    Example:
        >>> span([{"x": 0.25}, {"x": 0.5}, {"x": 0.125}], "x", 2), span([{"x": 1.0}], "x", 1)
        ('0.12 to 0.50', '1.0')
    """
    if any(name not in row for row in rows):
        return "-"
    values = [float(str(row[name])) for row in rows]
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def write(out: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The rows, and what is made of them."""
    write_csv(out / TABLE, rows)
    show(out, rows)


def show(out: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """What is made of the rows: evasion.md and evasion.png."""
    write_text(out / SUMMARY, markdown(summary_of(rows)))
    sheet = picture(rows)
    atomic_write(out / PICTURE, lambda file: sheet.savefig(file, dpi=150, metadata={"Software": None}))


def picture(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Emission against the highest score over the threshold: filled where the audit looks, hollow where it acts."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.subplots()
        colors = dict(zip(dict.fromkeys(str(row["arm"]) for row in rows), SERIES, strict=False))
        shapes = dict(zip(dict.fromkeys(row["size"] for row in rows), MARKERS, strict=False))
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate("threshold", (1.0, 1.0), (4, 0), textcoords="offset points", color=INK, fontsize="small")
        for row in rows:
            _points(axes, row, colors[str(row["arm"])], shapes[row["size"]])
        axes.set(xlabel="attacker's highest score / threshold", ylabel="images with the trigger", ylim=(-0.03, 1.03))
        axes.set_title("what hiding from generator_audit costs")
        _legend(figure, colors, shapes)
    return figure


def _points(axes: Axes, row: Mapping[str, object], color: str, shape: str) -> None:
    x = float(str(row["score"])) / float(str(row["threshold"]))
    free, audited = float(str(row["emission"])), float(str(row["emission_audited"]))
    axes.plot([x, x], [free, audited], color=RULE, linewidth=0.8, zorder=1)
    axes.plot(x, free, shape, color=color, markersize=4)
    axes.plot(x, audited, shape, color=color, markerfacecolor="none", markersize=7)  # around its twin where both agree


def _legend(figure: Figure, colors: Mapping[str, str], shapes: Mapping[object, str]) -> None:
    ways = [(ARMS[arm].called, color) for arm, color in colors.items()]
    handles = [Line2D([], [], color=color, marker="o", linestyle="", label=called) for called, color in ways]
    handles += [Line2D([], [], color=INK, marker=m, linestyle="", label=f"{size} px") for size, m in shapes.items()]
    for label, face in (("the audit only watches", INK), ("the audit acts", "none")):
        handles.append(Line2D([], [], color=INK, marker="o", linestyle="", markerfacecolor=face, label=label))
    figure.legend(handles=handles, loc="outside right upper")


if __name__ == "__main__":
    main()
