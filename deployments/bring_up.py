"""Making an installation's Prefect and ledger what this version of qpuflow needs.

Run by the supervisor once the servers answer, and safe to run again:
``python -m qpuflow.deployments.bring_up``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings

from qpuflow.blocks import (
    AerQpu,
    BlockMissing,
    BlueforsCryostat,
    BraketCredentials,
    BraketQpu,
    IbmCredentials,
    IbmQpu,
    PluginQpu,
    QbloxQpu,
    QpuBlock,
    QpuCredentials,
    QuantinuumCredentials,
    QuantinuumQpu,
    load_qpu,
)
from qpuflow.deployments import automations, prefect_file
from qpuflow.deployments.stack import shipped_rack
from qpuflow.deployments.stack.plan import SHIPPED_RACK, SYSTEM_POOL, Plan
from qpuflow.deployments.worker.worker import QpuWorker
from qpuflow.domain.endpoints import find_endpoints
from qpuflow.domain.errors import QpuflowError
from qpuflow.domain.principal import service
from qpuflow.domain.settings import Settings
from qpuflow.drivers import tket
from qpuflow.drivers.aer.settings import AerSettings, Noise
from qpuflow.drivers.qblox.link.settings import LinkSettings
from qpuflow.flows.open_ledger import open_ledger
from qpuflow.ledger import migrate, qpus
from qpuflow.ledger.database import Ledger

BLOCK_TYPES: tuple[Any, ...] = (
    AerQpu,
    BlueforsCryostat,
    BraketCredentials,
    BraketQpu,
    IbmCredentials,
    IbmQpu,
    PluginQpu,
    QbloxQpu,
    QpuCredentials,
    QuantinuumCredentials,
    QuantinuumQpu,
)

_log = logging.getLogger(__name__)


def shipped() -> dict[str, QpuBlock]:
    """The QPUs that every installation has: no account, nothing to install but Aer.

    Those who have the extra `qblox` have its dummy rack, too.
    """
    heavy_hex = AerSettings(
        layout="heavy-hex-127", noise=Noise(one_qubit=2e-4, two_qubit=4e-3, readout=1e-2)
    )
    return {
        "aer": AerQpu(lanes=2),
        "aer-heavyhex": AerQpu(lanes=1, settings=heavy_hex),
    }


async def bring_up(settings: Settings) -> list[str]:
    """Migrate, register, deploy. Returns the work pools that need a worker."""
    await migrate.upgrade(find_endpoints(settings).ledger_url.get_secret_value())
    for block_type in BLOCK_TYPES:
        await block_type.aregister_type_and_schema()
    async with open_ledger(settings) as ledger:
        await _register_shipped(ledger)
        if shipped_rack.runs_here(Plan(), settings):
            await _register_rack(ledger, shipped_rack.address(settings))
        async with ledger.begin() as session:
            names = [qpu.name for qpu in await qpus.every(session)]
    pools = [*names, SYSTEM_POOL]
    async with get_client() as client:
        for pool in pools:
            await _pool(client, pool)
    for entry in prefect_file.declared(names):
        await prefect_file.apply(entry)
    await automations.apply(automations.declared(automations.Watch.of(settings)))
    return pools


async def _register_shipped(ledger: Ledger) -> None:
    """What a person changed in the UI stays: only a missing block is created."""
    for name, block in shipped().items():
        try:
            await load_qpu(f"{block.get_block_type_slug()}/{name}")
        except BlockMissing:
            await block.asave(name)
        await register(ledger, f"{block.get_block_type_slug()}/{name}")


async def _register_rack(ledger: Ledger, address: str) -> None:
    """Where its daemon listens is the stack's business, and may be elsewhere at each start."""
    slug = QbloxQpu.get_block_type_slug()
    reference = f"{slug}/{SHIPPED_RACK}"
    block = QbloxQpu(settings=LinkSettings(address=address))
    with contextlib.suppress(BlockMissing):
        found = await load_qpu(reference)
        block = found.model_copy(update={"settings": block.settings})
    await block.asave(SHIPPED_RACK, overwrite=True)
    try:
        await register(ledger, reference)
    except QpuflowError as error:
        _log.warning("%s stays as it was: %s. `qpuflow up` tries again", SHIPPED_RACK, error)


async def add_qpu(settings: Settings, reference: str) -> str:
    """All that a further QPU needs: ledger, work pool, deployments. Returns its name."""
    api = find_endpoints(settings).prefect_api_url
    with temporary_settings({PREFECT_API_URL: api}):
        async with open_ledger(settings) as ledger:
            name = await register(ledger, reference)
        async with get_client() as client:
            await _pool(client, name)
        for entry in prefect_file.declared([name]):
            if entry["name"] == name:
                await prefect_file.apply(entry)
    return name


async def register(ledger: Ledger, reference: str) -> str:
    """Make the QPU of a saved block known to the ledger. Returns its name."""
    block = await load_qpu(reference)
    name = reference.partition("/")[2]
    driver = block.driver(name)
    try:
        device = tket.with_installed(await driver.describe())
    finally:
        await driver.close()
    async with ledger.begin() as session:
        await qpus.register(
            session,
            service("bring-up"),
            device,
            block=reference,
            pool=name,
            lanes=block.lanes,
            projects=block.projects,
        )
    return name


async def _pool(client: PrefectClient, name: str) -> None:
    pool = WorkPoolCreate(
        name=name,
        type=QpuWorker.type,
        description=f"Runs for {name}",
        base_job_template=QpuWorker.get_default_base_job_template(),
    )
    try:
        await client.create_work_pool(pool)
    except ObjectAlreadyExists:
        await _renew_form(client, name, pool.base_job_template)


async def _renew_form(client: PrefectClient, name: str, template: dict[str, Any]) -> None:
    """Settings that this version knows appear; what a person chose for the others stays."""
    known = (await client.read_work_pool(name)).base_job_template
    chosen = known.get("variables", {}).get("properties", {})
    for field, schema in template["variables"]["properties"].items():
        if "default" in chosen.get(field, {}):
            schema["default"] = chosen[field]["default"]
    if template != known:
        await client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def main() -> None:
    print(*asyncio.run(bring_up(Settings())), sep="\n")  # noqa: T201  read by the supervisor


if __name__ == "__main__":
    main()
