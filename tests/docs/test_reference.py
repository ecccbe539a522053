"""The configuration reference: what it says of a key, and that a key without a comment fails."""

import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT, generate

GENERATE = generate()


def written(folder: Path, **files: str) -> Path:
    """A folder of configuration with these files of the group ``wall``."""
    (folder / "wall/parts").mkdir(parents=True)
    for name, text in files.items():
        (folder / "wall" / f"{name.replace('__', '/')}.yaml").write_text(text)
    return folder


def test_a_key_has_its_default_and_its_comment(tmp_path: Path) -> None:
    conf = written(
        tmp_path,
        brick="# A wall of bricks.\n#   python -m lay wall=brick\n_target_: my.Brick\n"
        "height: 2.5 # meters, above 0\n# of the bricks; null:\n# any\ncolor: [red, gray]\n"
        "mortar: # between them\n  lime: 1 # parts\n  sand: 3\n",
    )
    (brick,) = GENERATE.groups(conf)["wall"]
    assert (brick.about, brick.commands, brick.target) == (
        "A wall of bricks.",
        ("python -m lay wall=brick",),
        "my.Brick",
    )
    assert [(s.key, s.default, s.meaning) for s in brick.settings] == [
        ("wall.height", "2.5", "meters, above 0"),
        ("wall.color", "[red, gray]", "of the bricks; null: any"),
        ("wall.mortar.lime", "1", "parts"),
        ("wall.mortar.sand", "3", "between them"),
    ]


def test_what_an_option_builds_on_is_its_own(tmp_path: Path) -> None:
    conf = written(
        tmp_path,
        parts__joint="# A joint.\nwidth: 1 # mm\n",
        brick="# Bricks.\ndefaults:\n  - parts/joint@joint\n  - /roof: flat # above\n  - door: oak\n  - _self_\n"
        "height: 2 # m\n",
        high="# High.\ndefaults:\n  - brick\n  - _self_\nheight: 9\n",
    )
    found = {option.name: option for option in GENERATE.groups(conf)["wall"]}
    assert {s.key: (s.default, s.meaning) for s in found["high"].settings} == {
        "wall.joint.width": ("1", "mm"),
        "wall.height": ("9", "m"),
    }
    assert found["brick"].choices == {"roof=flat": "above", "wall/door=oak": ""}


def test_a_key_without_a_comment_fails_by_name(tmp_path: Path) -> None:
    conf = written(tmp_path, brick="# Bricks.\nheight: 2 # m\nwidth: 1\n", stone="# Stones.\nsize: {a: 1}\n")
    with pytest.raises(
        ValueError, match=r"needs a comment; .*wall/brick.yaml: wall.width, wall/stone.yaml: wall.size$"
    ):
        GENERATE.groups(conf)


def test_a_key_of_the_commands_without_a_comment_fails(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (tmp_path / "conf/sample.yaml").open("a") as file:
        file.write("typo: 1\n")
    with pytest.raises(ValueError, match=r"there is none on sample.yaml: typo$"):
        GENERATE.commands(tmp_path / "conf")


def test_every_option_and_every_key_of_conf_is_on_a_page() -> None:
    pages = GENERATE.pages()
    for file in (ROOT / "conf").glob("*/*.yaml"):
        page = pages[f"configuration/{file.parent.name}.md"]
        assert f"## {file.stem}\n" in page
    keys = re.findall(r"^\| `(\S+)` \|", "".join(pages.values()), re.MULTILINE)
    assert {"attack.size", "evaluation.every", "fl.malicious", "fl.server_optimizer.lr", "model.ema"} <= set(keys)
    assert {"metrics.frechet.classifier.steps", "defense.feddetect.warmup", "dataset.columns.file"} <= set(keys)


def test_the_table_of_what_is_included_has_each_option_once() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(\S+)` \| \S.*\|$", GENERATE.included(), re.MULTILINE)
    files = [file for file in (ROOT / "conf").glob("*/**/*.yaml") if "parts" not in file.parts]
    assert sorted(rows) == sorted((file.parent.relative_to(ROOT / "conf").as_posix(), file.stem) for file in files)
