"""The driver of a rack: it asks the rack's daemon, which does everything else."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError, OperatorNeeded, OutcomeUnknown, Refused, Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage
from qpuflow.drivers.extras import require
from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.link.errors import error_of
from qpuflow.drivers.qblox.link.messages import (
    Cancel,
    Circuit,
    Confirm,
    Describe,
    Described,
    Envelope,
    Execute,
    Failure,
    Fetch,
    Health,
    Kept,
    Reload,
    Reply,
    Report,
    Request,
    Results,
    State,
    Status,
    Telemetry,
    replies,
)
from qpuflow.drivers.qblox.link.settings import LinkSettings
from qpuflow.drivers.qblox.packing import runs
from qpuflow.drivers.qblox.programs import Durations, native_programs
from qpuflow.ledger.dataset_codec import decode

NEWS_SECONDS = 5.0
"""How long the rack may keep a question about a job until it has news."""
TIMEOUT_SECONDS = 15.0
"""For any answer; longer than a rack waits for news."""
CONFIRMED_AT_ONCE = 1000
KEPT_ESTIMATES = 1000
RUN_OVERHEAD_SECONDS = 0.1
"""Compiling, loading and reading one upload; typical of a cluster in the same rack."""


class QbloxDriver:
    """One rack, used from one event loop."""

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        del secrets  # keys are files that only their owner reads
        self._name = name
        self._settings = _validated(name, settings)
        self._timeout_seconds = timeout_seconds
        self._asker: Any = None
        self._described: Described | None = None
        self._chip_of: tuple[Described, DeviceFile] | None = None
        self._estimated: OrderedDict[str, float] = OrderedDict()
        """Seconds of jobs that the rack could do, by what they are made of."""
        self._closed: set[str] = set()
        """Tokens that the rack was told to take no more, because it did not know them."""

    async def describe(self) -> Device:
        described: Described = await self._ask(Describe(), Described)
        self._described = described
        reasons = "; ".join(filter(None, [described.device.status_reason, self._expiry()]))
        update = {"name": self._name, "status_reason": reasons or None}
        return described.device.model_copy(update=update)

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        """With no lease to show: a rack that has obeyed one refuses."""
        return await self.submit_fenced(executables, shots, token, 0)

    async def submit_fenced(
        self, executables: Sequence[Executable], shots: int, token: str, fencing_token: int
    ) -> Ticket:
        await self._seconds(executables, shots)
        request = Execute(
            token=token,
            fencing_token=fencing_token,
            shots=shots,
            circuits=tuple(Circuit.of(one) for one in executables),
            reopen=token in self._closed,
        )
        self._closed.discard(token)
        try:
            await self._ask(Health(), Report)
        except Unavailable as error:
            raise Refused(error.what, where=error.where, remedy=error.remedy) from error
        try:
            return _ticket(token, await self._ask(request, State))
        except Refused:
            raise
        except Unavailable as error:
            raise OutcomeUnknown(error.what, where=error.where, remedy=error.remedy) from error

    async def find(self, token: str) -> Ticket | None:
        state = await self._ask(Status(token=token, close=True), State)
        if state.ticket is None:
            self._closed.add(token)
            return None
        return _ticket(token, state)

    async def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        known: RemoteState | None = None
        while known is None or not known.is_final:
            question = Status(token=ticket.token, known=known, wait_seconds=NEWS_SECONDS)
            state = await self._ask(question, State)
            latest: RemoteState | None = state.state
            if latest is None:
                yield RemoteStatus(
                    RemoteState.FAILED, f"{self._name} does not know {ticket.id}: another journal?"
                )
                return
            if latest is not known:
                known = latest
                yield RemoteStatus(latest, state.message)

    async def fetch(self, ticket: Ticket) -> Outcome:
        results = await self._ask(Fetch(token=ticket.token), Results)
        datasets = await asyncio.to_thread(lambda: [decode(one) for one in results.datasets])
        named = tuple(dataset.assign_attrs(qpu=self._name) for dataset in datasets)
        return Outcome(named, Usage(seconds=results.seconds))

    async def confirm(self, tokens: Sequence[str]) -> Sequence[str]:
        for page in _pages(tokens):
            await self._ask(Confirm(tokens=page), Kept)
        return () if tokens else await self._kept()

    async def _kept(self) -> list[str]:
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            page: Kept = await self._ask(Confirm(after=after), Kept)
            found += page.tokens
            after = page.more_after
        return found

    async def reload(self, who: str) -> str:
        """Have the rack read its device file again; the hash of the one in force then.

        `InputError` where it is wrong, and nothing has changed.
        """
        report: Report = await self._ask(Reload(who=who), Report)
        self._described = None
        return str(report.values["device_file_hash"])

    async def cancel(self, ticket: Ticket) -> None:
        await self._ask(Cancel(token=ticket.token), State)

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        return Estimate(seconds=await self._seconds(executables, shots))

    async def calibration(self) -> Mapping[str, Any]:
        await self.describe()
        return (await self._chip()).model_dump(mode="json")

    async def health(self) -> Mapping[str, float | str | None]:
        """What the daemon says of itself: what runs and waits, how busy it was."""
        report: Report = await self._ask(Health(), Report)
        return report.values

    async def telemetry(self) -> Mapping[str, float | None]:
        """Temperatures while nothing runs, and always how busy the rack is."""
        report: Report = await self._ask(Telemetry(), Report)
        return {name: value for name, value in report.values.items() if not isinstance(value, str)}

    async def close(self) -> None:
        if self._asker is not None:
            self._asker.close()
            self._asker = None

    def _expiry(self) -> str | None:
        """What is to be said of this side's certificate: the rack is described either way."""
        if self._settings.keys is None or self._settings.address.startswith("ipc://"):
            return None
        from qpuflow.drivers.qblox.link.certificates import Keys
        from qpuflow.drivers.qblox.link.expiry import certificate_warning

        try:
            return certificate_warning(Keys(self._settings.keys), "worker", datetime.now(UTC))
        except OperatorNeeded as error:
            return f"The worker's keys: {error.what}"

    async def _chip(self) -> DeviceFile:
        if self._described is None:
            await self.describe()
        described = self._described
        assert described is not None
        if self._chip_of is None or self._chip_of[0] is not described:
            self._chip_of = described, DeviceFile.model_validate(described.chip)
            self._estimated.clear()
        return self._chip_of[1]

    async def _seconds(self, executables: Sequence[Executable], shots: int) -> float:
        """How long they take. `InputError` for what the rack could not do, before it is asked.

        Each job is translated for this once, and not again when it is handed over.
        """
        chip = await self._chip()
        assert self._described is not None
        check_limits(self._described.device, programs=len(executables), shots=shots)
        key = _content_of(executables, shots)
        if key not in self._estimated:
            seconds = await asyncio.to_thread(_seconds, executables, shots, chip)
            self._estimated[key] = seconds
        self._estimated.move_to_end(key)
        while len(self._estimated) > KEPT_ESTIMATES:
            self._estimated.popitem(last=False)
        return self._estimated[key]

    async def _ask(self, request: Request, expected: type[Any]) -> Any:
        if self._asker is None:
            require("qblox", "pynng", "cryptography")
            from qpuflow.drivers.qblox.link.certificates import Keys
            from qpuflow.drivers.qblox.link.sockets import Asker

            keys = Keys(self._settings.keys) if self._settings.keys else None
            self._asker = Asker(self._settings.address, keys)
        message = Envelope(body=request).model_dump_json().encode()
        content = await self._asker.ask(message, self._timeout_seconds)
        reply: Reply = replies.validate_json(content)
        if isinstance(reply, Failure):
            raise error_of(reply)
        assert isinstance(reply, expected)
        return reply


