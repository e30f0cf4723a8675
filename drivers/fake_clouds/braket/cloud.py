"""Amazon Braket's API as botocore's service model has it.

Programs run on Braket's own default simulator: its interpreter is not ours, so that a mistake in
how our driver writes a circuit cannot be undone by the same mistake in reading it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.fake_clouds.books import Books
from qpuflow.drivers.fake_clouds.braket.bucket import Bucket
from qpuflow.drivers.fake_clouds.braket.devices import FakeDevice, qpu, simulator
from qpuflow.drivers.fake_clouds.braket.tasks import (
    ACCOUNT,
    WORDS,
    directory,
    error,
    matches,
    problem_with,
    simulated,
    summary,
)
from qpuflow.drivers.fake_clouds.endpoints import READ, RESULT, WRITE, Endpoints
from qpuflow.drivers.fake_clouds.jobs import Backlog, Job
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

STATUS = (*READ, Fault.STEP_BACK, Fault.UNKNOWN_WORD, Fault.OVERSIZED, Fault.OFFLINE)
LIST = (*READ, Fault.LISTED_LATE)


class FakeBraket:
    """Amazon Braket and S3 behind one URL. Any access key is good but ``expired``."""

    def __init__(
        self,
        weather: Weather | None = None,
        *,
        queue_seconds: float = 0.0,
        journal: Path | None = None,
    ) -> None:
        self.weather = weather or Weather()
        self.books = Books(journal)
        self.backlog = Backlog(self.books, self.weather, queue_seconds)
        self.bucket = Bucket(self.weather.now)
        self.devices = {device.arn: device for device in (simulator(), qpu())}
        self._by_token: dict[str, Job] = {}
        self.app = Starlette(routes=self._routes())

    def _routes(self) -> Sequence[Any]:
        route = Endpoints(self.weather, refusal).route
        task = "/quantum-task/{arn:path}"
        return [
            route("get_device", "GET", "/device/{arn:path}", self._get_device),
            route("search_devices", "POST", "/devices", self._search_devices),
            route("create_quantum_task", "POST", "/quantum-task", self._create, WRITE),
            route("cancel_quantum_task", "PUT", f"{task}/cancel", self._cancel, WRITE),
            route("get_quantum_task", "GET", task, self._get, STATUS),
            route("search_quantum_tasks", "POST", "/quantum-tasks", self._search, LIST),
            route("put_object", "PUT", "/{bucket}/{key:path}", self.bucket.put, READ),
            route("get_object", "GET", "/{bucket}/{key:path}", self.bucket.get, RESULT),
            route("head_object", "HEAD", "/{bucket}/{key:path}", self.bucket.head),
        ]

    async def _get_device(self, request: Request) -> Response:
        device = self._device(request.path_params["arn"])
        return JSONResponse(device.answer) if device else _missing("Device")

    def _device(self, arn: str) -> FakeDevice | None:
        device = self.devices.get(arn)
        if device is None or not self.weather.is_offline:
            return device
        return replace(device, status="OFFLINE")

    async def _search_devices(self, _: Request) -> Response:
        return JSONResponse({"devices": [device.summary for device in self.devices.values()]})

    async def _create(self, request: Request) -> Response:
        wanted = await request.json()
        token = wanted["clientToken"]
        if (before := self._by_token.get(token)) is not None:
            if before.request != wanted:
                return error(400, "ValidationException", "The token was used with other content")
            return JSONResponse({"quantumTaskArn": before.id}, 201)
        if problem := problem_with(wanted, self._device(wanted["deviceArn"])):
            return problem
        job = Job(token, wanted)
        job.id = f"{ACCOUNT}:quantum-task/{job.id}"
        job.work = partial(self._run, job)
        self._by_token[token] = self.backlog.accept(job)
        return JSONResponse({"quantumTaskArn": job.id}, 201)

    def _run(self, job: Job) -> None:
        """Simulate, and put the result into the user's bucket."""
        result = simulated(job)
        self.bucket.store(f"{directory(job)}/results.json", json.dumps(result).encode())

    async def _get(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["arn"])
        if job is None:
            return _missing("Quantum task")
        fault = request.state.fault
        state = job.before if fault is Fault.STEP_BACK else job.state
        action = json.loads(job.request["action"])
        kind = action.get("braketSchemaHeader", {}).get("name", "braket.ir.openqasm.program")
        answer = {
            **summary(job),
            "deviceParameters": "{}",
            "status": WORDS[state],
            "actionMetadata": {"actionType": kind},
        }
        if fault is Fault.UNKNOWN_WORD:
            answer["status"] = "DEFRAGMENTING"
        if job.error:
            answer["failureReason"] = job.error
        if state is RemoteState.QUEUED:
            queue = {"queue": "QUANTUM_TASKS_QUEUE", "position": "1", "queuePriority": "Normal"}
            answer["queueInfo"] = queue
        return JSONResponse(answer)

    async def _cancel(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["arn"])
        if job is None:
            return _missing("Quantum task")
        if not self.backlog.cancel(job) and job.state is not RemoteState.CANCELLED:
            return error(409, "ConflictException", f"The task is {WORDS[job.state]}")
        return JSONResponse({"quantumTaskArn": job.id, "cancellationStatus": "CANCELLED"})

    async def _search(self, request: Request) -> Response:
        wanted = await request.json()
        late = request.state.fault is Fault.LISTED_LATE
        age = timedelta(seconds=self.weather.listed_after_seconds if late else 0.0)
        listed = [j for j in self.backlog.jobs.values() if j.created_at <= self.weather.now() - age]
        found = [summary(job) for job in listed if matches(job, wanted["filters"])]
        start, size = int(wanted.get("nextToken", 0)), wanted.get("maxResults", 100)
        page = {"quantumTasks": found[start : start + size]}
        more = {"nextToken": str(start + size)} if len(found) > start + size else {}
        return JSONResponse({**page, **more})


def refusal(fault: Fault) -> Response:
    match fault:
        case Fault.THROTTLED:
            return error(429, "ThrottlingException", "Rate exceeded")
        case Fault.TOKEN_EXPIRED:
            return error(403, "ExpiredTokenException", "The security token has expired")
        case _:
            return error(500, "InternalServiceException", "Internal error")


def _missing(what: str) -> Response:
    return error(404, "ResourceNotFoundException", f"{what} not found")
