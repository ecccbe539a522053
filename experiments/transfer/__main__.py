"""Does the trigger reach classifiers that are trained on the synthetic images? Train, score, tables and a picture.

    python -m experiments.transfer train RUNS --root IMAGES [--only 'chest/size*'] [--seeds 301-303] [OVERRIDE ...]
    python -m experiments.transfer score RUNS
    python -m experiments.transfer tables

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go, a minute or two of one core each. train
resumes where it was stopped; OVERRIDE is for all of them (hydra/launcher=joblib). tables needs what score left in
results/transfer/.
"""

import argparse
from collections.abc import Sequence

from experiments.measures import read_rows
from experiments.paper.writing import write_csv
from experiments.transfer import scoring, tables
from experiments.transfer.plan import settings
from experiments.typed import carry_out_typed, study_form, train_typed
from fedgan.core.checks import check


def main() -> None:
    """What is typed; see the module."""
    carry_out_typed(study_form("experiments.transfer", __doc__), carried_out)


def carried_out(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Do it; the exit code.

    Raises:
        ValueError: in one line, if there is nothing to train, to score or to put into tables.
    """
    file = scoring.RESULTS / scoring.FILE
    match typed.command:
        case "train":
            return train_typed(typed, settings, overrides)
        case "score":
            every = settings("")
            scoring.look_at_controls(every, typed.runs)
            rows = list(scoring.rows_of(every, typed.runs))
            check(bool(rows), "RUNS", "a folder with finished federations, DATA/SETTING/sN, in it", str(typed.runs))
            print(f"{len(rows)} federations in {write_csv(file, rows)}")
        case "tables":
            check(file.is_file(), str(file), "there: python -m experiments.transfer score RUNS", "no such file")
            print(*tables.write(list(read_rows(file)), scoring.RESULTS), sep="\n")
    return 0


if __name__ == "__main__":
    main()
