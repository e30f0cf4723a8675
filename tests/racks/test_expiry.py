"""Certificates that end soon are told of by the side that shows them; ended ones are named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon.certificate import CertificateWatch
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.driver import QbloxDriver
from qpuflow.drivers.qblox.link.certificates import VALID, Keys, make_keys
from qpuflow.drivers.qblox.link.messages import Report, Telemetry
from qpuflow.drivers.qblox.link.sockets import Asker, answer_all
from qpuflow.drivers.qblox.settings import RackSettings
from tests.racks.test_daemon import QuickEngine, answered
from tests.racks.test_link import echo, free_port


def paired(folder: Path, rack: timedelta = VALID, worker: timedelta = VALID) -> tuple[Keys, Keys]:
    """Whose certificates are good for so long."""
    both = make_keys(folder / "rack", rack), make_keys(folder / "worker", worker)
    both[0].trust(both[1].certificate)
    both[1].trust(both[0].certificate)
    return both


class Sensorless(QuickEngine):
    async def telemetry(self) -> dict[str, float | str | None]:
        return {}


@asynccontextmanager
async def linked(
    settings: RackSettings,
    configuration: Configuration,
    folder: Path,
    rack: Keys,
    worker: Keys,
    address: str | None = None,
) -> AsyncGenerator[QbloxDriver]:
    """A daemon's parts and a driver, over TLS unless there is an address."""
    address = address or f"tls+tcp://127.0.0.1:{free_port()}"
    watch = CertificateWatch(rack)
    with contextlib.closing(Journal(folder / "journal.sqlite")) as journal:
        engine: object = Sensorless()
        served = Rack(settings, configuration, journal, engine, watch)  # pyright: ignore[reportArgumentType]  no instruments are needed
        parts = asyncio.gather(watch.follow(), answer_all(address, rack, served.answer))
        driver = QbloxDriver("chip", {"address": address, "keys": str(worker.folder)})
        try:
            yield driver
        finally:
            await driver.close()
            parts.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await parts


async def test_a_certificate_that_ends_soon_is_told_of_by_the_side_that_shows_it(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rack, worker = paired(tmp_path, rack=timedelta(days=5), worker=timedelta(days=6))
    async with linked(settings, configuration, tmp_path, rack, worker) as driver:
        device = await driver.describe()
        days = (await driver.telemetry())["rack_certificate_days"]
        health = await driver.health()
    assert device.status_reason is not None
    assert f"rack's daemon, {rack.folder / 'certificate.pem'}, expires on" in device.status_reason
    assert f"worker, {worker.folder / 'certificate.pem'}, expires on" in device.status_reason
    assert "rack keys --renew" in device.status_reason
    assert "rack rotate" in device.status_reason
    assert days == pytest.approx(5, abs=0.1)
    assert health["certificate_days"] == pytest.approx(5, abs=0.1)
    assert [record.levelname for record in caplog.records if "expires on" in record.message] == [
        "WARNING"
    ]


async def test_while_there_is_time_nothing_is_said(
    settings: RackSettings,
    configuration: Configuration,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rack, worker = paired(tmp_path, rack=timedelta(days=20), worker=timedelta(days=20))
    async with linked(settings, configuration, tmp_path, rack, worker) as driver:
        assert (await driver.describe()).status_reason is None
    assert "expires" not in caplog.text


async def test_a_rack_is_described_while_the_workers_certificate_cannot_be_read(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    rack, worker = paired(tmp_path)
    async with linked(settings, configuration, tmp_path, rack, worker) as driver:
        assert (await driver.describe()).status_reason is None
        (worker.folder / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----")
        reason = (await driver.describe()).status_reason
    assert reason is not None
    assert reason.startswith("The worker's keys: certificate.pem is no certificate")


async def test_certificates_are_nothing_to_a_link_that_does_not_show_them(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    rack, ended = paired(tmp_path, worker=timedelta())
    address = f"ipc://{tmp_path}/rack.sock"
    for worker in (ended, Keys(tmp_path / "nothing")):
        async with linked(settings, configuration, tmp_path, rack, worker, address) as driver:
            assert (await driver.describe()).status_reason is None
        asker = Asker(f"ipc://{tmp_path}/nobody.sock", worker)
        with pytest.raises(Unavailable, match="no answer within"):
            await asker.ask(b"hello", timeout_seconds=0.2)
        asker.close()


async def test_a_rack_without_keys_has_no_days_to_tell(
    settings: RackSettings, configuration: Configuration, tmp_path: Path
) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        engine: object = Sensorless()
        rack = Rack(settings, configuration, journal, engine)  # pyright: ignore[reportArgumentType]  no instruments are needed
        answer = await answered(rack, Telemetry())
    values = Report.model_validate_json(answer).values
    assert set(values) == {"rack_waiting", "rack_busy_fraction"}


def test_a_daemon_warns_once_a_day_until_the_key_is_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rack, _ = paired(tmp_path, rack=timedelta(days=5))
    watch, now = CertificateWatch(rack), datetime.now(UTC)
    for hours in (0, 1, 23, 24, 25, 49):
        watch.look(now + timedelta(hours=hours))
    assert caplog.text.count("expires on") == 3
    watch.look(now + timedelta(days=6))
    assert watch.warning is not None
    assert "expired on" in watch.warning
    rack.renew()
    rack.rotate()
    watch.look(now + timedelta(days=6))
    assert watch.warning is None
    assert watch.days == pytest.approx(730, abs=1)


async def test_a_certificate_that_ends_while_it_is_in_use_is_named_to_who_waits(
    tmp_path: Path,
) -> None:
    rack, worker = paired(tmp_path, rack=timedelta(seconds=6))
    address = f"tls+tcp://127.0.0.1:{free_port()}"
    serving = asyncio.create_task(answer_all(address, rack, echo))
    await asyncio.sleep(0)
    asker = Asker(address, worker)
    assert await asker.ask(b"hello") == b"hello"
    await asyncio.sleep((rack.expires_at - datetime.now(UTC)).total_seconds() + 0.1)
    serving.cancel()  # whoever is connected stays so; restarted, the daemon refuses
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    with pytest.raises(OperatorNeeded, match="The certificate has expired, on"):
        await answer_all(address, rack, echo)
    with pytest.raises(Unavailable, match="that the other side shows expired on"):
        await asker.ask(b"hello again", timeout_seconds=2)
    asker.close()
    with pytest.raises(OperatorNeeded, match="1 that have expired"):
        Asker(address, worker)


async def test_a_worker_whose_own_certificate_has_ended_hears_so(tmp_path: Path) -> None:
    _, worker = paired(tmp_path, worker=timedelta())
    driver = QbloxDriver("chip", {"address": "tls+tcp://127.0.0.1:9", "keys": str(worker.folder)})
    with pytest.raises(OperatorNeeded, match="The certificate has expired, on") as caught:
        await driver.describe()
    assert caught.value.where == str(worker.folder / "certificate.pem")
    assert "rack keys --renew" in str(caught.value)
