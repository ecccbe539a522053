"""``--help``: what a command takes, read from the comments in conf/."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import yaml

from fedgan.config.help.reference import Option, Setting, groups, read_file
from fedgan.config.refusals import CONF, SEVERAL, config_folders, options
from fedgan.core.checks import check_choice

COLUMN = 28  # where a meaning begins
NARROWEST = 80  # characters of a line
wrap = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)


def help_text(config_name: str, typed: Sequence[str] = ()) -> str:
    """What a command is for, its groups with their choices, and its settings with their meanings.

    Args:
        config_name: of the command's file in conf/.
        typed: what else is on the command line; the settings of a choice such as ``attack=white_square`` are listed.

    Raises:
        ValueError: in one line, if one of the choices does not exist.
    """
    command = read_file(CONF / f"{config_name}.yaml")
    chosen = all_groups(command)
    choices = (each.partition("=")[::2] for each in typed)
    shown = dict(pair for group, names in choices if group in chosen for pair in found(group, names))
    sections = {
        "Groups, chosen by group=choice": [line for each in chosen.items() for line in group_lines(*each)],
        "Settings, changed by setting=value": [line for each in command.settings for line in setting_lines(each)],
        **{title: [line for each in own for line in setting_lines(each)] for title, own in shown.items()},
    }
    about = [*filled(command.about), *(f"  {line}" for line in command.commands)]
    said = [line for title, lines in sections.items() if lines for line in ("", *filled(f"{title}:"), *lines)]
    return "\n".join([app(config_name), *about, *said, "", *filled(last_words(chosen))])


def all_groups(own: Option) -> dict[str, tuple[str, str]]:
    """The groups that a command chooses from, and those within them: what is chosen unless typed, and what it decides.

    Args:
        own: the command's file in conf/.
    """
    chosen = dict[str, tuple[str, str]]()
    for choice, meaning in own.choices.items():
        group, _, name = choice.partition("=")
        chosen[group] = (name, meaning)
        file = CONF / group / f"{name}.yaml"
        within = read_file(file).choices if file.is_file() else {}
        chosen |= {
            inner.partition("=")[0]: (inner.partition("=")[2], said)
            for inner, said in within.items()
            if inner.startswith(f"{group}/")
        }
    return chosen


def found(group: str, names: str) -> Iterator[tuple[str, Sequence[Setting]]]:
    """The choices that are typed, each with what it is, and their settings."""
    known = options(group)
    for name in map(str.strip, names.strip("[]").split(",")):
        check_choice(group, name, known)
        folder = next(each for each in config_folders() if (each / group / f"{name}.yaml").is_file())
        explained = groups()[group] if folder == CONF else [read_file(folder / group / f"{name}.yaml", folder)]
        option = next(each for each in explained if each.name == name)
        yield f"{group}={name}: {option.summary.rstrip('.')}", option.settings


def group_lines(group: str, chosen: tuple[str, str]) -> list[str]:
    """A group: what is chosen, what it decides, its choices."""
    name, meaning = chosen
    choices = f"choices: {', '.join(options(group))}"
    several = f"; several: '{group}=[a,b]'" if group in SEVERAL else ""
    return [*entry(f"{group}={name}", meaning), *indented(choices + several)]


def setting_lines(setting: Setting) -> list[str]:
    """A setting: its default and its meaning; a default of several lines is in the file alone."""
    return entry(f"{setting.key}={setting.default}" if setting.default else setting.key, setting.meaning)


def entry(name: str, meaning: str) -> list[str]:
    """A name, and next to it, or below where it is long, its meaning."""
    lines = indented(meaning)
    if len(name) + 4 > COLUMN or not lines:
        return [f"  {name}", *lines]
    return [f"  {name}".ljust(COLUMN) + lines[0].lstrip(), *lines[1:]]


def indented(text: str) -> list[str]:
    """A text in lines below the column of meanings."""
    return wrap(text, width(), initial_indent=" " * COLUMN, subsequent_indent=" " * COLUMN)


def filled(text: str) -> list[str]:
    """A text in lines."""
    return wrap(text, width())


def width() -> int:
    """Of a line: the terminal's, or where there is none 120."""
    return max(NARROWEST, shutil.get_terminal_size((120, 24)).columns - 1)


def app(config_name: str) -> str:
    """What is typed to start a command: with names ahead of the settings, where it takes some."""
    said = yaml.safe_load(Path(CONF / f"{config_name}.yaml").read_text())["hydra"]["help"]
    return str(said.get("header", said["app_name"]))


def last_words(chosen: Mapping[str, object]) -> str:
    """What else can be asked for."""
    example = next((group for group in ("attack", *chosen) if group in chosen), None)
    more = "--help next to a choice lists its settings" + (f" ({example}=NAME --help); " if example else "; ")
    return f"{more if example else ''}--cfg job prints all settings at work; --hydra-help lists Hydra's own flags."
