"""What generator_audit would have seen of federations that were recorded, without acting on it.

    python -m experiments.audit.scores [--no-equalize] [--views place,spectrum] RUN...

Each RUN has a ``recording`` folder (see ``experiments.audit.recording``). Prints, for each kind of run (the folder
above it), how high honest clients scored at most, in how many runs that was above the threshold, and how high the
attacker scored after some rounds. ``--no-equalize``: with ``defense.generator_audit.equalize=false``; ``--views``: with
these ``views``, which decide the threshold and ``all``.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.audit.recording import read
from fedgan.core.arguments import validated
from fedgan.defenses.audit.generator_audit import GeneratorAudit, Views
from fedgan.defenses.audit.views import VIEWS, Map, arranged, classes, place

SHOWN = (2, 4, 9, 19)  # rounds after which the attacker's score is shown
Scores = NDArray[np.float64]  # (rounds, clients)


class Row(NamedTuple):
    """One recorded federation in one view.

    Attributes:
        honest: the highest score of an honest client in any round after the warm-up.
        threshold: the score above which a client is flagged.
        attacker: the lowest of the malicious clients' scores after each of ``SHOWN``; empty where nobody attacks.
    """

    honest: float
    threshold: float
    attacker: tuple[float, ...]


def by_client(recorded: Mapping[str, NDArray[np.float32]]) -> dict[int, dict[str, Map]]:
    """Each client's maps, by view, from one round of a recording."""
    means, spectra = torch.from_numpy(recorded["mean"]), torch.from_numpy(recorded["spectrum"])
    return {
        int(client): {
            "place": place(mean[:, None]),
            "classes": classes(mean[:, None]),
            "spectrum": arranged(amplitudes.mean(dim=0)),
        }
        for client, mean, amplitudes in zip(recorded["clients"], means, spectra, strict=True)
    }


def scores_of(folder: Path, **settings: Any) -> dict[str, Scores]:
    """Every client's score in each view and round of a recording in which all clients take part.

    Args:
        folder: the recording.
        **settings: of the audit, where they are not its defaults.
    """
    audit, scores = GeneratorAudit(**settings), defaultdict[str, list[list[float]]](list)
    for t, recorded in enumerate(read(folder)):
        audit.decide(by_client(recorded), dict.fromkeys(map(int, recorded["clients"]), 1.0), t)
        for view in audit.views:
            scores[view].append([audit.score(view, client) for client in sorted(audit.found[view])])
    return {view: np.array(each) for view, each in scores.items()}


def rows_of(run: Path, **settings: Any) -> dict[str, Row]:
    """A recorded federation, by view, and by the highest score in any view (``all``)."""
    malicious = json.loads((run / "run.json").read_text())["malicious"]
    by_view, rows = scores_of(run / "recording", **settings), {}
    highest = np.max(list(by_view.values()), axis=0)
    threshold = GeneratorAudit(**settings).threshold_for(len(highest))
    for view, scores in [*by_view.items(), ("all", highest)]:
        honest = np.delete(scores, malicious, axis=1).max()
        shown = [t for t in SHOWN if t < len(scores)] if malicious else []
        rows[view] = Row(float(honest), threshold, tuple(float(scores[t, malicious].min()) for t in shown))
    return rows


def table(runs: Sequence[Path], **settings: Any) -> str:
    """By kind of run and view: how many, honest clients' highest scores, the attacker's lowest ones."""
    kinds = defaultdict[tuple[str, str], list[Row]](list)
    for run in runs:
        for view, row in rows_of(run, **settings).items():
            kinds[str(run.parent), view].append(row)
    lines = ["| runs | view | n | honest, highest three | runs with one above the threshold | "]
    lines[0] += "attacker, lowest after " + ", ".join(map(str, SHOWN)) + " |"
    lines.append("|---|---|---|---|---|---|")
    for (kind, view), rows in sorted(kinds.items()):
        honest = ", ".join(f"{each:.1f}" for each in sorted((row.honest for row in rows), reverse=True)[:3])
        above = sum(row.honest > row.threshold for row in rows)
        attacked = [row.attacker for row in rows if row.attacker]
        attacker = ", ".join(f"{min(each):.1f}" for each in zip(*attacked, strict=False)) or "-"
        lines.append(f"| {kind} | {view} | {len(rows)} | {honest} | {above} | {attacker} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table of the folders that are typed."""
    form = argparse.ArgumentParser("experiments.audit.scores", description=__doc__)
    form.formatter_class = argparse.RawDescriptionHelpFormatter
    form.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a run's folder with recording/ in it")
    form.add_argument("--equalize", action=argparse.BooleanOptionalAction, default=True, help="as in the defense")
    form.add_argument("--views", default=",".join(VIEWS), help="likewise, separated by commas")
    typed = form.parse_args()
    missing = [str(run) for run in typed.runs if not (run / "recording").is_dir()]
    if missing or not typed.runs:
        sys.exit(f"error: RUN must be a run's folder with recording/ in it; got {missing or 'none'}")
    try:
        print(table(typed.runs, equalize=typed.equalize, views=validated("--views", Views, typed.views.split(","))))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
