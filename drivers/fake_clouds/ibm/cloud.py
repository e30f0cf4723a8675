"""IBM Quantum's REST API and its identity service, as far as clients of jobs use them.

Programs are run by Qiskit's own sampler on Aer, without noise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.fake_clouds.books import Books
from qpuflow.drivers.fake_clouds.endpoints import READ, RESULT, WRITE, Endpoints, Handler
from qpuflow.drivers.fake_clouds.ibm.sampling import sampled
from qpuflow.drivers.fake_clouds.jobs import Backlog, Job
from qpuflow.drivers.fake_clouds.json_web_tokens import json_web_token
from qpuflow.drivers.fake_clouds.weather import Fault, Weather
from qpuflow.drivers.ibm.local import facts_of

BACKEND = "fake_jakarta"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/fake:fake-instance::"

WORDS = {
    RemoteState.QUEUED: "Queued",
    RemoteState.RUNNING: "Running",
    RemoteState.COMPLETED: "Completed",
    RemoteState.FAILED: "Failed",
    RemoteState.CANCELLED: "Cancelled",
}
STATUS = (*READ, Fault.STEP_BACK, Fault.UNKNOWN_WORD, Fault.TRUNCATED, Fault.OFFLINE)
LIST = (*READ, Fault.LISTED_LATE)
TOKEN_SECONDS = 3600.0


class FakeIbm:
    """One instance with one backend. Any API key is good but ``expired`` and those `revoked`."""

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
        self.facts = facts_of(BACKEND)
        self._online = True
        self.token_seconds = TOKEN_SECONDS
        self.sessions: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, float] = {}
        self._revoked = {"expired"}
        self.app = Starlette(routes=self._routes())

    def _routes(self) -> Sequence[Any]:
        route = Endpoints(self.weather, refusal).route
        guarded = partial(_guarded, self)
        api, job = "/api/v1", "/api/v1/jobs/{id}"
        backend = f"{api}/backends/{{name}}"
        return [
            # Of clients some put one slash more, which IBM's servers do not mind.
            *(route("log_in", "POST", f"{p}/identity/token", self._log_in) for p in ("", "/")),
            route("backends", "GET", f"{api}/backends", guarded(self._backends)),
            route("configuration", "GET", f"{backend}/configuration", guarded(self._configuration)),
            route("properties", "GET", f"{backend}/properties", guarded(self._properties)),
            route("status", "GET", f"{backend}/status", guarded(self._status)),
            route("submit", "POST", f"{api}/jobs", guarded(self._submit), WRITE),
            route("jobs", "GET", f"{api}/jobs", guarded(self._jobs), LIST),
            route("job", "GET", job, guarded(self._job), STATUS),
            route("results", "GET", f"{job}/results", guarded(self._results), RESULT),
            route("metrics", "GET", f"{job}/metrics", guarded(self._metrics)),
            route("cancel", "POST", f"{job}/cancel", guarded(self._cancel), WRITE),
            route("open_session", "POST", f"{api}/sessions", guarded(self._open_session), WRITE),
            route("session", "GET", f"{api}/sessions/{{id}}", guarded(self._session)),
            route("change_session", "PATCH", f"{api}/sessions/{{id}}", guarded(self._session)),
            route("usage", "GET", f"{api}/instances/usage", guarded(self._usage)),
        ]

    async def _log_in(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        if self._revoked.intersection(form.get("apikey", ())):
            message = "Provided API key could not be found."
            return JSONResponse({"errorCode": "BXNIM0415E", "errorMessage": message}, 400)
        until = self.weather.now().timestamp() + self.token_seconds
        token = json_web_token(until)
        self._tokens[token] = until
        return JSONResponse(
            {"access_token": token, "expires_in": self.token_seconds, "expiration": int(until)}
        )

    @property
    def issued(self) -> list[str]:
        """Every token that it gave."""
        return list(self._tokens)

    def revoke(self, key: str) -> None:
        """From now on the key is not good any more, and no token that was given."""
        self._revoked.add(key)
        self._tokens = dict.fromkeys(self._tokens, 0.0)

    def knows(self, request: Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self._tokens.get(token, 0.0) > self.weather.now().timestamp()

    @property
    def online(self) -> bool:
        return self._online and not self.weather.is_offline

    @online.setter
    def online(self, value: bool) -> None:
        self._online = value

    async def _backends(self, _: Request) -> Response:
        status = {"name": "online" if self.online else "offline", "reason": "available"}
        one = {"name": BACKEND, "status": status, "qubits": 7, "queue_length": 0}
        return JSONResponse({"devices": [one]})

    async def _configuration(self, _: Request) -> Response:
        return JSONResponse({**self.facts.configuration, "backend_name": BACKEND})

    async def _properties(self, _: Request) -> Response:
        return JSONResponse({**self.facts.properties, "backend_name": BACKEND})

    async def _status(self, _: Request) -> Response:
        told = {"backend_version": "2.0.0", "length_queue": 0, "state": self.online}
        words = {"status": "active" if self.online else "internal", "message": "available"}
        return JSONResponse({**told, **words})

    async def _submit(self, request: Request) -> Response:
        wanted = await request.json()
        if wanted["backend"] != BACKEND:
            return error(404, 1216, f"Backend {wanted['backend']} is not in the instance")
        if not self.online:
            return error(409, 1219, "The backend is offline")
        session = wanted.get("session_id")
        if session is not None and not self.sessions.get(session, {}).get("accepting_jobs"):
            return error(409, 1221, f"Session {session} takes no more jobs")
        handle = (wanted.get("tags") or ["untagged"])[0]
        job = Job(handle, wanted, partial(sampled, json.dumps(wanted["params"])))
        self.backlog.accept(job)
        return JSONResponse({"id": job.id, "backend": BACKEND})

    async def _jobs(self, request: Request) -> Response:
        late = request.state.fault is Fault.LISTED_LATE
        age = timedelta(seconds=self.weather.listed_after_seconds if late else 0.0)
        tags = set(request.query_params.getlist("tags"))
        found = [
            told(job)
            for job in reversed(self.backlog.jobs.values())
            if job.created_at <= self.weather.now() - age
            and tags <= set(job.request.get("tags") or ())
        ]
        start, size = (
            int(request.query_params.get(k, d)) for k, d in (("offset", 0), ("limit", 200))
        )
        return JSONResponse({"jobs": found[start : start + size], "count": len(found)})

    async def _job(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, 1291, "Job not found")
        fault = request.state.fault
        state = job.before if fault is Fault.STEP_BACK else job.state
        word = "Defragmenting" if fault is Fault.UNKNOWN_WORD else WORDS[state]
        answer = {**told(job), "status": word, "state": {"status": word, "reason": job.error}}
        if request.query_params.get("exclude_params") != "true":
            answer["params"] = job.request["params"]
        return JSONResponse(answer)

    async def _results(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None or job.state is not RemoteState.COMPLETED:
            return Response(status_code=204)
        return Response(job.result, media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, 1291, "Job not found")
        ended, started = job.ended_at, job.started_at
        seconds = (ended - started).total_seconds() if ended and started else 0.0
        usage = {"qpu_charge_time_seconds": seconds, "status": "final" if ended else "pending"}
        stamps = {"created": _text(job.created_at), "running": _text(started)}
        return JSONResponse({"usage": usage, "timestamps": {**stamps, "finished": _text(ended)}})

    async def _cancel(self, request: Request) -> Response:
        job = self.backlog.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, 1291, "Job not found")
        if not self.backlog.cancel(job):
            return error(409, 1292, "The job is already in a final state")
        return Response(status_code=204)

    async def _open_session(self, request: Request) -> Response:
        wanted = await request.json()
        session = {
            "id": f"session-{len(self.sessions)}",
            "backend_name": BACKEND,
            "mode": wanted.get("mode", "dedicated"),
            "max_ttl": wanted.get("max_ttl") or 28_800,
            "active_ttl": wanted.get("max_ttl") or 28_800,
            "interactive_ttl": 60,
            "state": "open",
            "accepting_jobs": True,
            "started_at": _text(self.weather.now()),
            "activated_at": _text(self.weather.now()),
        }
        self.sessions[str(session["id"])] = session
        return JSONResponse(session)

    async def _session(self, request: Request) -> Response:
        """What it is and, of a PATCH, whether it takes more jobs."""
        session = self.sessions.get(request.path_params["id"])
        if session is None:
            return error(404, 1220, "Session not found")
        if request.method == "PATCH":
            session["accepting_jobs"] = (await request.json())["accepting_jobs"]
            session["state"] = "open" if session["accepting_jobs"] else "closed"
        return JSONResponse(session)

    async def _usage(self, _: Request) -> Response:
        return JSONResponse({"usage_consumed_seconds": 0, "instance_id": CRN, "plan_id": "fake"})


def _guarded(cloud: FakeIbm, handler: Handler) -> Handler:
    """Only for who has a token that is still good."""

    async def guarded(request: Request) -> Response:
        return await handler(request) if cloud.knows(request) else refusal(Fault.TOKEN_EXPIRED)

    return guarded


def told(job: Job) -> dict[str, Any]:
    word = WORDS[job.state]
    return {
        "id": job.id,
        "backend": BACKEND,
        "program": {"id": job.request["program_id"]},
        "tags": job.request.get("tags") or [],
        "created": _text(job.created_at),
        "status": word,
        "state": {"status": word, "reason": job.error},
        "private": False,
    }


def refusal(fault: Fault) -> Response:
    match fault:
        case Fault.THROTTLED:
            return error(429, 1234, "Too many requests")
        case Fault.TOKEN_EXPIRED:
            return error(401, 1200, "Token expired")
        case _:
            return error(500, 1100, "Internal error")


def error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}], "trace": "fake"}, status)


def _text(moment: datetime | None) -> str | None:
    return moment and moment.isoformat().replace("+00:00", "Z")
