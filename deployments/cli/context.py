"""What the commands share: settings, a connection, a console, JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from qpuflow.domain.settings import Settings

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON; the schema is in docs/cli.md.")]

WIDTH = 130
"""Of what goes to a file or a pipe, where nobody says how wide it is."""

console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
notes = Console(stderr=True, soft_wrap=True)
"""Progress and remarks: never in the way of a pipe."""


@dataclass
class State:
    """What the root's options said."""

    given: dict[str, Any]

    @cached_property
    def settings(self) -> Settings:
        from qpuflow.domain.settings import Settings

        return Settings(**self.given)

    def call(self, action: Callable[[Any], Awaitable[T]]) -> T:
        """Run an action on a connection."""
        from qpuflow.client.connection import connect

        async def connected() -> T:
            async with connect(self.settings) as connection:
                return await action(connection)

        return asyncio.run(connected())


def settings_of(context: typer.Context) -> Settings:
    return context.ensure_object(State).settings


def print_json(value: Any) -> None:
    """Any value of ours, indented, on standard output."""
    from pydantic import TypeAdapter

    text = TypeAdapter(type(value)).dump_json(value, indent=2, exclude_none=False)
    sys.stdout.write(text.decode() + "\n")
