"""Whether a run is still its batch's carrier: one that was replaced writes nothing more."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import Conflict

LIVE = """live AS (
    SELECT id, batch_id FROM carriers WHERE id = :carrier AND state = 'live' FOR SHARE
)"""


def checked(statement: str) -> str:
    """With `require_live` for its {live}: one round trip instead of two.

    The statement has to do nothing where it finds no row in `live`.
    """
    return statement.format(live=LIVE)


_LOOK = text(checked("WITH {live} SELECT id FROM live"))


class CarrierLost(Conflict):
    """This flow run no longer carries the batch: another one does, or none needs to."""


def lost(carrier_id: UUID) -> CarrierLost:
    return CarrierLost(f"Carrier {carrier_id} was replaced; another took over")


async def require_live(session: AsyncSession, carrier_id: UUID) -> None:
    """Held for the rest of the transaction. Raises `CarrierLost`."""
    if await session.scalar(_LOOK, {"carrier": carrier_id}) is None:
        raise lost(carrier_id)
