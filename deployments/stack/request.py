"""What the supervisor asks of its preloader."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """Run `module` as the program `name`, writing to `log`, as a child of `parent`."""

    model_config = ConfigDict(frozen=True)

    name: str
    parent: int
    log: str
    module: str
    arguments: tuple[str, ...] = ()
