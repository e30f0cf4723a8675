"""The scheduled flow that reads the sensors of racks and cryostats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from prefect import flow

from qpuflow.blocks import QbloxQpu, load_qpu
from qpuflow.domain.principal import service
from qpuflow.drivers.base import TelemetryDriver
from qpuflow.flows.resources import Resources, resources
from qpuflow.ledger import qpus, telemetry
from qpuflow.ledger.qpus import RegisteredQpu

_log = logging.getLogger("prefect.qpuflow")


@flow(name="sample-telemetry", persist_result=False)
async def sample_telemetry() -> dict[str, int]:
    """Keep what the sensors say now. Returns how many readings each QPU gave."""
    async with resources() as shared:
        async with shared.ledger.begin() as session:
            known = await qpus.every(session)
        counts = await asyncio.gather(*(_sample(shared, qpu) for qpu in known))
    return {qpu.name: count for qpu, count in zip(known, counts, strict=True) if count}


async def _sample(shared: Resources, qpu: RegisteredQpu) -> int:
    values: dict[str, float | None] = {}
    for of_one in (_of_rack(shared, qpu), _of_cryostat(qpu)):
        try:
            values |= await of_one
        except Exception as error:  # noqa: BLE001  one that is silent must not silence the others
            _log.warning("A sensor of %s tells nothing: %s", qpu.name, error)
    if not values:
        return 0
    async with shared.ledger.begin() as session:
        await telemetry.record(session, service("telemetry"), qpu.name, values)
    return len(values)


async def _of_rack(shared: Resources, qpu: RegisteredQpu) -> Mapping[str, float | None]:
    driver = await shared.driver(qpu)
    return await driver.telemetry() if isinstance(driver, TelemetryDriver) else {}


async def _of_cryostat(qpu: RegisteredQpu) -> Mapping[str, float | None]:
    block = await load_qpu(qpu.block)
    if not isinstance(block, QbloxQpu) or block.cryostat is None:
        return {}
    async with block.cryostat.client() as cryostat:
        return await cryostat.read()
