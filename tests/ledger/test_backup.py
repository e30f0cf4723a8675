"""Backup and restore: everything comes back, and nothing runs twice for it."""

from __future__ import annotations

import asyncio
import contextlib
import tarfile
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from qpuflow.deployments.stack import postgres
from qpuflow.domain.errors import Conflict, InputError, OperatorNeeded
from qpuflow.domain.job import Job, JobState
from qpuflow.domain.quota import QuotaExceeded, Scope
from qpuflow.ledger import (
    batches,
    carriers,
    database,
    forsaken,
    intents,
    leases,
    postgres_tools,
    quotas,
    reports,
)
from qpuflow.ledger.backup import Manifest, backup, restore
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.schema import IntentState
from tests.ledger import databases
from tests.ledger.account_book import OPERATOR, allowance, grant, require_in_order
from tests.ledger.entities import (
    ALICE,
    BOB,
    CARRIER,
    QPU,
    begin,
    complete,
    hand_over,
    job_of,
    register,
    rows,
    scalar,
    source_of,
    submit,
    take,
)
from tests.ledger.test_batches import UNCARRIED

LARGE = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; // ' + "x" * 1_100_000


class Installation:
    """Two databases and a folder."""

    def __init__(self, ledger_url: str, prefect_url: str, payloads: Path) -> None:
        self.ledger_url, self.prefect_url, self.payloads = ledger_url, prefect_url, payloads

    def open(self) -> contextlib.AbstractAsyncContextManager[Ledger]:
        return databases.opened(self.ledger_url, self.payloads)

    async def backup(self, file: Path) -> Manifest:
        return await backup(self.ledger_url, self.prefect_url, f"file://{self.payloads}", file)

    async def restore(self, file: Path, *, overwrite: bool = False) -> Manifest:
        return await restore(
            file,
            self.ledger_url,
            self.prefect_url,
            f"file://{self.payloads}",
            overwrite=overwrite,
        )


@pytest.fixture
async def old(ledger_url: str, fresh_database_url: str, tmp_path: Path) -> Installation:
    await databases.execute(fresh_database_url, "CREATE TABLE flow_run (name text)")
    await databases.execute(fresh_database_url, "INSERT INTO flow_run VALUES ('first')")
    installation = Installation(ledger_url, fresh_database_url, tmp_path / "old")
    async with installation.open() as ledger:
        await register(ledger)
    return installation


@pytest.fixture
async def new(
    postgres_cluster: postgres.Cluster, migrated: str, tmp_path: Path
) -> AsyncGenerator[Installation]:
    async with (
        databases.copy_of(postgres_cluster, migrated) as ledger_url,
        databases.copy_of(postgres_cluster, "template0") as prefect_url,
    ):
        yield Installation(ledger_url, prefect_url, tmp_path / "new")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar"


async def reap(ledger: Ledger) -> None:
    """As the reaper does with carriers that fell silent."""
    async with ledger.begin() as session:
        silent = await forsaken.silent(session, 30)
        for carriage in await carriers.live(session):
            if carriage.id in silent:
                await carriers.lose(session, CARRIER, carriage, "it fell silent", 5)


async def waiting(ledger: Ledger) -> Job:
    accepted = await submit(ledger, BOB)
    await begin(ledger, accepted.batch_id)
    (job,) = await take(ledger, accepted.batch_id)
    await hand_over(ledger, [job])
    return job


async def test_everything_comes_back_from_a_backup_taken_while_jobs_arrive(
    old: Installation, new: Installation, file: Path
) -> None:
    accepted: list[UUID] = []
    async with old.open() as ledger:
        done = await complete(ledger, source=LARGE)
        at_work = await waiting(ledger)
        before = [(await submit(ledger)).job_id for _ in range(3)]
        saved = asyncio.Event()

        async def keep_submitting() -> None:
            while not saved.is_set():
                accepted.append((await submit(ledger)).job_id)
                await asyncio.sleep(0)

        submitting = asyncio.create_task(keep_submitting())
        manifest = await old.backup(file)
        saved.set()
        await submitting
    assert accepted, "nothing arrived meanwhile"
    assert manifest.missing == ()

    await new.restore(file)
    async with new.open() as ledger:
        assert (await reports.read(ledger, ALICE, done.id)).state is JobState.COMPLETED
        assert await source_of(ledger, done.id) == LARGE
        assert await rows(ledger, "SELECT job_id FROM charges") == [(done.id,)]
        await reap(ledger)
        assert await scalar(ledger, UNCARRIED) == 0
        for job_id in before:
            assert not (await job_of(ledger, job_id)).state.is_final
            assert await source_of(ledger, job_id)
        async with ledger.begin() as session:
            asked_for = await batches.handed_over(session, at_work.batch_id)
            known = await intents.find(session, asked_for)
        assert known[at_work.id].remote_id == f"remote-{at_work.id}"
        ids = {row[0] for row in await rows(ledger, "SELECT id FROM jobs")}
        assert ids <= {done.id, at_work.id, *before, *accepted}
    names = await databases.execute(new.prefect_url, "SELECT name FROM flow_run")
    assert [row["name"] for row in names] == ["first"]


async def test_a_job_that_may_have_been_handed_over_since_is_asked_for_first(
    old: Installation, new: Installation, file: Path
) -> None:
    async with old.open() as ledger:
        accepted = await submit(ledger)
        await old.backup(file)
    await new.restore(file)
    async with new.open() as ledger:
        assert await take(ledger, accepted.batch_id) == []
        async with ledger.begin() as session:
            (job,) = await batches.handed_over(session, accepted.batch_id)
            handover = (await intents.find(session, [job]))[job.id]
        assert handover.state is IntentState.OPEN
        assert handover.token == intents.token_of(job)


