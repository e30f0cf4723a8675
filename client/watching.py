"""How a QPU is: its calibrations, and what its sensors say."""

from __future__ import annotations

from qpuflow.domain.calibration import Measured
from qpuflow.domain.quantity import Quantity
from qpuflow.ledger import calibrations, qpus, telemetry
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.telemetry import Reading


class Watching:
    """For everybody to read. Every call raises `NotFound` for a QPU that there is not."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def calibrations(
        self,
        qpu: str,
        quantity: Quantity | None = None,
        qubit: int | None = None,
        limit: int | None = None,
    ) -> list[Measured]:
        """The newest of each quantity and qubit; with a limit the history, newest first."""
        async with self._ledger.begin() as session:
            await qpus.find(session, qpu)
            if limit is not None:
                return await calibrations.history(session, qpu, limit, quantity, qubit)
            found = await calibrations.latest(session, qpu)
        return [
            one for one in found if quantity in (None, one.quantity) and qubit in (None, one.qubit)
        ]

    async def telemetry(
        self, qpu: str, channel: str | None = None, limit: int = 50
    ) -> list[Reading]:
        """The newest reading of each channel; of one channel its history, newest first."""
        async with self._ledger.begin() as session:
            await qpus.find(session, qpu)
            if channel is None:
                return await telemetry.latest(session, qpu)
            return await telemetry.history(session, qpu, channel, limit)
