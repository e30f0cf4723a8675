"""YAML and JSON files with the line of every value, so that errors can name it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qpuflow.domain.errors import InputError

Place = tuple[str | int, ...]


class Document:
    """A parsed file: its content, and where each part of it stands."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise InputError(f"No YAML or JSON: {problem}", where=f"{name}{line}") from error
        if root is None:
            raise InputError("The file is empty", where=name)
        self._walk(root, ())

    def where(self, place: Sequence[str | int]) -> str:
        """``file:line``, the line of the innermost part of the place that stands in the file."""
        known = tuple(map(str, place))
        while known and known not in self._lines:
            known = known[:-1]
        return f"{self.name}:{self._lines.get(known, 1)}"

    def _walk(self, node: yaml.Node, place: tuple[str, ...]) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                if inner in self._lines:
                    raise InputError(
                        f"{key.value!r} stands here and in line {self._lines[inner]}",
                        where=f"{self.name}:{key.start_mark.line + 1}",
                    )
                self._lines[inner] = key.start_mark.line + 1
                self._walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*place, str(index)))


def read(path: Path) -> Document:
    try:
        return Document(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The file cannot be read: {error}", where=str(path)) from error
