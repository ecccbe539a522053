"""Who may import whom, read from the imports: a folder uses only those below it."""

import ast
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "fedgan"
LEVELS = [  # from top to bottom; folders of one level do not meet
    {"__main__"},
    {"train", "evaluate", "sample", "utility", "calibrate", "compare", "report"},
    {"flower"},  # carries a whole run, as config builds it, to sites: a command for another door
    {"config"},
    {"reports"},
    {"downstream"},
    {"runs"},
    {"scoring"},
    {"federated"},
    {"defenses"},
    {"gan"},
    {"attacks", "update_attacks", "partitions", "models", "datasets", "metrics"},
    {"core"},
]
LEVEL = {folder: height for height, level in enumerate(LEVELS) for folder in level}
ONLY_IN_CONFIG = {"hydra", "omegaconf", "wandb"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(file: Path) -> set[str]:
    """Every dotted name that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path) -> None:
    own = file.relative_to(PACKAGE).with_suffix("").parts[0]
    used = {name.split(".")[1] for name in imports(file) if name.startswith("fedgan.")} - {own, "__version__"}
    for folder in used if own != "__init__" else ():
        assert LEVEL[folder] > LEVEL[own], f"{own} may not import {folder}"
    libraries = {name.split(".")[0] for name in imports(file)}
    assert LEVEL.get(own, 0) <= LEVEL["config"] or not libraries & ONLY_IN_CONFIG
    assert "wandb" not in libraries, "wandb is a config target only"


def test_the_walk_sees_the_house() -> None:
    assert LEVEL.keys() == {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__", "py"}  # py.typed


def test_one_border_crossing_is_caught(tmp_path: Path) -> None:
    crossing = tmp_path / "attack.py"
    crossing.write_text("def f():\n    from fedgan.defenses.base import Defense\n")
    assert imports(crossing) == {"fedgan.defenses.base.Defense"}


def test_tests_import_helpers_and_no_other_test() -> None:
    own = {name: file for file in TESTS.rglob("*.py") for name in imports(file) if name.split(".")[0] == "tests"}
    assert "tests.helpers.federation.TINY" in own
    assert not {name: file for name, file in own.items() if not name.startswith("tests.helpers.")}


def circle(uses: Mapping[str, Collection[str]]) -> list[str]:
    """Modules that import each other in a circle; none if there is no circle."""
    try:
        list(TopologicalSorter(uses).static_order())
    except CycleError as found:
        return list(found.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside functions."""
    modules = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    uses = {}
    for name, file in modules.items():
        used = imports(file)
        uses[name] = modules.keys() & (used | {each.rpartition(".")[0] for each in used})
    assert "fedgan.config.resume" in uses["fedgan.config.typed.adapted"], "an import inside a function"
    assert circle(uses) == []


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})) == {"a", "b", "c"}


def test_folders_stay_small() -> None:
    """A newcomer sees a folder at a glance: at most 9 modules at the top, 18 in any other."""
    folders = {folder: len(list(folder.glob("*.py"))) for folder in (PACKAGE, *PACKAGE.rglob("*/")) if folder.is_dir()}
    assert folders.pop(PACKAGE) <= 9
    assert max(folders.values()) <= 18
