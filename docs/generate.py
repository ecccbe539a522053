"""The configuration reference and the library's tables, made when the site is built; what is included, for README.

``mkdocs build`` runs this file and adds its pages (mkdocs-gen-files); ``python docs/generate.py`` prints the table.
``--help`` shows the same comments: ``fedgan.config.help.reference`` reads them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from fedgan.config.help import library
from fedgan.config.help.reference import Option, Setting, commands, groups, read_file
from fedgan.config.refusals import SEVERAL

CONF = Path(__file__).resolve().parents[1] / "conf"


def included(conf: Path = CONF) -> str:
    """What is included, as a Markdown table: each option of each group with the first sentence of its comment."""
    rows = [(name, option) for name, options in groups(conf).items() for option in options]
    lines = ["| group | option | what it is |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | `{o.name}` | {cell(o.summary)} |" for name, o in rows)]) + "\n"


def pages(conf: Path = CONF) -> dict[str, str]:
    """The site's pages by their paths: Markdown."""
    found = groups(conf)
    made = {"configuration/index.md": _index(found, conf), "configuration/commands.md": _commands_page(conf)}
    made["library.md"] = _library(found, conf)
    for name in (name for name in found if "/" not in name):
        inner = [each for each in found if each == name or each.startswith(f"{name}/")]
        parts = [_group_part(each, found[each], several=len(inner) > 1) for each in inner]
        made[f"configuration/{name}.md"] = f"# {name}\n\n" + "\n".join(parts)
    return made


def cell(text: str) -> str:
    """Text for a cell of a table: no cell ends early and no tag begins, but within backticks.

    Example:
        >>> cell("left | right of <root>, `<as it is>`")
        'left \\\\| right of &lt;root&gt;, `<as it is>`'
    """
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def _library(found: Mapping[str, Sequence[Option]], conf: Path) -> str:
    """A table for each kind of component, with the settings that all of it share in front."""
    parts = [_LIBRARY]
    for group, rows in library.tables(conf).items():
        title, place = _TABLES[group]
        everywhere = library.shared([each for each in found[group] if each.name != "none"], group)
        defaults = ", ".join(f"`{key}={default}`" for key, default in everywhere.items())
        parts += [f"## {title}", f"`{group}=NAME`." + (f" All of them: {defaults}." if defaults else "")]
        parts.append(_table([_linked(row, place) for row in rows]))
    return "\n\n".join(parts) + "\n"


def _linked(row: Mapping[str, str], place: str) -> dict[str, str]:
    """A row whose name leads to its section, and whose metric to that metric's."""
    texts = {column: cell(text) for column, text in row.items()}
    texts["name"] = f"[`{row['name']}`]({place}{row['name']})"
    if "found by" in row:
        metric, *said = row["found by"].split(";", 1)
        texts["found by"] = ";".join([f"[`{metric}`](metrics.md#metrics{metric})", *map(cell, said)])
    return texts


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _index(found: Mapping[str, Sequence[Option]], conf: Path) -> str:
    """How to read the reference; the groups; what is included."""
    main = read_file(conf / "config.yaml", conf)
    rows = [(*choice.partition("=")[::2], said) for choice, said in main.choices.items()]
    listing = [f"| {_link(group)} | `{chosen}` | {cell(said)} |" for group, chosen, said in rows if group in found]
    return "\n".join(
        [
            _INTRODUCTION,
            "| group | chosen unless typed | what it decides |",
            "|---|---|---|",
            *listing,
            "",
            *_INCLUDED,
            included(conf),
        ]
    )


def _link(group: str) -> str:
    return f"[`{group}`]({group}.md)"


def _commands_page(conf: Path) -> str:
    parts = [f"## {_app(conf / f'{option.name}.yaml')}\n\n{_option_body(option)}" for option in commands(conf)]
    return "# Commands\n\nEach command has one file at the top of `conf/`.\n\n" + "\n".join(parts)


def _app(file: Path) -> str:
    """What is typed to start a command."""
    return str(yaml.safe_load(file.read_text())["hydra"]["help"]["app_name"]).removeprefix("python -m ")


def _group_part(name: str, options: Sequence[Option], several: bool) -> str:
    """The options of a group, one section each."""
    typed = f"`{name}=NAME`" + (f", or several: `'{name}=[a,b]'`" if name in SEVERAL else "")
    title = f"## {name}\n\n" if several and "/" in name else ""
    level = "###" if title else "##"
    parts = [f"{level} {option.name}\n\n{_option_body(option)}" for option in options]
    return f"{title}Chosen by {typed}.\n\n" + "\n".join(parts)


def _option_body(option: Option) -> str:
    parts = [cell(option.about).replace("\\|", "|") + "\n"]
    if option.commands:
        parts.append("```sh\n" + "\n".join(option.commands) + "\n```\n")
    if option.target:
        parts.append(f"Class: `{option.target}`\n")
    if option.choices:
        rows = [f"| `{choice}` | {cell(said)} |" for choice, said in option.choices.items()]
        parts.append("\n".join(["| choice | what it decides |", "|---|---|", *rows]) + "\n")
    if option.settings:
        rows = [f"| `{s.key}` | {_default(s)} | {cell(s.meaning)} |" for s in option.settings]
        parts.append("\n".join(["| setting | default | meaning |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _default(setting: Setting) -> str:
    return f"`{setting.default}`" if setting.default else "in the file"


_INTRODUCTION = """# Configuration

These pages are made from the files in `conf/` when the site is built: each key, its default, and the comment on it.

- `group=option` chooses a file of a group: `attack=white_square`. Where several may be chosen:
  `'defense=[feddetect,rotation]'`.
- `key=value` changes a setting: `attack.size=16`. `null` means none.
- `python -m fedgan.train --help` prints the same groups, `--cfg job` the whole configuration without running it.
- A misspelled setting is refused, with those that exist and the one that was probably meant.

The settings of each command: [commands](commands.md).

## Groups
"""
_LIBRARY = """# Library

Every attack, defense, partition and server optimizer, made from the comments in `conf/` and from the classes when the
site is built. A name leads to its section.

- **tolerates**: how many malicious clients of N a rule is made for. "Refused": a federation of that size does not
  start with it. No number says that an attack fails.
- **acts in**: the step of a round ([concepts](concepts.md#one-round)) in which it changes something.
- **control without attack**: what it does where nobody attacks. Three numbers for each N: the share of the clients that
  are dropped; the length of the aggregate's step over that of the mean's; the part of it that goes along the mean. They
  are means over 1,000 drawn federations; 0 %, 1.00 and 1.00 would be FedAvg."""
_TABLES = {  # title, and where a name leads to
    "attack": ("Attacks on images", "attacks.md#attack"),
    "update_attack": ("Attacks on updates", "attacks.md#update_attack"),
    "defense": ("Defenses", "defenses.md#defense"),
    "partition": ("Partitions", "configuration/partition.md#"),
    "fl/server_optimizer": ("Server optimizers", "configuration/fl.md#"),
}
_INCLUDED = ("## What is included", "")


def _write() -> None:
    """Add the pages to the site that is being built."""
    import mkdocs_gen_files

    for path, text in pages().items():
        with mkdocs_gen_files.open(path, "w") as file:
            file.write(text)


if __name__ == "__main__":
    print(included(), end="")
elif __name__ == "<run_path>":  # as mkdocs-gen-files starts it
    _write()
