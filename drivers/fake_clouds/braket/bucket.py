"""As much of S3 as Braket's clients use: whole objects, written, read and asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class _Object:
    content: bytes
    written_at: datetime

    @property
    def headers(self) -> dict[str, str]:
        digest = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        when = format_datetime(self.written_at, usegmt=True)
        return {"ETag": f'"{digest}"', "Last-Modified": when}


class Bucket:
    """Objects by bucket and key, joined by a slash."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._objects: dict[str, _Object] = {}

    def store(self, path: str, content: bytes) -> None:
        self._objects[path] = _Object(content, self._clock())

    async def put(self, request: Request) -> Response:
        body = await request.body()
        if "aws-chunked" in request.headers.get("content-encoding", ""):
            body = unchunked(body)
        self.store(_path(request), body)
        return Response(headers=self._objects[_path(request)].headers)

    async def get(self, request: Request) -> Response:
        found = self._objects.get(_path(request))
        if found is None:
            return _no_such_key()
        return Response(found.content, headers=found.headers)

    async def head(self, request: Request) -> Response:
        found = self._objects.get(_path(request))
        return Response(status_code=404) if found is None else Response(headers=found.headers)


def unchunked(body: bytes) -> bytes:
    """AWS's chunks, a line with the size in hexadecimal before each, up to one of size 0."""
    content = b""
    while True:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            return content
        content, body = content + rest[:size], rest[size + 2 :]


def _path(request: Request) -> str:
    return f"{request.path_params['bucket']}/{request.path_params['key']}"


def _no_such_key() -> Response:
    body = "<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>"
    return Response(f'<?xml version="1.0"?>{body}', 404, media_type="application/xml")
