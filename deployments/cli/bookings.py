"""book, bookings, change-booking, release, cancel-booking, maintenance, import-bookings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from qpuflow.deployments.cli.context import (
    Json,
    State,
    console,
    notes,
    print_json,
    settings_of,
)
from qpuflow.domain.errors import NotFound

if TYPE_CHECKING:
    from qpuflow.client.connection import Connection
    from qpuflow.domain.booking import Booking

QpuName = Annotated[str, typer.Argument(metavar="QPU", help="See `qpuflow qpus`.")]
Start = Annotated[
    str, typer.Argument(help="now, +2h, or an ISO time; without a zone it is local time.")
]
End = Annotated[str, typer.Argument(help="As START, or the length as +1h30m.")]
BookingText = Annotated[str, typer.Argument(metavar="BOOKING", help="Id or its first characters.")]
Note = Annotated[str | None, typer.Option(help="Shown with the booking.")]


def add_to(app: typer.Typer) -> None:
    for command in (book, bookings, change_booking, release, cancel_booking, maintenance):
        app.command()(command)
    app.command()(import_bookings)


def book(
    context: typer.Context,
    qpu: QpuName,
    start: Start,
    end: End,
    note: Note = None,
    json: Json = False,
) -> None:
    """Book time on a QPU for your project."""
    made = context.ensure_object(State).call(lambda c: c.bookings.book(qpu, start, end, note))
    _show(context, made, "Booked", as_json=json)


def maintenance(
    context: typer.Context,
    qpu: QpuName,
    start: Start,
    end: End,
    note: Note = None,
    json: Json = False,
) -> None:
    """Keep time of a QPU free of jobs. For operators."""
    state = context.ensure_object(State)
    made = state.call(lambda c: c.bookings.maintenance(qpu, start, end, note))
    _show(context, made, "Booked", as_json=json)


def bookings(
    context: typer.Context,
    qpu: Annotated[str | None, typer.Argument(metavar="[QPU]", help="Only this one's.")] = None,
    ical: Annotated[
        Path | None, typer.Option(help="Write them to this file as iCalendar; - for output.")
    ] = None,
    json: Json = False,
) -> None:
    """What is booked from now on."""
    state = context.ensure_object(State)
    if ical is not None:
        _write(ical, state.call(lambda c: c.bookings.export_calendar(qpu)))
        return
    found = state.call(lambda c: c.bookings.upcoming(qpu))
    print_json(found) if json else console.print(_table(context, found))


def change_booking(
    context: typer.Context, booking: BookingText, start: Start, end: End, json: Json = False
) -> None:
    """Move a booking that has not started."""
    changed = _changed(context, booking, lambda c, id_: c.bookings.change(id_, start, end))
    _show(context, changed, "Changed", as_json=json)


def release(context: typer.Context, booking: BookingText, json: Json = False) -> None:
    """End a booking that has started: from now on the time is everybody's."""
    ended = _changed(context, booking, lambda c, id_: c.bookings.release(id_))
    _show(context, ended, "Released", as_json=json)


def cancel_booking(context: typer.Context, booking: BookingText, json: Json = False) -> None:
    """Give up a booking that has not started."""
    ended = _changed(context, booking, lambda c, id_: c.bookings.cancel(id_))
    _show(context, ended, "Cancelled", as_json=json)


def import_bookings(
    context: typer.Context,
    qpu: QpuName,
    file: Annotated[Path, typer.Argument(help="iCalendar, as other calendars export it.")],
    vendor: Annotated[
        str | None,
        typer.Option(help="Whose calendar it is: its times are closed. For operators."),
    ] = None,
) -> None:
    """Book every coming event of a calendar, all or none. What is booked already stays."""
    if not file.is_file():
        raise NotFound(f"There is no file {file}")
    content, state = file.read_bytes(), context.ensure_object(State)
    if vendor is not None:
        count = state.call(lambda c: c.bookings.replace_calendar(qpu, vendor, content))
        console.print(f"{qpu} is closed at {count} times of {vendor}'s calendar")
        return
    booked = state.call(lambda c: c.bookings.import_calendar(qpu, content))
    console.print(_table(context, booked))


def _changed(
    context: typer.Context, text: str, change: Callable[[Connection, UUID], Awaitable[Booking]]
) -> Booking:
    async def found(connection: Connection) -> Booking:
        return await change(connection, await connection.bookings.find(text))

    return context.ensure_object(State).call(found)


def _show(context: typer.Context, booking: Booking, word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(booking)
        return
    start, end = _local(context, booking.starts_at), _local(context, booking.ends_at)
    console.print(f"{word} {booking.qpu} from {start} to {end}: {str(booking.id)[:8]}")


def _write(file: Path, content: bytes) -> None:
    if str(file) == "-":
        console.file.write(content.decode())
    else:
        file.write_bytes(content)
        notes.print(f"wrote {file}", markup=False)


def _table(context: typer.Context, found: list[Booking]) -> Table:
    table = Table("booking", "qpu", "for", "from", "to", "by", "note")
    for one in found:
        table.add_row(
            str(one.id)[:8],
            one.qpu,
            one.project or "maintenance",
            _local(context, one.starts_at),
            _local(context, one.ends_at),
            one.created_by if one.source == "qpuflow" else one.source,
            Text(one.note or ""),
        )
    return table


def _local(context: typer.Context, moment: datetime) -> str:
    return f"{moment.astimezone(settings_of(context).zone):%Y-%m-%d %H:%M %Z}"
