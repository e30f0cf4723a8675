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
    payloads = settings.payload_url or f"file://{settings.root / 'payloads'}"
    ledger = await Ledger.open(find_endpoints(settings).ledger_url.get_secret_value(), payloads)
    try:
        yield ledger
    finally:
        await ledger.close()
