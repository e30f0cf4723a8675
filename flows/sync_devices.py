"""The scheduled flow that asks every QPU what it is and how it is."""

from __future__ import annotations

import logging

from prefect import flow

from qpuflow.domain.device import DeviceStatus
from qpuflow.domain.principal import service
from qpuflow.drivers.base import KeepingDriver
from qpuflow.flows.resources import Resources, resources
from qpuflow.ledger import intents, qpus
from qpuflow.ledger.qpus import RegisteredQpu

_log = logging.getLogger("prefect.qpuflow")


@flow(name="sync-devices", persist_result=False)
async def sync_devices() -> dict[str, str]:
    """Bring the ledger's devices up to date. Returns each QPU's status.

    A QPU that does not answer is shown offline with the reason; the others do not notice.
    """
    async with resources() as shared:
        async with shared.ledger.begin() as session:
            known = await qpus.every(session)
        return {qpu.name: await _sync(shared, qpu) for qpu in known}


async def _confirm(shared: Resources, driver: KeepingDriver) -> None:
    """What the QPU still keeps because the word that it need not was lost."""
    if kept := await driver.confirm(()):
        async with shared.ledger.begin() as session:
            settled = await intents.settled(session, kept)
        await driver.confirm(settled)


async def _sync(shared: Resources, qpu: RegisteredQpu) -> str:
    try:
        driver = await shared.driver(qpu)
        device = await driver.describe()
        if isinstance(driver, KeepingDriver):
            await _confirm(shared, driver)
    except Exception as error:  # noqa: BLE001  one broken vendor must not stop the others
        _log.warning("%s does not answer: %s", qpu.name, error)
        device = qpu.device.model_copy(
            update={"status": DeviceStatus.OFFLINE, "status_reason": str(error)}
        )
    async with shared.ledger.begin() as session:
        await qpus.synced(session, service("sync-devices"), device)
    return device.status.value
