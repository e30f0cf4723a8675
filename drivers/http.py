"""Vendors' APIs by httpx: one request, one answer, or an error that says what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from qpuflow.domain.errors import QpuflowError, Refused, Unavailable
from qpuflow.drivers.veil import Veil
from qpuflow.drivers.verdicts import Verdict, error_of

V = Verdict

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
"""Of all other exceptions (a read that timed out, a connection that broke) it may have been."""

BY_STATUS: Mapping[int, Verdict] = {
    401: V.DENIED,
    403: V.DENIED,
    404: V.MISSING,
    408: V.REFUSED,
    429: V.REFUSED,
}
"""Other 4xx are rejections; of 3xx and 5xx nobody knows."""

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
"""Seconds. Results of some MB take several; a host that is there accepts at once."""

MOST_LETTERS = 500
"""Of the vendor's words."""

MOST_BYTES = 256 * 2**20
"""Of one answer: some ten million shots. What is longer is not read to its end, for the process
that reads it has other jobs, too."""

Words = Callable[[httpx.Response], str]
"""The vendor's own words in an answer that is an error."""


async def answer(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    where: str,
    words: Words,
    veil: Veil,
    submitting: bool = False,
    verdicts: Mapping[int, Verdict] = BY_STATUS,
    **arguments: Any,
) -> httpx.Response:
    """Asked once. Raises `qpuflow.domain.errors` only, whose messages are veiled."""
    try:
        async with client.stream(method, url, **arguments) as streamed:
            response = await _whole(streamed)
    except (httpx.HTTPError, _Oversized) as error:
        verdict = V.REFUSED if isinstance(error, NEVER_SENT) else V.UNKNOWN
        what = veil(f"No answer to {method} {httpx.URL(url).path}: {error!r}")
        raise error_of(verdict, what, where=where, submitting=submitting) from error
    if response.is_success:
        return response
    told = veil(words(response))[:MOST_LETTERS]  # in this order: half a secret is one, too
    raise _error(response, where, told, verdicts, submitting=submitting)


class _Oversized(Exception):
    """An answer of more bytes than anybody asked for."""


async def _whole(streamed: httpx.Response) -> httpx.Response:
    """Unpacked, so that a small answer cannot be a large one in disguise."""
    content = bytearray()
    announced = streamed.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > MOST_BYTES:
        raise _Oversized(f"{announced} bytes are announced")
    async for piece in streamed.aiter_bytes():
        content += piece
        if len(content) > MOST_BYTES:
            raise _Oversized(f"It has more than {MOST_BYTES} bytes")
    headers = [
        (name, value)
        for name, value in streamed.headers.multi_items()
        if name not in ("content-encoding", "content-length", "transfer-encoding")
    ]
    return httpx.Response(
        streamed.status_code, headers=headers, content=bytes(content), request=streamed.request
    )


def _error(
    response: httpx.Response,
    where: str,
    told: str,
    verdicts: Mapping[int, Verdict],
    *,
    submitting: bool,
) -> QpuflowError:
    status = response.status_code
    verdict = verdicts.get(status, V.REJECTED if 400 <= status < 500 else V.UNKNOWN)
    return error_of(
        verdict,
        f"HTTP {status}: {told}",
        where=where,
        submitting=submitting,
        remedy="Check the credentials of its block." if verdict is V.DENIED else None,
        retry_after_seconds=retry_after_seconds(response.headers),
    )


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Of ``Retry-After``, which is a number or a date (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        due = parsedate_to_datetime(value)
        return max(0.0, (due - server_time(headers)).total_seconds())
    except (ValueError, TypeError):
        return None


def server_time(headers: Mapping[str, str]) -> datetime:
    """What the vendor's clock said when it answered; ours where it did not say."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)


def may_pass(error: Exception) -> bool | float:
    """For stamina: whether to ask again, at the time that the vendor named, if it did."""
    if not isinstance(error, Unavailable) or isinstance(error, Refused):
        return False
    return error.retry_after_seconds or True


def not_sent(error: Unavailable, *, submitting: bool) -> Unavailable:
    """What failed on the way to the request is, for who wanted to submit, a refusal."""
    if not submitting:
        return error
    return Refused(
        error.what,
        where=error.where,
        remedy=error.remedy,
        retry_after_seconds=error.retry_after_seconds,
    )
