"""The verdicts once more, from the values by seed in a folder of results: no run is needed.

python -m experiments.rejudge experiments/results/small_drawn

The claims and the rule are today's, not those of when the results were written. Where the name of an arm has changed
its meaning, the folder's renamed.yaml says so (name in its files: name in the claims).
"""

import argparse
import sys
from pathlib import Path

import yaml

from experiments.paper import NAMES
from experiments.paper.artifact import Artifact
from experiments.paper.artifacts import ARTIFACTS
from experiments.paper.claims import Values
from experiments.paper.plan import stand_ins
from experiments.paper.verdicts import RULE, Verdict
from experiments.paper.writing import judged
from fedgan.core.checks import check

RENAMED = "renamed.yaml"


def main() -> None:
    """Print the verdicts of every table and figure in the folder, as Markdown."""
    parser = argparse.ArgumentParser("python -m experiments.rejudge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="*", help="of results: table1.csv to figure7.csv, or some of them")
    arguments = parser.parse_args().folder
    try:
        check(len(arguments) == 1 and Path(arguments[0]).is_dir(), "the argument", "a folder of results", arguments)
        found = rejudged(Path(arguments[0]))
        check(bool(found), "the argument", f"a folder of results, with {NAMES[0]}.csv or another's in it", arguments[0])
    except ValueError as error:
        sys.exit(f"error: {error}")
    for name, verdicts in found.items():
        blocks = judged(verdicts) if verdicts else [f"{name}.csv has no values by seed: nothing can be judged."]
        print(f"# {name}", *blocks, sep="\n\n", end="\n\n")
    print(RULE)


def rejudged(folder: Path) -> dict[str, list[Verdict]]:
    """By table and figure, a verdict for each claim; none where the file has no values by seed."""
    names = [name for name in NAMES if (folder / f"{name}.csv").is_file()]
    return {name: rejudge(ARTIFACTS[name], folder) for name in names}


def rejudge(artifact: Artifact, folder: Path) -> list[Verdict]:
    """The verdicts on one table or figure."""
    file = folder / RENAMED
    values = renamed(
        artifact.kept(folder / f"{artifact.name}.csv"), yaml.safe_load(file.read_text()) if file.is_file() else {}
    )
    there = {metric.partition("/")[0] for of_arm in values.values() for metric in of_arm}
    instead = {wanted: other for wanted, other in stand_ins().items() if wanted not in there}
    return artifact.verdicts(values, instead) if values else []


def renamed(values: Values, names: dict[str, str]) -> Values:
    """The values under the arms' current names.

    Example:
        >>> renamed({"FedDetect 16": {}, "FedDetect, no attack": {}, "vanilla": {}}, {"FedDetect": "mine"})
        {'mine 16': {}, 'mine, no attack': {}, 'vanilla': {}}
    """
    found = {}
    for arm, of_arm in values.items():
        old = next((name for name in names if arm.startswith((f"{name} ", f"{name},"))), "")
        found[names.get(old, "") + arm.removeprefix(old)] = of_arm
    return found


if __name__ == "__main__":
    main()
