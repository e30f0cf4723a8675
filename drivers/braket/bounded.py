"""Answers of Amazon's that have no end, which botocore would read until memory has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qpuflow.drivers.http import MOST_BYTES


def bound(client: Any) -> None:
    """Nothing that this client of boto3 is answered is read beyond `MOST_BYTES`."""
    send: Callable[[Any], Any] = client._endpoint.http_session.send  # noqa: SLF001  no public place is as early

    def sent(request: Any, **_: Any) -> Any:
        request.stream_output = True  # else all of it is read in there
        response = send(request)
        _check(response.raw, int(response.headers.get("Content-Length", 0)))
        response.raw = _Bounded(response.raw)
        return response

    client.meta.events.register("before-send", sent)


class _Bounded:
    """What botocore calls the raw response, of urllib3."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self) -> Iterator[bytes]:
        size = 0
        for piece in self._raw.stream():
            size += len(piece)
            _check(self._raw, size)
            yield piece

    def read(self, amount: int | None = None) -> bytes:
        if amount is not None:
            return self._raw.read(amount)
        content = self._raw.read(MOST_BYTES + 1)
        _check(self._raw, len(content))
        return content


def _check(raw: Any, size: int) -> None:
    from botocore.exceptions import HTTPClientError

    if size > MOST_BYTES:
        raw.close()  # the connection, too: what is left of the answer is not read
        raise HTTPClientError(error=f"an answer of more than {MOST_BYTES} bytes")
