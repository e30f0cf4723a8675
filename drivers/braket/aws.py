"""Amazon's APIs by boto3, from an event loop. The one place that sees credentials."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import datetime
from functools import cached_property
from typing import Any

import stamina

from qpuflow.domain.errors import NotFound, Refused, Unavailable
from qpuflow.drivers.braket.bounded import bound
from qpuflow.drivers.braket.errors import classified
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.veil import Veil
from qpuflow.drivers.waiting import RateLimit

READ_ATTEMPTS = 5
READ_TIMEOUT_SECONDS = 60.0
"""Of all attempts together: longer than Amazon throttles anybody who asks at the rates below."""

CREATIONS = (20.0, 40)
OTHERS = (100.0, 140)
"""Per second and at once. Amazon's default quotas are 20/s with a burst of 40 for
CreateQuantumTask and 140/s for the rest, of an account: a part of them is left to others."""


class Aws:
    """Braket and S3 for one device. Raises `qpuflow.domain.errors` only."""

    def __init__(self, name: str, settings: BraketSettings, secrets: Mapping[str, str]) -> None:
        self._name = name
        self._settings = settings
        self._secrets = dict(secrets)
        self._veil = Veil(secret for key, secret in secrets.items() if key != "profile")
        self._credentials: Any = None
        self._importing = threading.Lock()
        self.creations = RateLimit(*CREATIONS)
        self.others = RateLimit(*OTHERS)

    async def create_task(self, token: str, shots: int, folder: str, **rest: Any) -> str:
        """The ARN. Called once for each token on its own accord: Amazon makes no second task of
        the same token, but whether to call again is for the caller to decide."""
        await self.creations.turn()
        answer = await self._call(
            "braket",
            "create_quantum_task",
            clientToken=token,
            deviceArn=self._settings.device,
            shots=shots,
            outputS3Bucket=self._settings.bucket,
            outputS3KeyPrefix=folder,
            submitting=True,
            **rest,
        )
        return answer["quantumTaskArn"]

    async def tasks(self, since: datetime) -> AsyncIterator[dict[str, Any]]:
        """Summaries, with tags, of the device's tasks created since then."""
        filters = [
            {"name": "deviceArn", "operator": "EQUAL", "values": [self._settings.device]},
            {"name": "createdAt", "operator": "GTE", "values": [since.isoformat()]},
        ]
        page: dict[str, Any] = {}
        while True:
            answer = await self.read(
                "search_quantum_tasks", filters=filters, maxResults=100, **page
            )
            for summary in answer["quantumTasks"]:
                yield summary
            if not answer.get("nextToken"):
                return
            page["nextToken"] = answer["nextToken"]

    async def read(self, operation: str, service: str = "braket", **arguments: Any) -> Any:
        """Repeated while it may pass."""
        async for attempt in stamina.retry_context(
            on=_pause, attempts=READ_ATTEMPTS, timeout=READ_TIMEOUT_SECONDS
        ):
            with attempt:
                return await self.ask(operation, service, **arguments)
        raise AssertionError("stamina ends with a result or an error")

    async def ask(self, operation: str, service: str = "braket", **arguments: Any) -> Any:
        """Once; for who repeats it themselves."""
        await self.others.turn()
        return await self._call(service, operation, **arguments)

    async def put(self, key: str, content: bytes) -> None:
        await self.read("put_object", "s3", Bucket=self._settings.bucket, Key=key, Body=content)

    async def get(self, key: str) -> tuple[bytes, datetime] | None:
        """The file, and when it was written by Amazon's clock; None where there is none."""
        try:
            answer = await self.read("get_object", "s3", Bucket=self._settings.bucket, Key=key)
        except NotFound:
            return None
        return answer["Body"], answer["LastModified"]

    async def _call(
        self, service: str, operation: str, *, submitting: bool = False, **arguments: Any
    ) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        def call() -> Any:
            client = self._clients[service]
            self._veil_found()
            answer = getattr(client, operation)(**arguments)
            if "Body" in answer:
                with closing(answer["Body"]) as body:  # itself a context of a raw stream
                    answer["Body"] = body.read()
            return answer

        try:
            return await asyncio.to_thread(call)
        except (BotoCoreError, ClientError) as error:
            raise classified(error, self._name, self._veil, submitting=submitting) from None

    def _veil_found(self) -> None:
        """A role's are others every hour: boto3 renews them here, if it is time."""
        if self._credentials is not None:
            found = self._credentials.get_frozen_credentials()
            with self._importing:
                for secret in (found.access_key, found.secret_key, found.token):
                    self._veil.add(secret)

    @property
    def _clients(self) -> Mapping[str, Any]:
        with self._importing:
            return self._made_clients

    @cached_property
    def _made_clients(self) -> Mapping[str, Any]:
        from botocore.config import Config

        session = self._session()
        self._credentials = session.get_credentials()
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
        url = self._settings.endpoint_url
        clients = {
            service: session.client(service, config=once, endpoint_url=url)
            for service in ("braket", "s3")
        }
        for client in clients.values():
            bound(client)
        return clients

    def _session(self) -> Any:
        """Keys, else a profile, else what boto3 finds (environment, role of the machine)."""
        import boto3

        secrets = self._secrets
        return boto3.Session(
            aws_access_key_id=secrets.get("access_key_id"),
            aws_secret_access_key=secrets.get("secret_access_key"),
            aws_session_token=secrets.get("session_token"),
            profile_name=secrets.get("profile"),
            region_name=self._settings.device_region,
        )


def _pause(error: Exception) -> bool | float:
    """Whether to ask again: at the time that Amazon named, else when stamina thinks fit."""
    if not isinstance(error, Unavailable) or isinstance(error, Refused):
        return False
    return error.retry_after_seconds or True


def as_action(source: str) -> str:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "source": source, "inputs": None})
