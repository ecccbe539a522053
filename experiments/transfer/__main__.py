"""Does the trigger reach classifiers that are trained on the synthetic images? Train, score, tables and a picture.

    python -m experiments.transfer train RUNS --root IMAGES [--only 'chest/size*'] [--seeds 301-303] [--missing] \\
        [--dry-run] [OVERRIDE ...]
    python -m experiments.transfer score RUNS [--results FOLDER]
    python -m experiments.transfer tables [--results FOLDER]

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go, a minute or two of one core each. train
resumes where it was stopped; --missing leaves out what was scored before, --dry-run prints what is left and its hours;
OVERRIDE is for all of them (hydra/launcher=joblib). score adds the runs that are there to those that were scored
before; tables needs what it left in results/transfer/, where runs of the plan alone are counted; --results FOLDER is
for others (fl.rounds=2).
"""

import argparse
from collections.abc import Sequence

from experiments.federations import check_runs
from experiments.measures import kept_rows
from experiments.transfer import scoring, tables
from experiments.transfer.plan import settings
from experiments.typed import are_kept, carry_out_typed, study_form, train_typed
from fedgan.core.checks import check


def main() -> None:
    """What is typed; see the module."""
    carry_out_typed(study_form("experiments.transfer", __doc__, scoring.RESULTS / scoring.FILE), carried_out)


def carried_out(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Do it; the exit code.

    Raises:
        ValueError: in one line, if there is nothing to train, to score or to put into tables, or a run is another one.
    """
    match typed.command:
        case "train":
            return train_typed(typed, settings, overrides)
        case "score":
            every = settings("")
            if are_kept(typed.results, scoring.RESULTS):
                check_runs(typed.runs, every)
            scoring.look_at_controls(every, typed.runs)
            file = typed.results / scoring.FILE
            print(f"{scoring.count(every, typed.runs, file)} federations in {file}")
        case "tables":
            file = typed.results / scoring.FILE
            rows = kept_rows(file)
            check(bool(rows), str(file), "there: python -m experiments.transfer score RUNS", "no such file")
            print(*tables.write(rows, typed.results), sep="\n")
    return 0


if __name__ == "__main__":
    main()
