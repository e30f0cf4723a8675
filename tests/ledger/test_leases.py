"""Leases: never more than lanes, tokens that only grow, and an end that is final."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.principal import Principal
from qpuflow.ledger import carriers, clearance, leases, live
from qpuflow.ledger.clearance import Asked
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import QPU, begin, register, rows, scalar, submit

EXPIRE = "UPDATE leases SET expires_at = clock_timestamp() - interval '1 ms' RETURNING 1"
HELD = "SELECT count(*) FROM leases WHERE released_at IS NULL"


async def some_carriers(ledger: Ledger, count: int) -> list[UUID]:
    found: list[UUID] = []
    for index in range(count):
        user = f"user-{index}"
        accepted = await submit(ledger, Principal(user, user))
        found.append(await begin(ledger, accepted.batch_id))
    return found


async def acquire(ledger: Ledger, carrier_id: UUID, seconds: float = 60) -> int | None:
    async with ledger.begin() as session:
        return await leases.acquire(session, QPU, carrier_id, seconds)


async def holds(session: AsyncSession, carrier_id: UUID, token: int) -> bool:
    return (await clearance.look(session, Asked(QPU, carrier_id, token), [])).holds


@pytest.mark.parametrize("lanes", [1, 3])
async def test_never_more_leases_than_lanes_however_many_ask(ledger: Ledger, lanes: int) -> None:
    await register(ledger, lanes=lanes)
    tokens: list[int] = []

    async def use_a_lane(carrier_id: UUID) -> None:
        while (token := await acquire(ledger, carrier_id)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        tokens.append(token)
        assert await scalar(ledger, HELD) <= lanes
        async with ledger.begin() as session:
            await leases.release(session, QPU, token)

    carriers = await some_carriers(ledger, 8)
    async with asyncio.timeout(60):
        await asyncio.gather(*(use_a_lane(one) for one in carriers for _ in range(3) if one))
    granted = [
        row[0] for row in await rows(ledger, "SELECT fencing_token FROM leases ORDER BY granted_at")
    ]
    assert granted == sorted(set(granted))


async def test_a_second_carrier_waits_until_the_lane_is_given_back(ledger: Ledger) -> None:
    first, second = await some_carriers(ledger, 2)
    token = await acquire(ledger, first)
    assert token is not None
    assert await acquire(ledger, second) is None
    async with ledger.begin() as session:
        await leases.release(session, QPU, token)
    assert await acquire(ledger, second) == token + 1


async def test_a_carrier_that_asks_again_keeps_its_lease(ledger: Ledger) -> None:
    """The answer to its first question may have been lost with the connection."""
    (carrier,) = await some_carriers(ledger, 1)
    assert await acquire(ledger, carrier) == await acquire(ledger, carrier)
    assert await scalar(ledger, HELD) == 1


async def test_expiry_frees_the_lane_for_good(ledger: Ledger) -> None:
    first, second = await some_carriers(ledger, 2)
    token = await acquire(ledger, first)
    assert token is not None
    await rows(ledger, EXPIRE)
    async with ledger.begin() as session:
        assert not await holds(session, first, token)
    assert await acquire(ledger, second) == token + 1
    async with ledger.begin() as session:
        await leases.renew(session, first, 60)
        assert not await holds(session, first, token)
        assert await holds(session, second, token + 1)
        # As if a crash had undone its grant and the token was given again.
        assert not await holds(session, first, token + 1)


async def test_an_expired_lease_is_not_renewed(ledger: Ledger) -> None:
    (carrier,) = await some_carriers(ledger, 1)
    token = await acquire(ledger, carrier)
    assert token is not None
    await rows(ledger, EXPIRE)
    async with ledger.begin() as session:
        await leases.renew(session, carrier, 60)
        assert not await holds(session, carrier, token)


async def test_a_lease_that_holds_is_renewed(ledger: Ledger) -> None:
    (carrier,) = await some_carriers(ledger, 1)
    await acquire(ledger, carrier, seconds=5)
    async with ledger.begin() as session:
        await leases.renew(session, carrier, 500)
    left = "SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM leases"
    assert await scalar(ledger, left) > 400


async def test_a_renewal_that_waited_past_the_expiry_comes_too_late(ledger: Ledger) -> None:
    """A transaction's own time stands still while it waits for a lock."""
    first, second = await some_carriers(ledger, 2)
    token = await acquire(ledger, first, seconds=0.3)
    assert token is not None

    async def beat() -> None:
        async with ledger.begin() as session:
            await carriers.beat(session, first)
            await leases.renew(session, first, 60)

    async with ledger.begin() as session:
        await live.require_live(session, first)
        beating = asyncio.create_task(beat())
        deadline = asyncio.get_running_loop().time() + 10
        while await acquire(ledger, second) is None:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)
    await beating
    assert await scalar(ledger, HELD) == 1


async def test_an_unfinished_renewal_is_waited_for(ledger: Ledger) -> None:
    first, second = await some_carriers(ledger, 2)
    await acquire(ledger, first, seconds=0.3)
    async with ledger.begin() as session:
        await leases.renew(session, first, 60)
        await asyncio.sleep(0.4)  # past the old expiry, the new one still unseen by others
        asking = asyncio.create_task(acquire(ledger, second))
        done, _ = await asyncio.wait([asking], timeout=0.2)
        assert not done
    assert await asking is None


async def test_an_unknown_qpu_has_no_lanes(ledger: Ledger) -> None:
    (carrier,) = await some_carriers(ledger, 1)
    async with ledger.begin() as session:
        assert await leases.acquire(session, "nowhere", carrier, 60) is None


async def test_submitting_does_not_wait_for_the_one_who_decides_about_lanes(
    ledger: Ledger,
) -> None:
    (carrier,) = await some_carriers(ledger, 1)
    async with ledger.begin() as session:
        assert await leases.acquire(session, QPU, carrier, 60)
        async with asyncio.timeout(10):
            assert (await submit(ledger)).is_new
