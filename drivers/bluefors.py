"""The HTTP API of Bluefors' control software: what a cryostat's sensors say.

One value a request: ``GET /values/{path}`` with the dots of a path as slashes, and the API key in
the query, as its makers specify it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

_log = logging.getLogger(__name__)
SYNCHRONIZED = "SYNCHRONIZED"
"""The state of a value that the device has confirmed; others are stale, invalid or unknown."""


class Bluefors:
    """`channels`: the name under which a value is kept, to its path, as ``mapper.bf.tmixing``."""

    def __init__(
        self,
        url: str,
        channels: Mapping[str, str],
        api_key: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._channels = channels
        parameters = {"key": api_key} if api_key else {}
        _keep_addresses_out_of_logs()
        self._client = httpx.AsyncClient(
            base_url=url, params=parameters, timeout=timeout_seconds, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def read(self) -> dict[str, float | None]:
        """None where a sensor is disconnected, or the software does not answer for it."""
        values = await asyncio.gather(*(self._read(path) for path in self._channels.values()))
        return dict(zip(self._channels, values, strict=True))

    async def _read(self, path: str) -> float | None:
        try:
            answer = await self._client.get(f"/values/{path.replace('.', '/')}")
            answer.raise_for_status()
            return _value(answer.json(), path)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            # Not its own words: they hold the address with the key.
            _log.warning("The cryostat says nothing of %s: %s", path, type(error).__name__)
            return None


def _keep_addresses_out_of_logs() -> None:
    """At INFO httpx logs the address of each request, and with it the key."""
    client = logging.getLogger("httpx")
    client.setLevel(max(client.level, logging.WARNING))


def _value(answer: Any, path: str) -> float | None:
    """The newest valid value, unless the software itself calls it out of date."""
    latest = answer["data"][path]["content"]["latest_valid_value"]
    is_current = latest["status"] == SYNCHRONIZED and not latest.get("outdated", False)
    return float(latest["value"]) if is_current else None
