"""Quantinuum's REST API. The one place that sees credentials.

Not by `QuantinuumAPI`: it blocks, its waits end with a dropped websocket, and importing it patches
asyncio everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import stamina

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.drivers import http
from qpuflow.drivers.quantinuum.account import Account, words
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings
from qpuflow.drivers.verdicts import Verdict
from qpuflow.drivers.waiting import RateLimit

READ_ATTEMPTS = 5
READ_TIMEOUT_SECONDS = 60.0

SUBMISSION_VERDICTS: Mapping[int, Verdict] = {
    **http.BY_STATUS,
    404: Verdict.REJECTED,  # no such machine
    409: Verdict.REFUSED,
}


class Api:
    """One account. Raises `qpuflow.domain.errors` only."""

    def __init__(self, name: str, settings: QuantinuumSettings, secrets: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._client = httpx.AsyncClient(timeout=http.TIMEOUT)
        self._account = Account(name, settings, secrets, self._client)
        # Quantinuum does not publish a limit; this is far below what vendors that do publish.
        self._questions = RateLimit(per_second=20, burst=40)

    async def submit(self, body: Mapping[str, Any]) -> str:
        """The job's id. Called once: what became of it after an error is for `find` to say."""
        answer = await self._once(
            "POST",
            f"{self._settings.url}job",
            submitting=True,
            verdicts=SUBMISSION_VERDICTS,
            content=json.dumps(body),
        )
        return answer.json()["job"]

    async def read(self, path: str, **params: str) -> Any:
        """Repeated while it may pass."""
        return await self._repeated("GET", f"{self._settings.url}{path}", params=params)

    async def calendar(self, start: str, end: str) -> Any:
        params = {"mode": "user", "start": start, "end": end}
        return await self._repeated("GET", self._settings.calendar_url, params=params)

    async def ask(self, path: str, **params: str) -> Any:
        """Once; for who repeats it themselves."""
        await self._questions.turn()
        return read_json(await self._once("GET", f"{self._settings.url}{path}", params=params))

    async def post(self, path: str) -> None:
        """What may be done twice. Repeated while it may pass."""
        await self._repeated("POST", f"{self._settings.url}{path}")

    async def close(self) -> None:
        await self._client.aclose()

    async def _repeated(self, method: str, url: str, **arguments: Any) -> Any:
        async for attempt in stamina.retry_context(
            on=http.may_pass, attempts=READ_ATTEMPTS, timeout=READ_TIMEOUT_SECONDS
        ):
            with attempt:
                await self._questions.turn()
                return read_json(await self._once(method, url, **arguments))
        raise AssertionError("stamina ends with a result or an error")

    async def _once(
        self, method: str, url: str, *, submitting: bool = False, **arguments: Any
    ) -> httpx.Response:
        try:
            token = await self._account.token()
        except Unavailable as error:
            # Before anything is sent: whatever goes wrong here, no job was submitted.
            raise http.not_sent(error, submitting=submitting) from error
        except (OperatorNeeded, OSError, ValueError, LookupError, TypeError) as error:
            unusable = Unavailable(f"No login: {error!r}", where=self._name)
            raise http.not_sent(unusable, submitting=submitting) from error
        try:
            return await http.answer(
                self._client,
                method,
                url,
                where=self._name,
                words=words,
                veil=self._account.veil,
                submitting=submitting,
                headers={"Authorization": token},
                **arguments,
            )
        except Unavailable as error:
            if "HTTP 401" in error.what:
                self._account.expire()
            raise


def read_json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Unavailable(f"The answer is not whole: {error}") from error
