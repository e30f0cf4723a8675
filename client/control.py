"""What operators do to a QPU and its queue: what a `Connection` offers as `controls`."""

from __future__ import annotations

from uuid import UUID

from qpuflow.domain.device import Control
from qpuflow.domain.principal import Principal
from qpuflow.ledger import controls, qpus, settling
from qpuflow.ledger.controls import ControlChange
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.settling import Settlement


class Controls:
    """Raises `AccessDenied` for whoever is no operator and wants to change something."""

    def __init__(self, ledger: Ledger, principal: Principal) -> None:
        self._ledger, self._principal = ledger, principal

    async def set(self, qpu: str, control: Control, reason: str | None = None) -> None:
        """Open, pause, drain or close a QPU. The job that runs is left to end."""
        async with self._ledger.begin() as session:
            await controls.set_control(session, self._principal, qpu, control, reason)

    async def pause(self, qpu: str, reason: str | None = None) -> None:
        await self.set(qpu, Control.PAUSED, reason)

    async def resume(self, qpu: str) -> None:
        await self.set(qpu, Control.OPEN)

    async def drain(self, qpu: str, reason: str | None = None) -> None:
        await self.set(qpu, Control.DRAINING, reason)

    async def take_offline(self, qpu: str, reason: str) -> None:
        await self.set(qpu, Control.OFFLINE, reason)

    async def history(self, qpu: str, limit: int = 50) -> list[ControlChange]:
        """What operators did to a QPU, the latest first."""
        async with self._ledger.begin() as session:
            await qpus.find(session, qpu)
            return await controls.history(session, qpu, limit)

    async def move_to_front(self, job_id: UUID, note: str) -> None:
        """Before all that is not booked. The note stays in the job's history."""
        async with self._ledger.begin() as session:
            await controls.move_to_front(session, self._principal, job_id, note)

    async def settle(self, job_id: UUID, settlement: Settlement) -> None:
        """Say what became of a job of which nobody knows whether the QPU accepted it."""
        async with self._ledger.begin() as session:
            await settling.settle(session, self._principal, job_id, settlement)
