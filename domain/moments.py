"""Reading a user's dates, local times and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from qpuflow.domain.errors import InputError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
HELP = "ISO 8601 (2026-03-29T14:00, with or without a zone), `now`, or a duration as +1h30m"


def read_moment(text: str, zone: tzinfo, now: datetime, base: datetime) -> datetime:
    """UTC. A time without a zone is one of `zone`; one that does not exist there is refused."""
    text = text.strip()
    if text == "now":
        return now.astimezone(UTC)
    if text.startswith("+"):
        return _after(base.astimezone(UTC), text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no time", remedy=f"Write {HELP}.") from error
    return read.astimezone(UTC) if read.tzinfo else _local(read, zone)


def _after(base: datetime, text: str) -> datetime:
    """Elapsed time: over a change of the clocks, +24h is not the same hour of the next day."""
    try:
        return base + read_duration(text.removeprefix("+"))
    except OverflowError as error:
        raise _too_long(text) from error


def read_duration(text: str) -> timedelta:
    """From text such as 90m, 2h or 1d12h."""
    if not _DURATION.fullmatch(text):
        raise InputError(f"{text!r} is no duration", remedy="Write it as 90m, 2h or 1d12h.")
    parts = {_UNITS[unit]: float(count) for count, unit in _PART.findall(text)}
    try:
        return timedelta(**parts)
    except OverflowError as error:
        raise _too_long(text) from error


def _too_long(text: str) -> InputError:
    return InputError(f"{text!r} is longer than the calendar")


def _local(read: datetime, zone: tzinfo) -> datetime:
    """Where the clocks change, an hour is missing in spring and is there twice in autumn."""
    first, second = (read.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    moment = first.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != read:
        raise InputError(f"{read.isoformat()} does not exist in {zone}: the clocks go forward")
    if moment != second.astimezone(UTC):
        offsets = " or ".join(f"{one:%z}" for one in (first, second))
        raise InputError(
            f"{read.isoformat()} is there twice in {zone}: the clocks go back",
            remedy=f"Say which one by its offset: {offsets}.",
        )
    return moment
