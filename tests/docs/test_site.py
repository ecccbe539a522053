"""The site builds without a warning, asks no other server for anything, and fails on what is broken."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT

SOURCES = ("mkdocs.yml", "docs", "conf", "fedgan", "CONTRIBUTING.md", "SECURITY.md")


def built(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **quiet}, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made from, to be damaged."""
    (tmp_path / "copy").mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / "copy" / name)
    return tmp_path / "copy"


def test_it_builds_and_asks_no_other_server(tmp_path: Path) -> None:
    done = built(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = {file.relative_to(tmp_path / "site").as_posix(): file.read_text() for file in tmp_path.rglob("*.html")}
    assert {"index.html", "faq.html", "configuration/attack.html", "security.html", "extending.html"} <= set(pages)
    assert "mutation.html" in pages
    assert "decisions.html" in pages
    for name, text in pages.items():
        asked = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\s\"]+)", text)
        asked += re.findall(r"<link[^>]+href=\"?(https?:[^\s\"]+)", text)
        assert not asked, name
    for name in (
        "fedgan.load",
        "fedgan.reports.run.Run",
        "fedgan.core.round.Round",
        "fedgan.defenses.base.Defense.filter",
    ):
        assert f'id="{name}"' in pages["api.html"], name
    assert "attack.poison_share" in pages["configuration/attack.html"]


def append(file: str, text: str) -> Callable[[Path], None]:
    def damage(copy: Path) -> None:
        with (copy / file).open("a") as stream:
            stream.write(text)

    return damage


BUILDS = (
    {  # after which the build continues, so that one build names them all
        "a broken link": (append("docs/faq.md", "\n[gone](gone.md)\n"), "gone.md"),
        "a broken anchor": (append("docs/faq.md", "\n[gone](data.md#nowhere)\n"), "#nowhere"),
        "a page that is in no menu": (append("docs/stray.md", "# Stray\n"), "stray.md"),
        "a page that is missing": (lambda copy: (copy / "docs/security.md").unlink(), "security.md"),
    },
    {"a setting without a comment": (append("conf/attack/white_square.yaml", "typo: 1\n"), "attack.typo")},
    {"a class that is gone": (append("docs/api.md", "\n::: fedgan.core.round.Gone\n"), "Gone")},
)


@pytest.mark.parametrize("damages", BUILDS, ids=", ".join)
def test_it_fails_on(damages: dict[str, tuple[Callable[[Path], None], str]], copy: Path, tmp_path: Path) -> None:
    for damage, _ in damages.values():
        damage(copy)
    done = built(copy, tmp_path / "site")
    assert done.returncode != 0
    for what, (_, word) in damages.items():
        assert word in done.stderr + done.stdout, what
