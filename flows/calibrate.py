"""The scheduled flow that measures racks, by jobs like everybody's, and says what has drifted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow
from prefect.events import emit_event
from prefect.runtime import flow_run
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.blocks import QbloxQpu, load_qpu
from qpuflow.domain.calibration import CalibrationPlan, Measured, OnDrift
from qpuflow.domain.device import Control
from qpuflow.domain.experiments import Experiment, Found, experiment
from qpuflow.domain.principal import service
from qpuflow.domain.quantity import Quantity
from qpuflow.domain.request import JobOptions, JobRequest
from qpuflow.flows import calibration_pages
from qpuflow.flows.own_jobs import counts_from
from qpuflow.flows.resources import Resources, resources
from qpuflow.ledger import calibrations, controls, leases, qpus
from qpuflow.ledger.qpus import RegisteredQpu

CALIBRATION = service("calibrate")
AS_WRITTEN = JobOptions(optimization_level=0)
SLACK = timedelta(minutes=30)
"""A schedule that comes round a little early is not an hour late."""
_log = logging.getLogger("prefect.qpuflow")


@dataclass(frozen=True, slots=True)
class _Due:
    qpu: RegisteredQpu
    plan: CalibrationPlan


@flow(name="calibrate", persist_result=False)
async def calibrate(qpus: list[str] | None = None) -> dict[str, str]:
    """Measure the racks that are due by their plans, or those that are named, due or not.

    Returns what came of each.
    """
    async with resources() as shared:
        due = await _due(shared, qpus)
        ends = await asyncio.gather(*(_calibrate(shared, one) for one in due))
    return {one.qpu.name: end for one, end in zip(due, ends, strict=True)}


async def _due(shared: Resources, named: Sequence[str] | None) -> list[_Due]:
    async with shared.ledger.begin() as session:
        known = (
            await qpus.every(session)
            if named is None
            else [await qpus.find(session, name) for name in named]
        )
    found: list[_Due] = []
    for qpu in known:
        block = await _block(qpu)
        if block is None:
            continue
        async with shared.ledger.begin() as session:
            if named is not None or await _is_time(session, qpu.name, block.calibration):
                found.append(_Due(qpu, block.calibration))
    return found


async def _block(qpu: RegisteredQpu) -> QbloxQpu | None:
    """None: no rack. One that is broken or gone must not keep the others from being measured."""
    try:
        block = await load_qpu(qpu.block)
    except Exception as error:  # noqa: BLE001  somebody else's block, whatever is wrong with it
        _log.warning("%s is not measured: %s", qpu.name, error)
        return None
    return block if isinstance(block, QbloxQpu) else None


async def _is_time(session: AsyncSession, qpu: str, plan: CalibrationPlan) -> bool:
    """Whether one of the plan's quantities is missing, or as old as that."""
    if plan.every_hours is None:
        return False
    since = datetime.now(UTC) - timedelta(hours=plan.every_hours) + SLACK
    found = await calibrations.latest(session, qpu, plan.quantities)
    return not {one.quantity for one in found if one.measured_at > since} >= {*plan.quantities}


async def _calibrate(shared: Resources, due: _Due) -> str:
    """What became of one QPU; the others do not notice."""
    qpu = due.qpu
    if qpu.control is not Control.OPEN:
        return f"not measured: it is {qpu.control.value}"
    measured, problem = list[Measured](), ""
    for quantity in due.plan.quantities:
        try:
            measured += await _measure(shared, due, quantity)
        except Exception as error:  # noqa: BLE001  a fit may fail in ways of its own
            problem = f"; {quantity.value} was not measured: {error}"
            _log.warning("%s%s", qpu.name, problem)
            break
    drifted = [one for one in measured if one.has_drifted]
    if drifted:
        await _report_drift(shared, due, drifted)
        return f"drifted: {_words(drifted, due.plan)}{problem}"
    return f"{len(measured)} values, none out of its band{problem}"


async def _measure(shared: Resources, due: _Due, quantity: Quantity) -> list[Measured]:
    made = await asyncio.to_thread(
        experiment,
        quantity,
        due.qpu.device.num_qubits,
        longest_delay_seconds=due.plan.longest_delay_seconds,
        # A run that is started again asks for the same job.
        seed=UUID(flow_run.get_id()).int % 2**31,
    )
    asked = JobRequest(
        programs=list(made.programs),
        shots=due.plan.shots,
        qpu=due.qpu.name,
        key=f"calibration-{flow_run.get_id()}-{due.qpu.name}-{quantity.value}",
        options=AS_WRITTEN,
    )
    job = await counts_from(shared, CALIBRATION, asked, due.plan.patience_seconds)
    found = await asyncio.to_thread(made.read, job.counts)
    measured = [replace(one, job_id=job.job_id) for one in _measured(made, found, due.plan)]
    if missing := due.qpu.device.num_qubits - len(measured):
        _log.warning("No %s fits %d qubits of %s", quantity.value, missing, due.qpu.name)
    if not measured:
        return []
    async with shared.ledger.begin() as session:
        await calibrations.record(session, CALIBRATION, due.qpu.name, measured)
    await calibration_pages.show(due.qpu.name, quantity, measured, due.plan.bands.get(quantity))
    return measured


def _measured(
    made: Experiment, found: Sequence[Found | None], plan: CalibrationPlan
) -> list[Measured]:
    now = datetime.now(UTC)
    band = plan.bands.get(made.quantity)
    return [
        Measured(
            made.quantity,
            one.qubit,
            one.value,
            one.error,
            plan.shots,
            now,
            band and band.holds(one.value),
            details=one.details,
        )
        for one in found
        if one is not None
    ]


async def _report_drift(shared: Resources, due: _Due, drifted: Sequence[Measured]) -> None:
    qpu, words = due.qpu.name, _words(drifted, due.plan)
    _log.warning("%s has drifted: %s", qpu, words)
    if due.plan.on_drift is OnDrift.HOLD:
        async with shared.ledger.begin() as session:
            row = await leases.lock(session, qpu)
            # What an operator has said meanwhile stands.
            if row is not None and row.control == Control.OPEN.value:
                reason = f"drifted: {words}"
                await controls.set_control(session, CALIBRATION, qpu, Control.PAUSED, reason)
    emit_event(
        "qpuflow.calibration.drifted",
        {"prefect.resource.id": f"qpuflow.qpu.{qpu}"},
        payload={"drifted": words, "on_drift": due.plan.on_drift.value},
    )


def _words(drifted: Sequence[Measured], plan: CalibrationPlan) -> str:
    return ", ".join(
        f"{one.quantity.value} of qubit {one.qubit} is {one.value:.3g}{one.quantity.unit}, "
        f"not in {plan.bands[one.quantity]}"
        for one in drifted
    )
