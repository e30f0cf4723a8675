"""QPUs, and the accounts behind them, that are for some projects only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qpuflow.domain.booking import BookingRules, Period
from qpuflow.domain.errors import AccessDenied
from qpuflow.domain.principal import Principal, Role
from qpuflow.ledger import accounts, bookings, qpus
from qpuflow.ledger.bookings import Wish
from qpuflow.ledger.database import Ledger
from tests.ledger.entities import ALICE, BOB, QPU, register, rows, submit

OLGA = Principal("olga", "olga", frozenset({Role.USER, Role.OPERATOR}))
AT_OPTICS = replace(ALICE, project="optics")
DENIED = "rack is not for project 'bob'.* It is for optics, qi"


@pytest.fixture(autouse=True)
async def restricted(ledger: Ledger) -> None:
    await register(ledger, projects=["qi", "optics"])
    async with ledger.begin() as session:
        await accounts.add_member(session, OLGA, "optics", "alice")


async def book(ledger: Ledger, who: Principal) -> None:
    start = datetime.now(UTC) + timedelta(days=2)
    wish = Wish(QPU, Period(start, start + timedelta(hours=1)))
    async with ledger.begin() as session:
        await bookings.create(session, who, BookingRules(), wish)


async def test_others_are_told_whom_it_is_for_and_nothing_is_kept(ledger: Ledger) -> None:
    with pytest.raises(AccessDenied, match=DENIED):
        await submit(ledger, BOB)
    with pytest.raises(AccessDenied, match=DENIED):
        await book(ledger, BOB)
    with pytest.raises(AccessDenied, match="is not for project 'alice'"):
        await submit(ledger, ALICE)
    assert await rows(ledger, "SELECT id FROM jobs UNION SELECT id FROM bookings") == []


async def test_their_members_and_operators_use_it(ledger: Ledger) -> None:
    await submit(ledger, AT_OPTICS)
    await submit(ledger, OLGA)
    await book(ledger, AT_OPTICS)
    async with ledger.begin() as session:
        assert (await qpus.find(session, QPU)).projects == ("qi", "optics")


async def test_registered_anew_it_is_for_everybody(ledger: Ledger) -> None:
    await register(ledger)
    await submit(ledger, BOB)
    await book(ledger, BOB)
