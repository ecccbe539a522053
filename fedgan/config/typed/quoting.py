"""Quotes for what Hydra cannot read without them: a hint that can be typed as it is."""

import json
import shlex
from collections.abc import Iterator

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def quoting_hint(key: str, value: str) -> str | None:
    """A setting with quotes where Hydra and the shell want them; None where quotes alone do not make it readable.

    Example:
        >>> print(quoting_hint("overrides", "[fl.rounds=6]"))
        'overrides=["fl.rounds=6"]'
        >>> print(quoting_hint("dataset.classes", '{"a/b": ["no"]}'))
        'dataset.classes={a/b: ["no"]}'
    """
    for quoted in _quoted(value):
        if _is_readable(f"{key}={quoted}"):
            return shlex.quote(f"{key}={quoted}")
    return None


def _quoted(value: str) -> Iterator[str]:
    """The value with quotes around each text in a list or mapping, or around the whole."""
    if value[:1] not in ("[", "{"):
        escaped = value.replace('"', '\\"')
        yield f'"{escaped}"'
        return
    try:
        node = yaml.compose(value)
    except yaml.YAMLError:
        return
    if node is not None:
        yield _requoted(node)


def _requoted(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):  # Hydra takes no quotes around the names in a mapping
        return "{" + ", ".join(f"{name.value}: {_requoted(inner)}" for name, inner in node.value) + "}"
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(map(_requoted, node.value)) + "]"
    assert isinstance(node, yaml.ScalarNode)
    plain = node.style is None and _is_readable(f"x=[{node.value}]")
    return str(node.value) if plain else json.dumps(node.value, ensure_ascii=False)


def _is_readable(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override).value()
    except HydraException:
        return False
    return True
