"""conf/ as people read it: each key with its default and the comment on it, each option with what it is.

Nothing in conf/ is built: keys, values and comments are read as text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from yaml import MappingNode, Node, ScalarNode

from fedgan.config.refusals import CONF

PLUMBING = ("_target_", "_partial_", "_convert_", "_recursive_")  # what Hydra builds, and how: no settings
HYDRAS = ("defaults", "hydra")  # at a file's top
SETS = ("experiment", "arm", "hparams_search")  # groups whose options only set what other files explain
PARTS = "parts"  # folders of what several options share; no groups
LONGEST = 60  # characters of a default in a table
LABELS = ("Source:", "Found by:", "Tolerates", "Warning:", "Control:")  # a line at a file's top with one is a part


@dataclass(frozen=True)
class Setting:
    """A key of conf/.

    Attributes:
        key: as it is typed on the command line.
        default: its value as the file has it; empty if that is too long for a table.
        meaning: the comment; empty without one.
    """

    key: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Option:
    """A file of conf/.

    Attributes:
        name: of the file.
        about: what it is, from the comment at its top.
        commands: that this comment shows.
        target: the class that is built from it; empty where there is none.
        choices: what it chooses in groups, such as ``dataset=chestx``, with the comment on each.
        settings: of its own and of the files that it builds on.
        parts: of ``about``, by what their first lines begin with (``LABELS``), without that; the first one by "".
    """

    name: str
    about: str
    commands: tuple[str, ...]
    target: str
    choices: Mapping[str, str]
    settings: tuple[Setting, ...]
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first sentence of ``about``."""
        return re.split(r"(?<=\.)\s+(?=[A-Z])", self.about)[0]


def read_file(file: Path, conf: Path = CONF, place: str | None = None) -> Option:
    """A file with what it builds on (``defaults``).

    Args:
        file: below ``conf``.
        conf: the folder of the configuration.
        place: in front of its keys; None: where the file says, or where its folder is.
    """
    text = file.read_text()
    said, shown, package = _header(text)
    root = _compose(text)
    group = file.parent.relative_to(conf).as_posix()
    if place is None:
        place = package if package is not None else "" if group == "." else group.replace("/", ".")
    own = {setting.key: setting for setting in _settings(root, text.splitlines(), f"{place}." if place else "")}
    choices, found, merged_own = dict[str, str](), dict[str, Setting](), False
    for key, value, comment in _defaults(root, text.splitlines()):
        if value == "_self_":
            found, merged_own = _merged(found, own), True
        elif not key:
            base, _, inner = value.partition("@")
            below = ".".join(part for part in (place, inner) if part not in ("", "_here_"))
            found = _merged(found, {s.key: s for s in read_file(file.parent / f"{base}.yaml", conf, below).settings})
        else:
            choices[f"{_absolute(key, group)}={value}"] = comment
    settings = found if merged_own else _merged(found, own)
    target = next((v.value for k, v in root.value if k.value == "_target_"), "")
    return Option(file.stem, " ".join(said), shown, target, choices, tuple(settings.values()), parts_of(said))


def parts_of(lines: Sequence[str]) -> dict[str, str]:
    """The parts of a comment: a label begins one, and the lines after it go on with it.

    Example:
        >>> parts_of(["The median.", "Tolerates fewer than half:", "1 of 4.", "Control: none."])
        {'': 'The median.', 'Tolerates': 'fewer than half: 1 of 4.', 'Control:': 'none.'}
    """
    parts, label = dict[str, list[str]](), ""
    for line in lines:
        label = next((each for each in LABELS if line.startswith(each)), label)
        parts.setdefault(label, []).append(line)
    return {label: " ".join(said).removeprefix(label).strip(" ,") for label, said in parts.items()}


def groups(conf: Path = CONF) -> dict[str, list[Option]]:
    """Every group and sub-group with its options, by name; a key of a set of overrides is explained by its own file.

    Raises:
        ValueError: naming each key that has no comment.
    """
    names = sorted({file.parent.relative_to(conf).as_posix() for file in conf.glob("*/**/*.yaml")})
    found = {
        name: [read_file(file, conf) for file in sorted((conf / name).glob("*.yaml"))]
        for name in names
        if PARTS not in name.split("/")
    }
    meanings = {s.key: s.meaning for option in commands(conf) for s in option.settings}
    meanings |= {s.key: s.meaning for name in found if name not in SETS for o in found[name] for s in o.settings}
    for name in (name for name in SETS if name in found):
        found[name] = [replace(option, settings=_explained(option.settings, meanings)) for option in found[name]]
    _check_explained({f"{name}/{o.name}.yaml": o for name, options in found.items() for o in options})
    return found


