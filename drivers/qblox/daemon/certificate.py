"""How long the daemon's own certificate is good for: in its log, its health and its description."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.drivers.qblox.link.certificates import Keys
from qpuflow.drivers.qblox.link.expiry import certificate_warning

LOOK_SECONDS = 60.0
AGAIN = timedelta(days=1)
_log = logging.getLogger("qpuflow.rack")


class CertificateWatch:
    """Of one folder of keys. What it tells is as old as its last look."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._expires_at: datetime | None = None
        self._told_at: datetime | None = None
        self.warning: str | None = None
        """While the end is near, or behind."""

    @property
    def days(self) -> float | None:
        """Until it ends, as it was last read; negative afterwards, None before it ever was."""
        if self._expires_at is None:
            return None
        return (self._expires_at - datetime.now(UTC)) / timedelta(days=1)

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            self.look(datetime.now(UTC))
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: datetime) -> None:
        """The log has a warning once a day."""
        try:
            self._expires_at = self._keys.expires_at
            self.warning = certificate_warning(self._keys, "rack's daemon", now)
        except OperatorNeeded:
            return  # half replaced; who listens says what is wrong
        if self.warning is None:
            self._told_at = None
        elif self._told_at is None or now - self._told_at >= AGAIN:
            self._told_at = now
            _log.warning("%s", self.warning)
