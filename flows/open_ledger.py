"""The ledger that the settings name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from qpuflow.domain.endpoints import find_endpoints
from qpuflow.domain.settings import Settings
from qpuflow.ledger.database import Ledger


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncGenerator[Ledger]:
    """The ledger of the stack that the settings name, for the length of the block."""
    url = find_endpoints(settings).ledger_url.get_secret_value()
    ledger = await Ledger.open(url, payload_url(settings))
    try:
        yield ledger
    finally:
        await ledger.close()


def payload_url(settings: Settings) -> str:
    """Where payloads over 1 MB live."""
    return settings.payload_url or f"file://{settings.root / 'payloads'}"
