"""Quotas: what nobody may write."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.quota import Scope
from qpuflow.ledger import quotas
from qpuflow.ledger.database import Ledger
from tests.ledger.account_book import LAB, OPERATOR, grant
from tests.ledger.entities import finished, store
from tests.ledger.test_quotas import IN_LAB, at_the_qpu, lab


@pytest.mark.parametrize(
    "amount", [Decimal(0), Decimal(-1), Decimal("0.0000001"), Decimal("NaN"), Decimal(10**10)]
)
async def test_what_is_no_amount_is_refused(ledger: Ledger, amount: Decimal) -> None:
    await lab(ledger, "1")
    async with ledger.begin() as session:
        with pytest.raises(InputError, match="no amount of QPU time"):
            await quotas.grant(session, OPERATOR, LAB, amount)
        with pytest.raises(InputError, match="no amount of QPU time"):
            await quotas.request(session, IN_LAB, None, amount, "why not")


async def test_what_does_not_exist_is_given_nothing(ledger: Ledger) -> None:
    await lab(ledger, "1")
    for scope in (Scope("lba"), Scope("lab", "rakc")):
        with pytest.raises(NotFound, match="There is no"):
            await grant(ledger, scope, "1")
    async with ledger.begin() as session:
        with pytest.raises(NotFound):
            await quotas.approve(session, OPERATOR, uuid4())


@pytest.mark.parametrize(
    "change",
    ["UPDATE grants SET amount = 1", "DELETE FROM grants", "UPDATE charges SET seconds = 0"],
)
async def test_nobody_rewrites_the_book(ledger: Ledger, change: str) -> None:
    await lab(ledger, "10")
    await store(ledger, [await finished(ledger, await at_the_qpu(ledger, 8.0), 0.25)])
    with pytest.raises(DBAPIError, match="append-only"):
        async with ledger.begin() as session:
            await session.execute(text(change))