def commands(conf: Path = CONF) -> list[Option]:
    """The files at the top of conf/, one for each command; the main job's first.

    Raises:
        ValueError: naming each key that has no comment.
    """
    files = sorted(conf.glob("*.yaml"), key=lambda file: (file.stem != "config", file.stem))
    found = [read_file(file, conf) for file in files]
    _check_explained({f"{option.name}.yaml": option for option in found})
    return found


def _compose(text: str) -> MappingNode:
    """A file's keys and values with their places; there are none where all is comment."""
    root = yaml.compose(text)
    return root if isinstance(root, MappingNode) else MappingNode("tag:yaml.org,2002:map", [])


def _header(text: str) -> tuple[list[str], tuple[str, ...], str | None]:
    """What the comment at a file's top says: lines on what it is, commands (indented), the package."""
    lines = _top(text.splitlines())
    package = next((line.split()[-1] for line in lines if line.startswith("# @package")), None)
    said = [line[2:] for line in lines if not line.startswith("# @package")]
    return (
        [line for line in said if not line.startswith("  ")],
        tuple(line.strip() for line in said if line.startswith("  ")),
        "" if package == "_global_" else package,
    )


def _top(lines: Sequence[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return list(lines[:end])


def _settings(node: Node, lines: Sequence[str], prefix: str, inherited: str = "") -> Iterator[Setting]:
    """The keys below a mapping; a key without a comment has that of the mapping which it is in."""
    for key, value in node.value:
        if key.value in PLUMBING or (key.start_mark.column == 0 and key.value in HYDRAS):
            continue
        meaning = _comment(key, value, lines) or inherited
        if isinstance(value, MappingNode) and not value.flow_style and value.value:
            yield from _settings(value, lines, f"{prefix}{key.value}.", meaning)
        else:
            yield Setting(f"{prefix}{key.value}", _source(value), meaning)


def _absolute(key: str, group: str) -> str:
    """A group as it is typed: one that is not absolute (/model) is a sub-group."""
    name = key.removeprefix("override ")
    return name.removeprefix("/") if name.startswith("/") or group == "." else f"{group}/{name}"


def _comment(key: Node, value: Node, lines: Sequence[str]) -> str:
    """The comment on a key: behind its value, behind the key of a block, or in the lines above."""
    block = value.end_mark.line > value.start_mark.line
    line, column = (
        (key.end_mark.line, key.end_mark.column + 1) if block else (value.end_mark.line, value.end_mark.column)
    )
    behind = re.match(r"\s*#\s*(.*)", lines[line][column:])
    if behind:
        return behind[1].strip()
    above, place, indent = list[str](), key.start_mark.line, " " * key.start_mark.column
    while place > len(_top(lines)) and lines[place - 1].startswith(f"{indent}#"):
        place -= 1
        above.insert(0, lines[place].strip().lstrip("# "))
    return " ".join(above)


def _source(value: Node) -> str:
    """A value as the file has it; empty if it takes several lines or too many characters."""
    text = str(value.start_mark.buffer)[value.start_mark.pointer : value.end_mark.pointer].rstrip("\0 ")
    return "" if "\n" in text or len(text) > LONGEST else text


def _defaults(root: MappingNode, lines: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The entries of ``defaults``: key (empty where there is none), value, comment."""
    entries: list[Node] = next((value.value for key, value in root.value if key.value == "defaults"), [])
    for entry in entries:
        if isinstance(entry, ScalarNode):
            yield "", str(entry.value), ""
            continue
        ((key, value),) = entry.value
        names = value.value if isinstance(value, ScalarNode) else [each.value for each in value.value]
        chosen = names if isinstance(names, str) else f"[{','.join(names)}]"
        yield str(key.value), chosen, _comment(key, value, lines)


def _merged(old: Mapping[str, Setting], new: Mapping[str, Setting]) -> dict[str, Setting]:
    """Both; a setting that both have takes the newer default, and the newer comment if there is one."""
    kept = {
        key: replace(setting, meaning=setting.meaning or old[key].meaning) for key, setting in new.items() if key in old
    }
    return {**old, **new, **kept}


def _explained(settings: Sequence[Setting], meanings: Mapping[str, str]) -> tuple[Setting, ...]:
    """The settings of a set of overrides; those without a comment are explained where they belong."""
    return tuple(replace(each, meaning=each.meaning or meanings.get(each.key, "")) for each in settings)


def _check_explained(options: Mapping[str, Option]) -> None:
    bare = [f"{file}: {s.key}" for file, option in options.items() for s in option.settings if not s.meaning]
    if bare:
        raise ValueError(f"each setting in conf/ needs a comment; there is none on {', '.join(bare)}")
