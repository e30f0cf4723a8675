"""A device in Amazon's cloud: one task for each circuit, found again by token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from qpuflow.domain.device import Device
from qpuflow.domain.errors import Conflict, InputError, PartlyAccepted, Refused, Unavailable
from qpuflow.domain.estimate import Estimate
from qpuflow.domain.executable import Executable
from qpuflow.domain.limits import check_limits
from qpuflow.domain.vendor_calendar import VendorCalendar
from qpuflow.drivers.base import Outcome, RemoteState, RemoteStatus, Ticket, Usage
from qpuflow.drivers.braket.aws import Aws, as_action
from qpuflow.drivers.braket.calendar import events, reserved_now
from qpuflow.drivers.braket.capabilities import CloudDevice
from qpuflow.drivers.braket.openqasm import Written, circuits_of, write
from qpuflow.drivers.braket.results import TaskResult, read
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.outline import Manifest, Outline, Part
from qpuflow.drivers.parts import combined
from qpuflow.drivers.waiting import Pace, Polling, forward, polled

TOKEN_TAG = "qpuflow-token"  # noqa: S105  the name of a tag
PART_TAG = "qpuflow-part"

CLOCKS_DIFFER = timedelta(minutes=10)
"""Amazon's clocks among themselves; it only makes a search longer."""

_S = RemoteState
STATES: Mapping[str, RemoteState] = {
    "CREATED": _S.QUEUED,
    "QUEUED": _S.QUEUED,
    "RUNNING": _S.RUNNING,
    "CANCELLING": _S.RUNNING,
    "COMPLETED": _S.COMPLETED,
    "FAILED": _S.FAILED,
    "CANCELLED": _S.CANCELLED,
}