def _seconds(executables: Sequence[Executable], shots: int, chip: DeviceFile) -> float:
    programs = [program for one in executables for program in native_programs(one, chip)]
    durations = Durations(chip)
    average = any(one.average for one in executables)
    traced = any(one.measurement_level == 0 for one in executables)
    seconds = 0.0
    for run in runs(programs, shots, average=average, traced=traced):
        playing = run.upload.duration_ns(durations) * 1e-9 * run.upload.repetitions
        # At most: qubits that one module reads are traced one after the other.
        passes = len(run.upload.acquisitions_of) if traced else 1
        seconds += (playing + RUN_OVERHEAD_SECONDS) * passes
    return seconds


def _content_of(executables: Sequence[Executable], shots: int) -> str:
    content = sha256(str(shots).encode())
    for one in executables:
        content.update(repr(replace(one, qpy=b"")).encode())
        content.update(sha256(one.qpy).digest())
    return content.hexdigest()


def _pages(tokens: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(tokens), CONFIRMED_AT_ONCE):
        yield tuple(tokens[first : first + CONFIRMED_AT_ONCE])


def _ticket(token: str, state: State) -> Ticket:
    assert state.ticket is not None
    return Ticket(state.ticket, token)


def _validated(name: str, settings: Mapping[str, Any]) -> LinkSettings:
    try:
        return LinkSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Setting {place!r}: {first['msg']}", where=f"the settings of {name}"
        ) from error