async def test_a_simulation_in_our_own_process_just_stays_queued(
    old: Installation, new: Installation, file: Path
) -> None:
    async with old.open() as ledger:
        await register(ledger, outside_effects=False)
        accepted = await submit(ledger)
        await old.backup(file)
    await new.restore(file)
    async with new.open() as ledger:
        assert [job.id for job in await take(ledger, accepted.batch_id)] == [accepted.job_id]


async def test_the_account_book_comes_back_and_goes_on(old: Installation, file: Path) -> None:
    async with old.open() as ledger:
        await complete(ledger, ALICE)
        await grant(ledger, Scope("alice"), "10")
        await submit(ledger, ALICE, estimate_seconds=4.0)
        async with ledger.begin() as session:
            await quotas.request(session, ALICE, None, Decimal(5), "a paper")
        before = await allowance(ledger, Scope("alice"))
    await old.backup(file)
    async with old.open() as ledger:
        await grant(ledger, Scope("alice"), "1000")
    await old.restore(file, overwrite=True)
    async with old.open() as ledger:
        assert await allowance(ledger, Scope("alice")) == before
        with pytest.raises(QuotaExceeded, match="6 s left"):
            await submit(ledger, ALICE, estimate_seconds=7.0)
        async with ledger.begin() as session:
            (asked,) = await quotas.requests(session, ALICE)
            await quotas.approve(session, OPERATOR, asked.id)
        assert (await submit(ledger, ALICE, estimate_seconds=7.0)).is_new
        await require_in_order(ledger)
        with pytest.raises(DBAPIError, match="append-only"):
            await rows(ledger, "DELETE FROM grants RETURNING 1")


async def test_fencing_tokens_grow_on(old: Installation, file: Path) -> None:
    async with old.open() as ledger:
        carrier_id = await begin(ledger, (await submit(ledger)).batch_id)
        await old.backup(file)
        given_since: list[int] = []
        for _ in range(3):
            async with ledger.begin() as session:
                token = await leases.acquire(session, QPU, carrier_id, 60)
                assert token is not None
                await leases.release(session, QPU, token)
            given_since.append(token)
        await rows(ledger, "UPDATE carriers SET heartbeat_at = NULL RETURNING 1")
    await old.restore(file, overwrite=True)
    async with old.open() as ledger:
        query = "SELECT id FROM carriers"
        async with ledger.begin() as session:
            token = await leases.acquire(session, QPU, await scalar(ledger, query), 60)
        assert token is not None
        assert token > max(given_since)


async def test_a_ledger_with_jobs_is_not_overwritten_unless_told(
    old: Installation, new: Installation, file: Path
) -> None:
    async with old.open() as ledger:
        await complete(ledger)
        await old.backup(file)
    async with new.open() as ledger:
        await register(ledger)
        other = await submit(ledger, BOB)
    with pytest.raises(Conflict, match="not empty"):
        await new.restore(file)
    async with new.open() as ledger:
        assert (await job_of(ledger, other.job_id)).state is JobState.QUEUED
    await new.restore(file, overwrite=True)
    async with new.open() as ledger:
        assert await rows(ledger, 'SELECT "user" FROM jobs') == [("alice",)]


async def test_a_ledger_at_work_is_not_overwritten_at_all(old: Installation, file: Path) -> None:
    async with old.open() as ledger:
        await begin(ledger, (await submit(ledger)).batch_id)
        await old.backup(file)
    with pytest.raises(Conflict, match="working with this ledger"):
        await old.restore(file, overwrite=True)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


async def test_a_damaged_archive_changes_nothing(
    old: Installation, new: Installation, file: Path
) -> None:
    async with old.open() as ledger:
        await complete(ledger, source=LARGE)
        await old.backup(file)
    flip_a_bit(file)
    with pytest.raises(InputError, match="damaged"):
        await new.restore(file)
    cut_off(file)
    with pytest.raises(InputError, match="damaged"):
        await new.restore(file)
    async with new.open() as ledger:
        assert await scalar(ledger, "SELECT count(*) FROM qpus") == 0


async def test_the_archive_is_for_its_owner_only_and_leaves_nothing_beside_it(
    old: Installation, file: Path
) -> None:
    await old.backup(file)
    assert mode(file) == 0o600
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]
    assert not list(file.parent.glob(".backup*"))
    with tarfile.open(file) as archive:
        assert archive.getnames()[0] == "manifest.json"


async def test_one_missing_payload_does_not_prevent_a_backup(old: Installation, file: Path) -> None:
    async with old.open() as ledger:
        await submit(ledger, source=LARGE)
    (payload,) = [path for path in old.payloads.rglob("*") if path.is_file()]
    payload.unlink()
    assert (await old.backup(file)).missing == (payload.name,)


async def test_a_backup_may_take_longer_than_a_transaction_may_rest(
    old: Installation, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SERVED, "idle_in_transaction_session_timeout", "100ms")
    await old.backup(file)


async def test_no_password_is_on_a_command_line_or_in_an_error(
    old: Installation, tmp_path: Path
) -> None:
    url = old.ledger_url
    password = url.split(":")[2].split("@")[0]
    assert password not in postgres_tools.without_password(url)
    with pytest.raises(OperatorNeeded, match="pg_restore failed") as failure:
        await postgres_tools.load(url, tmp_path / "nothing")
    assert password not in str(failure.value)
