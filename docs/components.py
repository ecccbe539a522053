"""Has mkdocstrings show the fields of a class with ``@component`` as its arguments, like those of a dataclass."""

import ast
from typing import Any

import griffe

_AS = ast.parse("dataclasses.dataclass(kw_only=True)", mode="eval").body


class Components(griffe.Extension):
    """Reads ``@component`` as the decorator that it is made of."""

    def on_class_node(self, *, node: ast.AST | griffe.ObjectNode, **kwargs: Any) -> None:
        """Once for each class, before its decorators are read."""
        if isinstance(node, ast.ClassDef):
            named = {ast.unparse(each): place for place, each in enumerate(node.decorator_list)}
            if (place := named.get("component")) is not None:
                node.decorator_list[place] = ast.copy_location(_AS, node.decorator_list[place])
