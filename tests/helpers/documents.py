"""What README and the pages of docs/ show: their sections, their shell commands, their errors."""

import re
import shlex
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?^( *)```(sh|console)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of fedgan or its experiments, as a page shows it.

    Attributes:
        page: the file's name.
        module: such as ``fedgan.train``.
        arguments: behind it, without the shell's quotes.
        runs: False where the page marks it: ``<!-- not run: a cluster -->`` above its block.
        answer: the line below it in a ``console`` block; empty in others.
    """

    page: str
    module: str
    arguments: tuple[str, ...]
    runs: bool
    answer: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.module} {' '.join(self.arguments)}"


def commands(name: str, text: str) -> list[Command]:
    """The commands of a page's ``sh`` and ``console`` blocks, in order; of one that is made from conf/ none is run."""
    found, generated = [], name.startswith("configuration/")
    for mark, _, kind, block in BLOCK.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        typed = lines if kind == "sh" else [line.removeprefix("$ ") for line in lines[::2]]
        answers = [""] * len(lines) if kind == "sh" else lines[1::2]
        for line, answer in zip(typed, answers, strict=True):
            words = shlex.split(line, comments=True)
            if "-m" in words and words[words.index("-m") - 1].startswith("python"):
                module, *arguments = words[words.index("-m") + 1 :]
                found.append(Command(name, module, tuple(arguments), not mark and not generated, answer))
            elif words[:1] == ["fedgan"]:
                found.append(Command(name, f"fedgan.{words[1]}", tuple(words[2:]), not mark and not generated, answer))
    return found


def other_lines(page: Path) -> list[str]:
    """The lines of a page's ``sh`` blocks that are no command of Python."""
    blocks = [block.replace("\\\n", " ") for _, _, kind, block in BLOCK.findall(page.read_text()) if kind == "sh"]
    lines = [" ".join(shlex.split(line, comments=True)) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and "python" not in line and not line.startswith("fedgan ")]


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of level 2 or 3, by the heading."""
    parts = re.split(r"^###? +(.+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named(text: str) -> set[str]:
    """What a text names in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def generate() -> ModuleType:
    """docs/generate.py."""
    spec = util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
