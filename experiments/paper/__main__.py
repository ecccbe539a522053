"""Tables and figures of the paper, made again, by name.

python -m experiments.paper table2 figure4 scale=small chestx=PATH
"""

import os
import sys

from omegaconf import DictConfig

from experiments.paper import NAMES
from fedgan.config.command import command
from fedgan.core.checks import check, check_choice

ALL = "all"
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)  # joblib gives each worker its share of the cores by whichever is not set


@command("paper")
def make(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled name do not wait."""
    names = list(cfg.names)
    check(bool(names), "a name", f"typed ahead of the settings: {ALL}, {', '.join(NAMES)}", None)
    for name in names:
        check_choice("a name", name, (ALL, *NAMES))

    from experiments.paper import making
    from experiments.paper.plan import Plan

    plan = Plan(cfg)
    os.environ.update(dict.fromkeys(THREADS, str(plan.threads)))  # of the processes that are started from here
    carry_out = making.preview if plan.dry_run else making.make
    carry_out(NAMES if ALL in names else names, plan)


def main() -> None:
    """Take the names that come first for ``names=[...]``."""
    arguments = sys.argv[1:]
    first = next((i for i, each in enumerate(arguments) if "=" in each or each.startswith("-")), len(arguments))
    if first:
        sys.argv[1 : first + 1] = [f"names=[{','.join(arguments[:first])}]"]
    make()


if __name__ == "__main__":
    main()
