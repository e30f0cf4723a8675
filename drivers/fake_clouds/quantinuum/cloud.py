"""Quantinuum's REST and websocket API, as far as clients of jobs use it.

Programs run on Aer, without noise. Of the endpoints one, the list of jobs by name, is in no
published client: it stands for the list that the vendor's portal shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.fake_clouds.books import Books
from qpuflow.drivers.fake_clouds.endpoints import READ, WRITE, Endpoints, Handler
from qpuflow.drivers.fake_clouds.jobs import Backlog
from qpuflow.drivers.fake_clouds.quantinuum.accounts import Accounts, error
from qpuflow.drivers.fake_clouds.quantinuum.jobs import UNKNOWN_WORD, told, work_of
from qpuflow.drivers.fake_clouds.quantinuum.machines import MACHINES
from qpuflow.drivers.fake_clouds.quantinuum.sockets import Sockets
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

_F = Fault
STATUS = (*READ, _F.STEP_BACK, _F.UNKNOWN_WORD, _F.TRUNCATED, _F.OVERSIZED, _F.OFFLINE)
LOGIN = (*READ, Fault.REFRESH_REFUSED)
LIST = (*READ, Fault.LISTED_LATE)


class FakeQuantinuum:
    """One account with a machine and its syntax checker. `calendar` is told as it is."""

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
        self.accounts = Accounts(self.weather)
        self.calendar: list[dict[str, str]] = []
        self._sockets = Sockets(self.weather, self.backlog)
        self.app = Starlette(routes=self._routes())

    @property
    def online(self) -> bool:
        return self.backlog.is_open and not self.weather.is_offline

    @online.setter
    def online(self, value: bool) -> None:
        """Jobs are accepted all the same, and wait."""
        self.backlog.is_open = value

    def _routes(self) -> Sequence[Any]:
        route = Endpoints(self.weather, refusal).route
        guarded = partial(_guarded, self.accounts)
        job, code = "/v1/job/{id}", "/microsoft/oauth2/v2.0"
        microsoft = self.accounts.microsoft
        return [
            route("log_in", "POST", "/v1/login", self.accounts.log_in, LOGIN),
            route("device_code", "POST", f"{code}/devicecode", microsoft.device_code),
            route("microsoft_token", "POST", f"{code}/token", microsoft.token),
            route("machines", "GET", "/v1/machine/", guarded(self._machines)),
            route("machine", "GET", "/v1/machine/{name}", guarded(self._machine)),
            route("submit", "POST", "/v1/job", guarded(self._submit), WRITE),
            route("jobs", "GET", "/v1/job", guarded(self._jobs), LIST),
            route("job", "GET", job, guarded(self._job), STATUS),
            route("cancel", "POST", f"{job}/cancel", guarded(self._cancel), WRITE),
            route("calendar", "GET", "/beta/reservation", guarded(self._calendar)),
            WebSocketRoute("/v1/", self._sockets.serve),
        ]

    async def _machines(self, request: Request) -> Response:
        if request.query_params.get("config") == "true":
            return JSONResponse(MACHINES)
        return JSONResponse([{"name": machine["name"]} for machine in MACHINES])

    async def _machine(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _names():
            return error(404, 45, f"Machine {name} is not known")
        return JSONResponse({"name": name, "state": "online" if self.online else "offline"})

    async def _submit(self, request: Request) -> Response:
        wanted = await request.json()
        if wanted.get("machine") not in _names():
            return error(400, 45, f"Machine {wanted.get('machine')} is not known")
        if wanted.get("language") not in MACHINES[0]["supported_languages"]:
            return error(400, 46, f"Language {wanted.get('language')} is not supported")
        batch = wanted.get("batch-exec")
        if isinstance(batch, str) and not self._is_open_batch(batch):
            return error(400, 52, f"There is no open batch {batch}")
        job = self.backlog.accept(work_of(wanted))
        return JSONResponse({"job": job.id})

    def _is_open_batch(self, first: str) -> bool:
        jobs = self.backlog.jobs.values()
        ended = any(j.request.get("batch-end") and j.request["batch-exec"] == first for j in jobs)
        head = self.backlog.jobs.get(first)
        return head is not None and "batch-exec" in head.request and not ended

    async def _jobs(self, request: Request) -> Response:
        late = request.state.fault is Fault.LISTED_LATE
        age = timedelta(seconds=self.weather.listed_after_seconds if late else 0.0)
        wanted = request.query_params.get("name", "")
        found = [
            told(job)
            for job in self.backlog.jobs.values()
            if job.created_at <= self.weather.now() - age and job.handle.startswith(wanted)
        ]
        return JSONResponse([{k: v for k, v in one.items() if k != "results"} for one in found])

    async def _job(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, 50, "There is no such job")
        fault = request.state.fault
        answer = told(job, job.before if fault is Fault.STEP_BACK else job.state)
        if fault is Fault.UNKNOWN_WORD:
            answer["status"] = UNKNOWN_WORD
        if request.query_params.get("websocket") == "true" and not job.state.is_final:
            answer["websocket"] = self._sockets.ticket_for(job)
        return JSONResponse(answer)

    async def _cancel(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, 50, "There is no such job")
        if not self.backlog.cancel(job) and job.state is not RemoteState.CANCELLED:
            return error(400, 51, f"The job is {job.state.value} already")
        return JSONResponse({"job": job.id, "status": "canceling"})

    async def _calendar(self, request: Request) -> Response:
        start, end = (request.query_params[key] for key in ("start", "end"))
        events = [
            e for e in self.calendar if e["end-date"] >= start and e["start-date"][:10] <= end
        ]
        return JSONResponse(events)


def _names() -> list[str]:
    return [machine["name"] for machine in MACHINES]


def _guarded(accounts: Accounts, handler: Handler) -> Handler:
    """Only for who has a token that is still good."""

    async def guarded(request: Request) -> Response:
        known = accounts.knows(request)
        return await handler(request) if known else refusal(Fault.TOKEN_EXPIRED)

    return guarded


def refusal(fault: Fault) -> Response:
    match fault:
        case Fault.THROTTLED:
            return error(429, 90, "Too many requests")
        case Fault.TOKEN_EXPIRED:
            return error(401, 12, "The token has expired")
        case _:
            return error(500, 99, "Internal error")
