"""Whether Prefect's server and workers do their work, asked so that the database must answer."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import httpx

from qpuflow.domain.errors import Unavailable

TIMEOUT_SECONDS = 5.0


class PrefectApi:
    def __init__(self, url: str) -> None:
        user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
        # One client for ever: making one reads every certificate of the system.
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT_SECONDS,
            auth=httpx.BasicAuth(user, password) if user else None,
            trust_env=False,
        )

    async def check_server(self) -> None:
        """Raise `Unavailable` unless the server answers from its database.

        Its own ``/health`` does not ask the database.
        """
        await self._post("/work_pools/filter", {"limit": 1})

    async def check_worker(self, pool: str, name: str, since: datetime) -> None:
        """Raise `Unavailable` unless the worker reported after `since` and is not silent now."""
        for worker in await self._post(f"/work_pools/{pool}/workers/filter", {"limit": 200}):
            heard = datetime.fromisoformat(worker["last_heartbeat_time"])
            if worker["name"] == name and worker["status"] == "ONLINE" and heard >= since:
                return
        raise Unavailable(f"Worker {name} has sent no heartbeat to its pool")

    async def _post(self, path: str, content: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            response = await self._client.post(path, json=content)
        except httpx.HTTPError as cause:
            reason = str(cause) or type(cause).__name__
            raise Unavailable(f"Prefect's server does not answer: {reason}") from cause
        if not response.is_success:
            raise Unavailable(
                f"Prefect's server answers {path} with {response.status_code}: {response.text:.200}"
            )
        return response.json()
