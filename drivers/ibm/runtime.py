"""IBM's REST API. The one place that sees credentials.

Not by `QiskitRuntimeService`: its session repeats a POST after any 5xx, so that a job whose reply
was lost is submitted twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import stamina

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.drivers import http
from qpuflow.drivers.ibm.settings import IbmSettings
from qpuflow.drivers.veil import Veil
from qpuflow.drivers.verdicts import Verdict
from qpuflow.drivers.waiting import RateLimit

API_VERSION = "2026-04-15"
GRANT = "urn:ibm:params:oauth:grant-type:apikey"

READ_ATTEMPTS = 5
READ_TIMEOUT_SECONDS = 60.0

EARLIER_SECONDS = 60.0
"""A token is renewed so long before it expires, for requests take time."""

SUBMISSION_VERDICTS: Mapping[int, Verdict] = {
    **http.BY_STATUS,
    404: Verdict.REJECTED,  # no such backend in the instance
    409: Verdict.REFUSED,  # the session or the instance is closed or out of time
    402: Verdict.REFUSED,
}
"""https://quantum.cloud.ibm.com/docs/api/qiskit-runtime-rest/tags/jobs lists 400 to 409 and 5xx."""


class Runtime:
    """One instance. Raises `qpuflow.domain.errors` only."""

    def __init__(self, name: str, settings: IbmSettings, secrets: Mapping[str, str]) -> None:
        if not secrets.get("token"):
            raise OperatorNeeded(
                "There is no API key", where=name, remedy="Put one into the block's credentials."
            )
        self._name = name
        self._settings = settings
        self._key = secrets["token"]
        self._veil = Veil([self._key])
        self._client = httpx.AsyncClient(timeout=http.TIMEOUT)
        self._bearer, self._expires = "", float("-inf")
        self._one_at_a_time = asyncio.Lock()
        self._submissions = RateLimit(settings.submissions_per_minute / 60, burst=5)
        # IBM does not publish a limit for questions; peers stay below this.
        self._questions = RateLimit(per_second=20, burst=40)

    async def submit(self, params: str, tag: str, most_seconds: float | None) -> str:
        """The job's id. Called once: what became of it after an error is for `find` to say."""
        await self._submissions.turn()
        # IBM counts in whole seconds.
        more = f', "cost": {max(1, int(most_seconds))}' if most_seconds else ""
        if self._settings.session_id is not None:
            more += f', "session_id": {json.dumps(self._settings.session_id)}'
        body = (
            f'{{"program_id": "sampler", "backend": "{self._settings.backend}", '
            f'"tags": ["{tag}"]{more}, "params": {params}}}'
        )
        answer = await self._once(
            "POST",
            "/jobs",
            submitting=True,
            verdicts=SUBMISSION_VERDICTS,
            content=body,
            headers={"Content-Type": "application/json"},
        )
        return answer.json()["id"]

    async def read(self, path: str, **params: str) -> httpx.Response:
        """Repeated while it may pass."""
        async for attempt in stamina.retry_context(
            on=http.may_pass, attempts=READ_ATTEMPTS, timeout=READ_TIMEOUT_SECONDS
        ):
            with attempt:
                return await self.ask(path, **params)
        raise AssertionError("stamina ends with a result or an error")

    async def ask(self, path: str, **params: str) -> httpx.Response:
        """Once; for who repeats it themselves."""
        await self._questions.turn()
        return await self._once("GET", path, params=params)

    async def post(self, path: str) -> None:
        """What may be done twice. Repeated while it may pass."""
        async for attempt in stamina.retry_context(
            on=http.may_pass, attempts=READ_ATTEMPTS, timeout=READ_TIMEOUT_SECONDS
        ):
            with attempt:
                await self._once("POST", path)

    async def close(self) -> None:
        await self._client.aclose()

    async def _once(
        self, method: str, path: str, *, submitting: bool = False, **arguments: Any
    ) -> httpx.Response:
        headers = {**(await self._headers(submitting=submitting)), **arguments.pop("headers", {})}
        try:
            return await http.answer(
                self._client,
                method,
                f"{self._settings.url}{path}",
                where=self._name,
                words=_words,
                veil=self._veil,
                submitting=submitting,
                headers=headers,
                **arguments,
            )
        except Unavailable as error:
            if "HTTP 401" in error.what:
                self._expires = float("-inf")
            raise

    async def _headers(self, *, submitting: bool) -> dict[str, str]:
        async with self._one_at_a_time:
            if time.monotonic() > self._expires - EARLIER_SECONDS:
                await self._log_in(submitting=submitting)
        return {
            "Authorization": f"Bearer {self._bearer}",
            "Service-CRN": self._settings.instance or "",
            "IBM-API-Version": API_VERSION,
            "Accept": "application/json",
        }

    async def _log_in(self, *, submitting: bool) -> None:
        """Before anything is sent: whatever goes wrong here, no job was submitted."""
        verdicts = {**http.BY_STATUS, 400: Verdict.DENIED}
        try:
            response = await http.answer(
                self._client,
                "POST",
                f"{self._settings.iam_url}/identity/token",
                where=self._name,
                words=_words,
                veil=self._veil,
                verdicts=verdicts,
                data={"grant_type": GRANT, "apikey": self._key},
            )
        except Unavailable as error:
            raise http.not_sent(error, submitting=submitting) from error
        token = response.json()
        # By how long it is good, and not until when: clocks differ.
        self._expires = time.monotonic() + float(token["expires_in"])
        self._bearer = token["access_token"]
        self._veil.add(self._bearer)


def _words(response: httpx.Response) -> str:
    """IBM's own: ``{"errors": [{"code", "message", "solution"}]}``, or IAM's ``errorMessage``."""
    try:
        told = response.json()
    except ValueError:
        return response.text or response.reason_phrase
    errors = told.get("errors") or [{"message": told.get("errorMessage", str(told))}]
    return "; ".join(_sentence(error) for error in errors)


def _sentence(error: Mapping[str, Any]) -> str:
    parts = (error.get("code"), error.get("message"), error.get("solution"))
    return " ".join(str(part) for part in parts if part)
