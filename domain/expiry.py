"""Credentials and certificates that end some day: when to say so."""

from __future__ import annotations

from datetime import datetime, timedelta

WARN_BEFORE = timedelta(days=14)
"""Long enough for whoever must ask an administrator for new ones."""


def ends_soon(expires_at: datetime, now: datetime) -> bool:
    """Or has ended."""
    return expires_at - now <= WARN_BEFORE


def expiry_warning(expires_at: datetime | None, now: datetime) -> str | None:
    """None while there is time."""
    if expires_at is None or not ends_soon(expires_at, now):
        return None
    day = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    if expires_at <= now:
        return f"Its credentials expired on {day}: put new ones into its block"
    return f"Its credentials expire on {day}: put new ones into its block; nothing is restarted"
