"""What an HTTP answer, or none, says of what was submitted."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from qpuflow.domain.errors import InputError, NotFound, OutcomeUnknown, Refused, Unavailable
from qpuflow.drivers import http
from qpuflow.drivers.veil import Veil


async def asked(outcome: int | Exception, *, submitting: bool, **headers: str) -> Any:
    def transport(_: httpx.Request) -> httpx.Response:
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(outcome, headers=headers, text="their words")

    async with httpx.AsyncClient(transport=httpx.MockTransport(transport)) as client:
        return await http.answer(
            client,
            "POST",
            "http://cloud/jobs",
            where="my-qpu",
            words=lambda response: response.text,
            veil=Veil(["their secret"]),
            submitting=submitting,
        )


@pytest.mark.parametrize(
    ("outcome", "submitted", "read"),
    [
        (400, InputError, InputError),
        (422, InputError, InputError),
        (401, Refused, Unavailable),
        (403, Refused, Unavailable),
        (404, Refused, NotFound),
        (429, Refused, Unavailable),
        (500, OutcomeUnknown, Unavailable),
        (502, OutcomeUnknown, Unavailable),
        (504, OutcomeUnknown, Unavailable),
        (302, OutcomeUnknown, Unavailable),
        (httpx.ConnectError("refused"), Refused, Unavailable),
        (httpx.ConnectTimeout("slow"), Refused, Unavailable),
        (httpx.ReadTimeout("silent"), OutcomeUnknown, Unavailable),
        (httpx.WriteError("broken"), OutcomeUnknown, Unavailable),
        (httpx.RemoteProtocolError("half"), OutcomeUnknown, Unavailable),
    ],
    ids=str,
)
async def test_an_error_is_certain_or_it_is_unknown(
    outcome: int | Exception, submitted: type[Exception], read: type[Exception]
) -> None:
    for submitting, kind in ((True, submitted), (False, read)):
        with pytest.raises(kind) as raised:
            await asked(outcome, submitting=submitting)
        assert type(raised.value) is kind
        assert "my-qpu" in str(raised.value)


async def test_their_words_and_their_pause_are_passed_on() -> None:
    with pytest.raises(Refused, match="their words") as raised:
        await asked(429, submitting=True, **{"Retry-After": "2.5"})
    assert raised.value.retry_after_seconds == 2.5


@pytest.mark.parametrize("is_packed", [False, True])
async def test_an_answer_of_too_many_bytes_is_not_read(
    monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 10_000)
    long = b" " * 10_001
    packed = {"content": gzip.compress(long), "headers": {"Content-Encoding": "gzip"}}
    given: dict[str, Any] = packed if is_packed else {"content": long}

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, **given))
    ) as client:
        for submitting, kind in ((True, OutcomeUnknown), (False, Unavailable)):
            with pytest.raises(kind, match="bytes"):
                await http.answer(
                    *(client, "GET", "http://cloud/result"),
                    where="my-qpu",
                    words=lambda response: response.text,
                    veil=Veil([]),
                    submitting=submitting,
                )


async def test_an_answer_that_is_packed_is_unpacked_once() -> None:
    packed: dict[str, Any] = {
        "content": gzip.compress(b"[1, 2]"),
        "headers": {"Content-Encoding": "gzip"},
    }
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, **packed))
    ) as client:
        told = await http.answer(
            *(client, "GET", "http://cloud/result"),
            where="my-qpu",
            words=lambda response: response.text,
            veil=Veil([]),
        )
    assert told.json() == [1, 2]


def test_a_date_is_meant_by_the_vendors_clock() -> None:
    theirs = datetime.now(UTC) + timedelta(hours=3)
    due = theirs + timedelta(seconds=30)
    headers = {"Date": format_datetime(theirs, usegmt=True)}
    headers["Retry-After"] = format_datetime(due, usegmt=True)
    assert http.retry_after_seconds(headers) == 30


def test_a_pause_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (http.retry_after_seconds({"Retry-After": date}) or 0) <= 30
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30), usegmt=True)
    assert http.retry_after_seconds({"Retry-After": past}) == 0
    assert http.retry_after_seconds({"Retry-After": "soon"}) is None
    assert http.retry_after_seconds({}) is None
