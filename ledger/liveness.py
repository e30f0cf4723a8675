"""A pooled connection is asked whether it lives, unless it did a moment ago.

SQLAlchemy's `pool_pre_ping` asks before every transaction, a tenth of what a short one costs.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

TRUSTED_SECONDS = 1.0
_IDLE_SINCE = "qpuflow_idle_since"


def ask_the_idle(engine: AsyncEngine) -> None:
    """Have a connection that was idle for longer than a second replaced when it does not answer."""
    pool = engine.sync_engine.pool
    event.listen(pool, "checkin", _came_back)
    event.listen(pool, "checkout", _goes_out)


def _came_back(_connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _goes_out(connection: Any, record: Any, _proxy: Any) -> None:
    idle_since = record.info.pop(_IDLE_SINCE, None)
    if idle_since is None or time.monotonic() - idle_since < TRUSTED_SECONDS:
        return
    try:
        connection.ping()
    except Exception as error:
        raise InvalidatePoolError from error
