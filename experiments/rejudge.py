"""The verdicts once more, from the values by seed that a folder of results holds: no run is needed.

python -m experiments.rejudge experiments/results/small

The claims and the rule are those of now, not of when the results were written. Where the name of an arm means something
else by now, the folder's renamed.yaml says so (name in its files: name in the claims).
"""

import sys
from importlib import import_module
from pathlib import Path

import yaml

from experiments.reproduction.artifact import Artifact
from experiments.reproduction.claims import Values
from experiments.reproduction.command import NAMES
from experiments.reproduction.plan import stand_ins
from experiments.reproduction.verdicts import RULE, Verdict
from experiments.reproduction.writing import judged
from fedgan.core.checks import check

RENAMED = "renamed.yaml"


def main() -> None:
    """Print the verdicts of every table and figure in the folder, as Markdown."""
    arguments = sys.argv[1:]
    try:
        check(len(arguments) == 1 and Path(arguments[0]).is_dir(), "the argument", "a folder of results", arguments)
    except ValueError as error:
        sys.exit(f"error: {error}")
    for name, verdicts in rejudged(Path(arguments[0])).items():
        blocks = judged(verdicts) if verdicts else [f"{name}.csv has no values by seed: nothing can be judged."]
        print(f"# {name}", *blocks, sep="\n\n", end="\n\n")
    print(RULE)


def rejudged(folder: Path) -> dict[str, list[Verdict]]:
    """By table and figure, a verdict for each claim; none where the file has no values by seed."""
    names = [name for name in NAMES if (folder / f"{name}.csv").is_file()]
    return {name: rejudge(import_module(f"experiments.{name}").ARTEFACT, folder) for name in names}


def rejudge(artifact: Artifact, folder: Path) -> list[Verdict]:
    """The verdicts on one table or figure."""
    file = folder / RENAMED
    values = renamed(
        artifact.kept(folder / f"{artifact.name}.csv"), yaml.safe_load(file.read_text()) if file.is_file() else {}
    )
    there = {figure.partition("/")[0] for of_arm in values.values() for figure in of_arm}
    instead = {wanted: other for wanted, other in stand_ins().items() if wanted not in there}
    return artifact.verdicts(values, instead) if values else []


def renamed(values: Values, names: dict[str, str]) -> Values:
    """The values under the arms' names of now.

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