class CloudBraketDriver:
    """One device.

    Before anything is created, a manifest of the job is written to S3, whose reads are
    consistent: without it nothing was created. With it, tasks are looked for by their tag; what is
    missing can be created again under its own ``clientToken``, for Amazon makes no second task of
    the same one.
    """

    def __init__(self, name: str, settings: BraketSettings, secrets: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._aws = Aws(name, settings, secrets)
        pace = Pace(first_seconds=settings.poll_seconds)
        self._polling = Polling(pace, patience_seconds=3600.0)

    async def describe(self) -> Device:
        return (await self._cloud_device()).device(self._name)

    async def _cloud_device(self) -> CloudDevice:
        return CloudDevice.of(await self._aws.read("get_device", deviceArn=self._settings.device))

    async def submit(self, executables: Sequence[Executable], shots: int, token: str) -> Ticket:
        if (before := await self._manifest(token)) is not None:
            manifest, since = before
            return await self._complete(manifest, await self._created(token, since), first=False)
        device = await self._cloud_device()
        programs = await asyncio.to_thread(_written, executables)
        self._check(device, executables, programs, shots)
        reserved = reserved_now(self._settings.reservations, datetime.now(UTC))
        manifest = _manifest(executables, programs, shots, token, reserved)
        await self._aws.put(self._key(token), manifest.model_dump_json().encode())
        return await self._complete(manifest, {}, first=True)

    async def _complete(
        self, manifest: Manifest, created: dict[int, str], *, first: bool
    ) -> Ticket:
        """Create what is missing, exactly as it is in the manifest.

        Only while it is certain that nothing was created before does a refusal mean just that.
        """
        for index in range(len(manifest.parts)):
            if index in created:
                continue
            try:
                created[index] = await self._create(manifest, index)
            except Refused as error:
                if first and not created:
                    raise
                message = f"{len(created)} circuits are accepted, and then: {error}"
                raise PartlyAccepted(message, where=self._name) from error
            except InputError:
                await self._cancel(created.values())
                raise
        return _ticket(manifest.token, created)

    def _check(
        self,
        device: CloudDevice,
        executables: Sequence[Executable],
        programs: Sequence[Written],
        shots: int,
    ) -> None:
        check_limits(device.device(self._name), programs=len(executables), shots=shots)
        if shots < device.min_shots:
            raise InputError(
                f"{shots} shots, and {self._name} takes no fewer than {device.min_shots}"
            )
        if not all(program.straight for program in programs):
            raise InputError(
                "A qubit is used again after its measurement, which Amazon Braket's devices in the "
                "cloud cannot do",
                where=self._name,
                remedy="Measure at the end, or choose another QPU.",
            )
        most, cost = (
            self._settings.max_cost_usd,
            device.estimate(programs, shots, self._settings).cost,
        )
        if most is not None and cost > most:
            raise InputError(
                f"The job would cost about {cost:.2f} USD, more than the {most:.2f} allowed",
                where=self._name,
                remedy="Ask for fewer shots or programs, or let the QPU's owner raise the limit.",
            )

    async def _create(self, manifest: Manifest, index: int) -> str:
        token = manifest.token
        return await self._aws.create_task(
            f"{token}-{index}",
            manifest.shots,
            f"{self._folder(token)}/{index}",
            action=as_action(manifest.parts[index].source),
            tags={TOKEN_TAG: token, PART_TAG: str(index)},
            **_associated(manifest.reservation),
        )

    async def find(self, token: str) -> Ticket | None:
        """`PartlyAccepted`, also of no part at all, when some are not to be seen after the patience
        with lists: they may be created again under their own client tokens, and no others."""
        known = await self._manifest(token)
        if known is None:
            return None
        manifest, since = known
        created = await self._created(token, since)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.settle_seconds):
                while len(created) < len(manifest.parts):
                    await asyncio.sleep(min(1.0, self._settings.settle_seconds / 10))
                    created = await self._created(token, since)
        if len(created) < len(manifest.parts):
            raise PartlyAccepted(
                f"{len(created)} of {len(manifest.parts)} circuits are to be seen",
                where=self._name,
            )
        return _ticket(token, created)

    async def _created(self, token: str, since: datetime) -> dict[int, str]:
        """ARNs by part."""
        return {
            int(summary["tags"][PART_TAG]): summary["quantumTaskArn"]
            async for summary in self._aws.tasks(since - CLOCKS_DIFFER)
            if summary.get("tags", {}).get(TOKEN_TAG) == token
        }

    async def _manifest(self, token: str) -> tuple[Manifest, datetime] | None:
        found = await self._aws.get(self._key(token))
        return found and (Manifest.model_validate_json(found[0]), found[1])

    def _folder(self, token: str) -> str:
        return f"{self._settings.prefix}/{token}"

    def _key(self, token: str) -> str:
        return f"{self._folder(token)}/manifest.json"

    def watch(self, ticket: Ticket) -> AsyncIterator[RemoteStatus]:
        finished: dict[str, RemoteStatus] = {}

        async def ask() -> RemoteStatus | None:
            found: list[RemoteStatus] = []
            for arn in _arns(ticket):
                status = finished.get(arn) or await self._status(arn)
                if status is None:
                    return None
                if status.state.is_final:
                    finished[arn] = status
                found.append(status)
            return combined(found)

        return forward(polled(ask, self._polling))

    async def _status(self, arn: str) -> RemoteStatus | None:
        """None for a word that Braket did not have when this was written, unless it is the last."""
        task = await self._aws.ask(
            "get_quantum_task", quantumTaskArn=arn, additionalAttributeNames=["QueueInfo"]
        )
        state = STATES.get(task["status"])
        if state is None:
            return await self._ended(task)
        return RemoteStatus(state, task.get("failureReason", ""), _place(task))

    async def _ended(self, task: Mapping[str, Any]) -> RemoteStatus | None:
        """Of a task in an unknown state: what its end and its result tell, if it has any."""
        if task.get("endedAt") is None:
            return None
        if await self._aws.get(f"{task['outputS3Directory']}/results.json") is not None:
            return RemoteStatus(RemoteState.COMPLETED)
        message = f"Braket says {task['status']!r}, and there is no result"
        return RemoteStatus(RemoteState.FAILED, message)

    async def fetch(self, ticket: Ticket) -> Outcome:
        from qpuflow.drivers.shots import dataset_of_bits

        known = await self._manifest(ticket.token)
        if known is None:
            raise Conflict(f"The manifest of {ticket.token} is no more in S3", where=self._name)
        manifest, arns = known[0], _arns(ticket)
        results = [await self._result(manifest, index, arn) for index, arn in enumerate(arns)]
        datasets = tuple(
            dataset_of_bits(
                outline.executable,
                [results[index].bits for index in manifest.parts_of(number)],
                qpu=self._name,
                device=self._settings.device,
                tasks=" ".join(arns[index] for index in manifest.parts_of(number)),
            )
            for number, outline in enumerate(manifest.outlines)
        )
        return Outcome(datasets, await self._usage(results, manifest.shots))

    async def _result(self, manifest: Manifest, index: int, arn: str) -> TaskResult:
        part = manifest.parts[index]
        width = manifest.outlines[part.program].executable.num_clbits
        name = arn.rsplit("/", 1)[-1]
        key = f"{self._folder(manifest.token)}/{index}/{name}/results.json"
        for left in (3, 2, 1, 0):
            found = await self._aws.get(key)
            if found is None:
                raise Conflict(f"Task {name} has no result", where=self._name)
            try:
                return read(found[0], part.clbits, width)
            except Unavailable:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _usage(self, results: Sequence[TaskResult], shots: int) -> Usage:
        """What Amazon will charge; of seconds those that a simulator tells, or by the settings."""
        device = await self._cloud_device()
        told = [result.seconds for result in results]
        price = device.price(told, shots, self._settings)
        known = [seconds for seconds in told if seconds is not None]
        return Usage(sum(known) if known == told else price.seconds, price.cost, price.unit)

    async def cancel(self, ticket: Ticket) -> None:
        await self._cancel(_arns(ticket))

    async def _cancel(self, arns: Iterable[str]) -> None:
        for arn in arns:
            with suppress(InputError):  # finished, or being cancelled, already
                await self._aws.read("cancel_quantum_task", quantumTaskArn=arn)

    async def estimate(self, executables: Sequence[Executable], shots: int) -> Estimate:
        programs = await asyncio.to_thread(_written, executables)
        return (await self._cloud_device()).estimate(programs, shots, self._settings)

    async def calibration(self) -> Mapping[str, Any]:
        return (await self._cloud_device()).calibration()

    async def vendor_calendar(self, now: datetime) -> VendorCalendar:
        service = (await self._cloud_device()).capabilities["service"]
        return VendorCalendar("braket", events(service, self._settings.reservations, now))

    async def close(self) -> None:
        return None


