"""Who may import whom, held by reading the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fedgan"
COMMANDS = {"train", "sample", "evaluate", "report", "utility"}
CONFIGURED = COMMANDS | {"cli", "refusals", "choices", "build", "resume"}  # where the configuration is known
PLAIN = {
    *("checks", "classification", "client", "data", "datasets", "environment", "files", "interruption", "losses"),
    *("metrics", "models", "recipe", "rng", "trigger", "update"),
}


def imports(file: Path) -> set[str]:
    """Every dotted name that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
    return names


def parts(file: Path) -> tuple[str, set[str]]:
    """A file's own part of the house, and the parts of the house that it imports."""
    own = file.relative_to(PACKAGE).with_suffix("").parts[0]
    return own, {name.split(".")[1] for name in imports(file) if name.startswith("fedgan.")} - {own}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_borders(file: Path) -> None:
    own, used = parts(file)
    if own in PLAIN:
        assert used <= PLAIN, f"{own} knows nothing of attacks, defences and the federation"
    if own == "attacks":
        assert used <= PLAIN - {"client", "metrics", "models", "datasets"}
    if own == "defenses":
        assert used <= PLAIN - {"client", "metrics", "models", "datasets", "trigger"}
    if own not in COMMANDS:
        assert not used & COMMANDS, "nothing imports a command"
    if own not in CONFIGURED:
        assert not {name.split(".")[0] for name in imports(file)} & {"hydra", "omegaconf"}
    assert "wandb" not in {name.split(".")[0] for name in imports(file)}, "wandb is a config target only"


def test_the_walk_sees_the_house() -> None:
    assert {"attacks", "defenses", "federation", "server", "client", "train"} <= {parts(file)[0] for file in FILES}


def test_one_border_crossing_is_caught(tmp_path: Path) -> None:
    crossing = tmp_path / "attack.py"
    crossing.write_text("def f():\n    from fedgan.defenses.base import Defense\n")
    assert imports(crossing) == {"fedgan.defenses.base"}
