"""The history of calibrations and of sensors: kept in order, read by anybody, written by few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qpuflow.domain.calibration import Band, Confusion, Measured
from qpuflow.domain.errors import AccessDenied
from qpuflow.domain.principal import service
from qpuflow.domain.quantity import Quantity
from qpuflow.ledger import calibrations, telemetry
from qpuflow.ledger.database import Ledger
from qpuflow.ledger.retention import forget_telemetry
from tests.ledger.entities import ALICE, QPU, rows

CALIBRATION = service("calibrate")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MATRIX = [[0.99, 0.03], [0.01, 0.97]]


def readout(qubit: int, hour: int = 0, fidelity: float = 0.98) -> Measured:
    return Measured(
        Quantity.READOUT,
        qubit,
        fidelity,
        0.002,
        2000,
        NOON + timedelta(hours=hour),
        in_band=fidelity > 0.9,
        details={"confusion": MATRIX},
    )


async def recorded(ledger: Ledger, *measured: Measured) -> None:
    async with ledger.begin() as session:
        await calibrations.record(session, CALIBRATION, QPU, measured)


async def test_the_newest_of_each_qubit_counts_and_the_rest_is_history(ledger: Ledger) -> None:
    await recorded(ledger, readout(0, 2), readout(1, 1))
    await recorded(ledger, readout(0, 1, 0.5))
    t1 = Measured(Quantity.T1, 0, 4e-5, 1e-6, 1000, NOON)
    await recorded(ledger, t1)
    async with ledger.begin() as session:
        assert await calibrations.latest(session, QPU) == [readout(0, 2), readout(1, 1), t1]
        past = await calibrations.history(session, QPU, 10, Quantity.READOUT, 0)
        assert past == [readout(0, 2), readout(0, 1, 0.5)]
        assert past[1].has_drifted
        assert not t1.has_drifted
        assert len(await calibrations.history(session, QPU, 2)) == 2
        assert await calibrations.latest(session, "elsewhere") == []


async def test_readout_confusion_is_read_by_qubit(ledger: Ledger) -> None:
    await recorded(ledger, readout(3, 1), readout(0, 4))
    async with ledger.begin() as session:
        found = await calibrations.confusions(session, QPU)
    assert found == {
        0: Confusion(0, ((0.99, 0.03), (0.01, 0.97)), 2000, NOON + timedelta(hours=4)),
        3: Confusion(3, ((0.99, 0.03), (0.01, 0.97)), 2000, NOON + timedelta(hours=1)),
    }
    assert found[0].fidelity == pytest.approx(0.98)


def test_a_band_may_be_open_at_either_end() -> None:
    assert Band(low=1.0).holds(1.0)
    assert not Band(low=1.0).holds(0.9)
    assert Band(high=1.0).holds(-5.0)
    assert not Band(low=0.0, high=1.0).holds(1.1)
    assert Band().holds(7.0)
    assert str(Band(low=1e-5)) == "1e-05.."


async def test_sensors_are_sampled_and_forgotten(ledger: Ledger) -> None:
    values = {"module8_main_celsius": 41.5, "mxc_kelvin": 0.0123, "module8_fpga_celsius": None}
    async with ledger.begin() as session:
        await telemetry.record(session, CALIBRATION, QPU, values)
    await rows(ledger, "UPDATE telemetry SET at = at - interval '20 hours' RETURNING 1")
    async with ledger.begin() as session:
        await telemetry.record(session, CALIBRATION, QPU, {"mxc_kelvin": 0.011})
    async with ledger.begin() as session:
        latest = await telemetry.latest(session, QPU)
        assert {one.channel: one.value for one in latest} == {**values, "mxc_kelvin": 0.011}
        series = await telemetry.history(session, QPU, "mxc_kelvin", 10)
        assert [one.value for one in series] == [0.011, 0.0123]
    assert await forget_telemetry(ledger, CALIBRATION, timedelta(hours=10)) == 3
    async with ledger.begin() as session:
        assert [one.value for one in await telemetry.latest(session, QPU)] == [0.011]


async def test_users_write_neither(ledger: Ledger) -> None:
    async with ledger.begin() as session:
        with pytest.raises(AccessDenied):
            await calibrations.record(session, ALICE, QPU, [readout(0)])
        with pytest.raises(AccessDenied):
            await telemetry.record(session, ALICE, QPU, {"mxc_kelvin": 0.01})
    with pytest.raises(AccessDenied):
        await forget_telemetry(ledger, ALICE, timedelta(days=1))
