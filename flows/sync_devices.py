"""The scheduled flow that asks every QPU what it is and how it is."""

from __future__ import annotations

import logging

from prefect import flow

from qpuflow.blocks import load_qpu
from qpuflow.domain.device import DeviceStatus
from qpuflow.domain.settings import Settings
from qpuflow.flows.session import open_ledger
from qpuflow.ledger import qpus
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.qpus import RegisteredQpu

_log = logging.getLogger("prefect.qpuflow")


@flow(name="sync-devices", persist_result=False)
async def sync_devices() -> dict[str, str]:
    """Bring the ledger's devices up to date. Returns each QPU's status.

    A QPU that does not answer is shown offline with the reason; the others do not notice.
    """
    async with open_ledger(Settings()) as ledger:
        async with ledger.begin() as session:
            known = await qpus.every(session)
        return {qpu.name: await _sync(ledger, qpu) for qpu in known}


async def _sync(ledger: Ledger, qpu: RegisteredQpu) -> str:
    try:
        driver = (await load_qpu(qpu.block)).driver(qpu.name)
        try:
            device = await driver.describe()
        finally:
            await driver.close()
    except Exception as error:  # noqa: BLE001  one broken vendor must not stop the others
        _log.warning("%s does not answer: %s", qpu.name, error)
        device = qpu.device.model_copy(
            update={"status": DeviceStatus.OFFLINE, "status_reason": str(error)}
        )
    async with ledger.begin() as session:
        await qpus.synced(session, device)
    return device.status.value
