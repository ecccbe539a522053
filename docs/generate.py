"""The configuration reference, made from conf/ when the site is built; the table of what is included, for README.

``mkdocs build`` runs this file and adds its pages (mkdocs-gen-files); ``python docs/generate.py`` prints the table.
``--help`` shows the same comments: ``fedgan.config.help.reference`` reads them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

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
