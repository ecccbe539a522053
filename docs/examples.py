"""Has mkdocstrings show a docstring's ``Example:`` as it shows Google's ``Examples:``, as code."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the section in every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Once for each object, before its docstring is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
