"""Payloads: addressed by content, in a file when large, whole or reported."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.payload_store import COLLECT_AFTER_SECONDS, INLINE_BYTES, PayloadStore, Stored
from tests.ledger.entities import rows, scalar

LARGE = os.urandom(1000) * 1001


async def kept(ledger: Ledger, content: bytes) -> Stored:
    return await ledger.payloads.keep(content, "application/octet-stream")


async def record(ledger: Ledger, *payloads: Stored) -> None:
    async with ledger.begin() as session:
        await ledger.payloads.record(session, payloads)


async def read(ledger: Ledger, key: str) -> bytes:
    async with ledger.begin() as session:
        return (await ledger.payloads.read(session, [key]))[key]


def file_of(stored: Stored) -> Path:
    assert stored.url is not None
    return Path(stored.url.removeprefix("file://"))


async def test_up_to_a_megabyte_lives_in_the_database(ledger: Ledger) -> None:
    stored = await kept(ledger, b"x" * INLINE_BYTES)
    assert stored.url is None
    await record(ledger, stored)
    assert await read(ledger, stored.hash) == b"x" * INLINE_BYTES


async def test_more_than_a_megabyte_lives_in_a_file_named_by_its_content(ledger: Ledger) -> None:
    stored = await kept(ledger, LARGE)
    assert stored.body is None
    assert file_of(stored).name == stored.hash == hashlib.sha256(LARGE).hexdigest()
    await record(ledger, stored)
    assert await scalar(ledger, "SELECT body IS NULL FROM payloads")
    assert await read(ledger, stored.hash) == LARGE


async def test_the_file_is_whole_before_anything_names_it(ledger: Ledger) -> None:
    stored = await kept(ledger, LARGE)
    assert file_of(stored).read_bytes() == LARGE
    assert await scalar(ledger, "SELECT count(*) FROM payloads") == 0
    assert [file.name for file in file_of(stored).parent.iterdir()] == [stored.hash]


async def test_what_cannot_be_written_now_may_be_kept_later(ledger: Ledger) -> None:
    full = PayloadStore("file:///dev/full")
    with pytest.raises(Unavailable, match=r"1,001,000 bytes cannot be kept: .*Not a directory"):
        await full.keep(LARGE, "application/octet-stream")
    assert (await full.keep(b"small", "application/octet-stream")).body == b"small"


async def test_the_same_content_kept_by_many_at_once_is_one_file_and_one_row(
    ledger: Ledger,
) -> None:
    stored = await asyncio.gather(*(kept(ledger, LARGE) for _ in range(8)))
    await asyncio.gather(*(record(ledger, one) for one in stored))
    assert await scalar(ledger, "SELECT count(*) FROM payloads") == 1
    assert [file.name for file in file_of(stored[0]).parent.iterdir()] == [stored[0].hash]


@pytest.mark.parametrize("damage", [b"", LARGE[:-1], b"?" + LARGE[1:]])
async def test_a_damaged_file_is_noticed(ledger: Ledger, damage: bytes) -> None:
    stored = await kept(ledger, LARGE)
    await record(ledger, stored)
    file_of(stored).write_bytes(damage)
    with pytest.raises(OperatorNeeded, match="damaged"):
        await read(ledger, stored.hash)


async def test_a_missing_file_is_reported_and_submitting_the_content_again_mends_it(
    ledger: Ledger,
) -> None:
    stored = await kept(ledger, LARGE)
    await record(ledger, stored)
    file_of(stored).unlink()
    with pytest.raises(OperatorNeeded, match="is gone"):
        await read(ledger, stored.hash)
    await record(ledger, await kept(ledger, LARGE))
    assert await read(ledger, stored.hash) == LARGE


async def test_a_file_that_was_collected_since_is_not_named(ledger: Ledger) -> None:
    stored = await kept(ledger, LARGE)
    file_of(stored).unlink()
    with pytest.raises(Unavailable, match="collected"):
        await record(ledger, stored)
    assert await scalar(ledger, "SELECT count(*) FROM payloads") == 0


async def test_keeping_an_old_file_makes_it_young_again(ledger: Ledger) -> None:
    stored = await kept(ledger, LARGE)
    long_ago = time.time() - 2 * COLLECT_AFTER_SECONDS
    os.utime(file_of(stored), (long_ago, long_ago))
    await kept(ledger, LARGE)
    assert time.time() - file_of(stored).stat().st_mtime < COLLECT_AFTER_SECONDS / 2


async def test_naming_an_old_payload_makes_it_young_again(ledger: Ledger) -> None:
    stored = await kept(ledger, b"small")
    await record(ledger, stored)
    await rows(ledger, "UPDATE payloads SET created_at = now() - interval '1 day' RETURNING 1")
    await record(ledger, stored)
    assert await scalar(ledger, "SELECT created_at > now() - interval '1 minute' FROM payloads")
