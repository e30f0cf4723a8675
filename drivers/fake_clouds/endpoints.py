"""Endpoints that the weather passes through.

Faults of the transport are made here; a handler finds its own in ``request.state.fault``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from qpuflow.drivers.fake_clouds.serving import break_off
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

Handler = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[Fault], Response]
"""The vendor's own words for a fault that the transport knows."""

_F = Fault
READ = (_F.SLOW, _F.THROTTLED, _F.BROKEN_BEFORE, _F.REPLY_LOST, _F.TOKEN_EXPIRED, _F.ECHOED)
WRITE = (*READ, _F.BROKEN_AFTER, _F.DELIVERED_TWICE, _F.OFFLINE)
RESULT = (*READ, _F.TRUNCATED, _F.OVERSIZED)
REFUSED = (_F.THROTTLED, _F.BROKEN_BEFORE, _F.TOKEN_EXPIRED)


ENDLESS_BYTES = 2**36
"""Announced, and sent to whoever takes them."""


class Endpoints:
    """Makes the routes of one cloud."""

    def __init__(self, weather: Weather, refusal: Refusal) -> None:
        self._weather = weather
        self._refusal = refusal

    def route(
        self,
        operation: str,
        method: str,
        path: str,
        handler: Handler,
        faults: Sequence[Fault] = READ,
    ) -> Route:
        """`operation` is the name by which `Weather.next` knows it."""

        async def in_this_weather(request: Request) -> Response:
            response = await self._answer(operation, request, handler, faults)
            response.headers["Date"] = format_datetime(self._weather.now(), usegmt=True)
            return response

        return Route(path, in_this_weather, methods=[method], name=operation)

    async def _answer(
        self, operation: str, request: Request, handler: Handler, faults: Sequence[Fault]
    ) -> Response:
        await request.body()  # read once, kept for whoever asks again
        fault = self._weather.strikes(operation, faults)
        request.state.fault = fault
        if fault is _F.ECHOED:
            return await _echo(request)
        if fault is not None and fault in REFUSED:
            return self._refused(fault)
        if fault is _F.SLOW:
            await asyncio.sleep(self._weather.slow_seconds)
        response = await handler(request)
        if fault is _F.DELIVERED_TWICE:
            response = await handler(request)
        if fault is _F.BROKEN_AFTER:
            return self._refusal(fault)
        if fault is _F.REPLY_LOST:
            break_off(request.scope)
        if fault is _F.TRUNCATED:
            return _half(response)
        return _endless(request, response) if fault is _F.OVERSIZED else response

    def _refused(self, fault: Fault) -> Response:
        response = self._refusal(fault)
        if fault is _F.THROTTLED:
            response.headers["Retry-After"] = f"{self._weather.retry_after_seconds:g}"
        return response


async def _echo(request: Request) -> Response:
    """As a proxy's page for debugging."""
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    body = (await request.body()).decode(errors="replace")
    return PlainTextResponse(f"Bad gateway\n{headers}\n\n{body}", 502)


def _half(response: Response) -> Response:
    """The length of all of it, and half of it: then the server closes the connection."""
    body = bytes(response.body)
    headers = {**response.headers, "content-length": str(len(body))}
    return Response(body[: len(body) // 2], response.status_code, headers)


def _endless(request: Request, response: Response) -> Response:
    """All of it, and then spaces, which no reader of JSON minds."""

    async def content() -> AsyncIterator[bytes]:
        yield bytes(response.body)
        left = ENDLESS_BYTES - len(response.body)
        while left > 0 and not await request.is_disconnected():
            yield b" " * min(left, 2**20)
            left -= 2**20

    headers = {**response.headers, "content-length": str(ENDLESS_BYTES)}
    return StreamingResponse(content(), response.status_code, headers)