def _written(executables: Sequence[Executable]) -> list[Written]:
    return [write(circuit) for one in executables for circuit in circuits_of(one)]


def _manifest(
    executables: Sequence[Executable],
    programs: Sequence[Written],
    shots: int,
    token: str,
    reservation: str | None,
) -> Manifest:
    places = [(p, i) for p, one in enumerate(executables) for i in range(len(one.points))]
    parts = [
        Part(program=program, point=point, source=one.source, clbits=[list(b) for b in one.clbits])
        for (program, point), one in zip(places, programs, strict=True)
    ]
    outlines = [Outline.of(executable) for executable in executables]
    return Manifest(
        token=token, shots=shots, outlines=outlines, parts=parts, reservation=reservation
    )


def _associated(reservation: str | None) -> dict[str, Any]:
    if reservation is None:
        return {}
    return {"associations": [{"arn": reservation, "type": "RESERVATION_TIME_WINDOW_ARN"}]}


def _ticket(token: str, created: Mapping[int, str]) -> Ticket:
    arns = [created[index] for index in sorted(created)]
    return Ticket(arns[0], token, {"tasks": arns})


def _place(task: Mapping[str, Any]) -> int | None:
    """Braket says ``>2000`` of far places."""
    digits = str(task.get("queueInfo", {}).get("position", "")).lstrip(">")
    return int(digits) if digits.isdigit() else None


def _arns(ticket: Ticket) -> list[str]:
    """An operator who settled the job gave them as one text."""
    return ticket.details.get("tasks") or ticket.id.split()
