"""What is installed: fedgan and its conf/, and no top-level name that others may have."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_has_fedgan_alone() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["packages"] == ["fedgan"]
    assert targets["wheel"]["force-include"] == {"conf": "fedgan/conf"}
    assert "exclude" not in targets.get("sdist", {}), "the experiments are in the sdist"


def test_fedgan_needs_nothing_of_the_experiments() -> None:
    modules = {
        name
        for file in (ROOT / "fedgan").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "fedgan.core.checks" in modules
    assert not [name for name in modules if name.split(".")[0] in ("experiments", "tests")]
