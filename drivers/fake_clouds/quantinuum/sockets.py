"""Jobs told of by websocket, to whoever has a token for one."""

from __future__ import annotations

import asyncio
import json
import secrets

from starlette.websockets import WebSocket, WebSocketDisconnect

from qpuflow.drivers.fake_clouds.jobs import Backlog, Job
from qpuflow.drivers.fake_clouds.quantinuum.jobs import told
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

FAULTS = (Fault.SOCKET_DROPPED, Fault.SOCKET_SILENT)
SILENT_SECONDS = 600.0
POLICY_VIOLATION = 1008


class Sockets:
    """`serve` is the endpoint. A token is good for one connection."""

    def __init__(self, weather: Weather, backlog: Backlog) -> None:
        self._weather = weather
        self._backlog = backlog
        self._tokens: dict[str, Job] = {}

    def ticket_for(self, job: Job) -> dict[str, str]:
        token = secrets.token_urlsafe(16)
        self._tokens[token] = job
        return {"task_token": token, "executionArn": f"arn:fake:execution:{job.id}"}

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            wanted = json.loads(await socket.receive_text())
            job = self._tokens.pop(wanted.get("task_token", ""), None)
            if job is None or wanted.get("action") != "OpenConnection":
                await socket.close(POLICY_VIOLATION)
                return
            await self._tell(socket, job)
        except WebSocketDisconnect:
            return

    async def _tell(self, socket: WebSocket, job: Job) -> None:
        fault = self._weather.strikes("socket", FAULTS)
        if fault is Fault.SOCKET_SILENT:
            await asyncio.wait_for(socket.receive(), SILENT_SECONDS)
            return
        if fault is Fault.SOCKET_DROPPED:
            await socket.close(1011)
            return
        while not job.state.is_final:
            await job.changed.wait()
            await socket.send_text(json.dumps(told(job)))
        await socket.close()
