"""The scheduled flow that asks every QPU what it is and how it is."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from prefect import flow

from qpuflow.domain.device import Device, DeviceStatus
from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.expiry import expiry_warning
from qpuflow.domain.principal import service
from qpuflow.drivers import tket
from qpuflow.drivers.base import CalendarDriver, KeepingDriver
from qpuflow.flows.resources import Resources, resources
from qpuflow.ledger import bookings, intents, qpus
from qpuflow.ledger.bookings import Wish
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


async def _show_calendar(shared: Resources, driver: CalendarDriver, qpu: str) -> None:
    """A vendor whose calendar cannot be read now keeps the one that was read before."""
    try:
        calendar = await driver.vendor_calendar(datetime.now(UTC))
    except QpuflowError as error:
        _log.warning("The calendar of %s cannot be read: %s", qpu, error)
        return
    wishes = [Wish(qpu, one.period, one.note, one.source_id) for one in calendar.events]
    async with shared.ledger.begin() as session:
        who = service("sync-devices")
        await bookings.replace_calendar(session, who, calendar.source, wishes, qpu)


def _warned(device: Device, expires_at: datetime | None) -> Device:
    """Beside what the QPU itself says."""
    warning = expiry_warning(expires_at, datetime.now(UTC))
    if warning is None:
        return device
    _log.warning("%s: %s", device.name, warning)
    reasons = "; ".join(filter(None, [device.status_reason, warning]))
    return device.model_copy(update={"status_reason": reasons})


async def _sync(shared: Resources, qpu: RegisteredQpu) -> str:
    try:
        driver = await shared.driver(qpu)
        device = tket.with_installed(await driver.describe())
        if isinstance(driver, KeepingDriver):
            await _confirm(shared, driver)
        if isinstance(driver, CalendarDriver):
            await _show_calendar(shared, driver, qpu.name)
        device = _warned(device, shared.credentials_expire_at(qpu.name))
    except Exception as error:  # noqa: BLE001  one broken vendor must not stop the others
        _log.warning("%s does not answer: %s", qpu.name, error)
        device = qpu.device.model_copy(
            update={"status": DeviceStatus.OFFLINE, "status_reason": str(error)}
        )
    async with shared.ledger.begin() as session:
        await qpus.synced(session, service("sync-devices"), device)
    return device.status.value
