"""The history of what calibrations measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.calibration import Confusion, Matrix, Measured
from qpuflow.domain.principal import Principal
from qpuflow.domain.quantity import Quantity
from qpuflow.ledger.schema import CalibrationRow


async def record(
    session: AsyncSession, principal: Principal, qpu: str, measured: Sequence[Measured]
) -> None:
    principal.require_operator("record a calibration")
    if not measured:
        return
    rows = [
        {
            "qpu": qpu,
            "quantity": one.quantity.value,
            "qubit": one.qubit,
            "value": one.value,
            "error": one.error,
            "shots": one.shots,
            "measured_at": one.measured_at,
            "in_band": one.in_band,
            "job_id": one.job_id,
            "details": one.details,
        }
        for one in measured
    ]
    await session.execute(insert(CalibrationRow), rows)


async def latest(
    session: AsyncSession, qpu: str, quantities: Collection[Quantity] = tuple(Quantity)
) -> list[Measured]:
    """The newest of each quantity of each qubit, in that order."""
    newest = (
        select(CalibrationRow)
        .distinct(CalibrationRow.quantity, CalibrationRow.qubit)
        .where(
            CalibrationRow.qpu == qpu,
            CalibrationRow.quantity.in_([one.value for one in quantities]),
        )
        .order_by(
            CalibrationRow.quantity,
            CalibrationRow.qubit,
            CalibrationRow.measured_at.desc(),
            CalibrationRow.id.desc(),
        )
    )
    return await _read(session, newest)


async def history(
    session: AsyncSession,
    qpu: str,
    limit: int,
    quantity: Quantity | None = None,
    qubit: int | None = None,
) -> list[Measured]:
    """The newest first."""
    query = select(CalibrationRow).where(CalibrationRow.qpu == qpu)
    if quantity is not None:
        query = query.where(CalibrationRow.quantity == quantity.value)
    if qubit is not None:
        query = query.where(CalibrationRow.qubit == qubit)
    newest = (CalibrationRow.measured_at.desc(), CalibrationRow.id.desc())
    return await _read(session, query.order_by(*newest).limit(limit))


async def confusions(session: AsyncSession, qpu: str) -> dict[int, Confusion]:
    """The newest of each qubit of which there is one."""
    return {
        one.qubit: Confusion(one.qubit, _matrix(one), one.shots, one.measured_at)
        for one in await latest(session, qpu, [Quantity.READOUT])
    }


def _matrix(readout: Measured) -> Matrix:
    (a, b), (c, d) = readout.details["confusion"]
    return ((a, b), (c, d))


async def _read(session: AsyncSession, query: Select[tuple[CalibrationRow]]) -> list[Measured]:
    return [
        Measured(
            Quantity(row.quantity),
            row.qubit,
            row.value,
            row.error,
            row.shots,
            row.measured_at,
            row.in_band,
            row.job_id,
            row.details,
        )
        for row in await session.scalars(query)
    ]
