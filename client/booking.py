"""Booking time on a QPU: what a `Connection` offers as `bookings`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from uuid import UUID

from qpuflow.domain import calendars
from qpuflow.domain.booking import Booking, Period
from qpuflow.domain.errors import InputError
from qpuflow.domain.moments import read_moment
from qpuflow.domain.principal import Principal
from qpuflow.domain.settings import Settings
from qpuflow.ledger import bookings
from qpuflow.ledger.bookings import Wish
from qpuflow.ledger.database import Ledger

Start = datetime | str
"""Text as the command line takes it; without a zone it is local time, as the settings say."""
End = datetime | timedelta | str


class Bookings:
    """All in the name of the connection's user and project."""

    def __init__(self, ledger: Ledger, principal: Principal, settings: Settings) -> None:
        self._ledger, self._principal, self._settings = ledger, principal, settings

    async def book(self, qpu: str, start: Start, end: End, note: str | None = None) -> Booking:
        """Raises `InputError` for what the rules forbid, `Conflict` naming whose time it is."""
        wish = Wish(qpu, self.period(start, end), note)
        async with self._ledger.begin() as session:
            return await bookings.create(session, self._principal, self._settings.booking, wish)

    async def maintenance(
        self, qpu: str, start: Start, end: End, note: str | None = None
    ) -> Booking:
        """Time that nobody uses; for operators."""
        wish = Wish(qpu, self.period(start, end), note)
        async with self._ledger.begin() as session:
            return await bookings.maintain(session, self._principal, wish)

    async def upcoming(self, qpu: str | None = None) -> list[Booking]:
        """Everybody's that has not ended, oldest first."""
        async with self._ledger.begin() as session:
            return await bookings.upcoming(session, qpu)

    async def find(self, text: str) -> UUID:
        """The id of a booking from its first characters."""
        async with self._ledger.begin() as session:
            return await bookings.resolve(session, text)

    async def change(self, booking_id: UUID, start: Start, end: End) -> Booking:
        """Move a booking that has not started."""
        period, rules = self.period(start, end), self._settings.booking
        async with self._ledger.begin() as session:
            return await bookings.change(session, self._principal, rules, booking_id, period)

    async def release(self, booking_id: UUID) -> Booking:
        """End a booking that has started."""
        async with self._ledger.begin() as session:
            return await bookings.release(session, self._principal, booking_id)

    async def cancel(self, booking_id: UUID) -> Booking:
        """Give up a booking that has not started."""
        async with self._ledger.begin() as session:
            return await bookings.cancel(session, self._principal, booking_id)

    async def export_calendar(self, qpu: str | None = None) -> bytes:
        """What `upcoming` says, as iCalendar."""
        return calendars.export(await self.upcoming(qpu), datetime.now(UTC))

    async def import_calendar(self, qpu: str, content: bytes) -> list[Booking]:
        """Book every event that has not begun, all or none. Importing twice books nothing twice."""
        now, booked = datetime.now(UTC), list[Booking]()
        async with self._ledger.begin() as session:
            for event in calendars.read(content, self._settings.zone):
                if event.period.starts_at < now or await bookings.imported(session, qpu, event.uid):
                    continue
                wish = Wish(qpu, event.period, event.note, event.uid)
                rules = self._settings.booking
                booked.append(await bookings.create(session, self._principal, rules, wish))
        return booked

    async def replace_calendar(self, qpu: str, source: str, content: bytes) -> int:
        """Take a vendor's calendar as closed times; for operators. Returns how many there are."""
        events = calendars.read(content, self._settings.zone)
        wishes = [Wish(qpu, event.period, event.note, event.uid) for event in events]
        async with self._ledger.begin() as session:
            await bookings.replace_calendar(session, self._principal, source, wishes, qpu)
        return len(wishes)

    def period(self, start: Start, end: End) -> Period:
        now = datetime.now(UTC)
        zone = self._settings.zone
        starts_at = moment(start, zone, now, now)
        if isinstance(end, timedelta):
            return Period(starts_at, starts_at + end)
        return Period(starts_at, moment(end, zone, now, starts_at))


def moment(given: Start, zone: tzinfo, now: datetime, base: datetime) -> datetime:
    """UTC. A duration is counted from `base`."""
    if isinstance(given, str):
        return read_moment(given, zone, now, base)
    if given.tzinfo is None:
        raise InputError(f"{given} has no time zone", remedy="Give it a tzinfo.")
    return given.astimezone(UTC)
