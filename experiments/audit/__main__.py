"""Train the federations of the study, say what each detector makes of them, and put it into tables.

    python -m experiments.audit train RUNS --root IMAGES [--only 'chest/*'] [--seeds 100-119] [--missing] [--dry-run] \\
        [OVERRIDE ...]
    python -m experiments.audit score RUNS [--results FOLDER]
    python -m experiments.audit tables [--results FOLDER]

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go: 830 of them, a minute or two of one core
and 5 MB each. train resumes where it was stopped; --missing leaves out what was scored before, --dry-run prints what is
left and its hours; OVERRIDE is for all of them (hydra/launcher=joblib). score needs what is recorded alone; tables
needs what score left in results/audit/, where runs of the plan alone are counted; --results FOLDER is for others
(fl.rounds=2).
"""

import argparse
from collections.abc import Sequence

from experiments.audit import counting, tables
from experiments.audit.plan import settings
from experiments.federations import check_runs
from experiments.measures import kept_rows
from experiments.typed import are_kept, carry_out_typed, study_form, train_typed
from fedgan.core.checks import check


def main() -> None:
    """What is typed; see the module."""
    carry_out_typed(study_form("experiments.audit", __doc__, counting.RESULTS / counting.FILE), carried_out)


def carried_out(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Do it; the exit code.

    Raises:
        ValueError: in one line, if there is nothing to train, to score or to put into tables, or a run is another one.
    """
    match typed.command:
        case "train":
            return train_typed(typed, settings, overrides)
        case "score":
            found = counting.finished(typed.runs)
            if are_kept(typed.results, counting.RESULTS):
                every = settings("")
                check_runs(typed.runs, every)
                planned = {typed.runs / each.folder / f"s{seed}" for each in every for seed in each.seeds}
                found = [run for run in found if run in planned]
            check(bool(found), "RUNS", "a folder with finished federations, DATA/SETTING/sN, in it", str(typed.runs))
            file = typed.results / counting.FILE
            print(f"{counting.count(found, file)} federations in {file}")
        case "tables":
            file = typed.results / counting.FILE
            rows = kept_rows(file)
            check(bool(rows), str(file), "there: python -m experiments.audit score RUNS", "no such file")
            print(*tables.write(rows, typed.results), sep="\n")
    return 0


if __name__ == "__main__":
    main()
