"""A rack is measured by jobs like everybody's, and its sensors are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qpuflow.drivers.bluefors import Bluefors
from qpuflow.drivers.fake_clouds.serving import serving
from tests.examples.expectations import EXAMPLES
from tests.system.bluefors import control_software, reading
from tests.system.installation import Installation, eventually
from tests.system.test_documents import blocks, commands

QPU = "qblox-dummy"
CHANGE_BLOCK = """
import json, sys
from qpuflow.blocks import BlueforsCryostat, QbloxQpu, load_qpu
import asyncio
async def main():
    block = await load_qpu("qblox-qpu/qblox-dummy")
    given = json.loads(sys.argv[1])
    cryostat = given.pop("cryostat", None)
    if cryostat:
        made = BlueforsCryostat(**cryostat)
        await made.asave("fridge", overwrite=True)
        given["cryostat"] = await BlueforsCryostat.aload("fridge")
    changed = QbloxQpu(**{**{n: getattr(block, n) for n in ("lanes", "settings")}, **given})
    await changed.asave("qblox-dummy", overwrite=True)
asyncio.run(main())
"""
TIMES = {"t1": 150e-6, "t2_echo": 120e-6}
"""Of qubit 0 as the dummy has them."""


async def change_block(stack: Installation, **given: Any) -> None:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    done = await stack.python(CHANGE_BLOCK, json.dumps(given), environment=environment)
    assert done.code == 0, done


async def calibrated(stack: Installation) -> dict[str, Any]:
    """The run's record once it has ended well."""
    run_id = await stack.start("calibrate/system", {"qpus": [QPU]})
    run = await stack.ended(run_id, 400)
    assert run["state_type"] == "COMPLETED", run["state"]
    return run


@pytest.mark.timeout(500)
async def test_a_calibration_finds_what_the_chip_is_like_and_holds_it_when_it_drifts(
    stack: Installation,
) -> None:
    bands = {"readout": {"low": 0.9}, "t1": {"low": 1.0}}
    await change_block(stack, calibration={"shots": 600, "bands": bands, "on_drift": "hold"})
    run = await calibrated(stack)
    try:
        listed = (await stack.run("qpus", "--json")).json
        (qpu,) = [one for one in listed if one["name"] == QPU]
        assert qpu["control"] == "paused"
        assert "t1 of qubit 0 is" in qpu["control_reason"]
        assert "readout" not in qpu["control_reason"]
    finally:
        assert (await stack.run("--operator", "resume", QPU)).code == 0
    found = (await stack.run("calibrations", QPU, "--json")).json
    values = {(one["quantity"], one["qubit"]): one for one in found}
    for qubit in range(5):
        readout = values["readout", qubit]
        assert 0.98 < readout["value"] < 1.0
        assert readout["in_band"] is True
        (right, _), (wrong, _) = readout["details"]["confusion"]
        assert abs(right + wrong - 1) < 1e-9
    for quantity, expected in TIMES.items():
        one = values[quantity, 0]
        assert abs(one["value"] - expected) < 5 * one["error"]
        assert one["error"] < 0.4 * one["value"]
    assert values["t1", 0]["in_band"] is False
    assert any(q == "gate" and one["value"] < 2e-3 for (q, _), one in values.items())
    job = await stack.job(values["t1", 0]["job_id"])
    assert (job["user"], job["project"]) == ("calibrate", "system")
    pages = await stack.artifacts(run["id"])
    pictures = [page for page in pages if page["type"] == "image"]
    assert {page["key"] for page in pictures} >= {
        f"calibration-{QPU}-{name}-plot" for name in ("readout", "t1", "t2-echo")
    }
    assert all(page["data"].startswith("data:image/svg+xml;base64,") for page in pictures)
    shown = await stack.run("calibrations", QPU, "--quantity", "t1", "--qubit", 0)
    assert "no" in shown.stdout
    past = await stack.run("calibrations", QPU, "--history", 3, "--json")
    assert len(past.json) == 3


async def test_a_calibration_runs_in_maintenance_in_which_users_wait(stack: Installation) -> None:
    await change_block(stack, calibration={"shots": 100, "quantities": ["readout"]})
    booking = (await stack.run("--operator", "maintenance", QPU, "now", "+1h", "--json")).json
    try:
        bell = await stack.run("submit", EXAMPLES / "bell.qasm", "--qpu", QPU, "--json")
        await calibrated(stack)
        status = (await stack.run("status", bell.json["job_id"], "--json")).json
        assert status["state"] == "queued", status
    finally:
        assert (await stack.run("--operator", "release", booking["id"])).code == 0
    assert (await stack.run("result", bell.json["job_id"], "--wait")).code == 0


async def test_a_calibration_is_due_when_its_plan_says_so(stack: Installation) -> None:
    await change_block(stack, calibration={"every_hours": None})
    run = await stack.ended(await stack.start("calibrate/system"))
    assert run["state_type"] == "COMPLETED"
    assert (
        await stack.value(
            "SELECT count(*) FROM jobs WHERE key LIKE $1", f"calibration-{run['id']}%"
        )
        == 0
    )


async def test_sensors_of_rack_and_cryostat_are_sampled(stack: Installation) -> None:
    path = "mapper.bf.temperatures.tmixing"
    stale = "mapper.bf.pressures.p1"
    values = {path: reading("0.0123"), stale: reading("1.2", outdated=True)}
    channels = {"mxc_kelvin": path, "p1_bar": stale, "still_kelvin": "mapper.bf.unknown"}
    with serving(control_software(values, "secret-key")) as fridge:
        cryostat = {"url": fridge.url, "api_key": "secret-key", "channels": channels}
        await change_block(stack, cryostat=cryostat)

        async def sampled() -> dict[str, float | None]:
            run = await stack.ended(await stack.start("sample-telemetry/system"))
            assert run["state_type"] == "COMPLETED", run["state"]
            found = (await stack.run("telemetry", QPU, "--json")).json
            return {one["channel"]: one["value"] for one in found}

        async def with_temperatures() -> dict[str, float | None] | None:
            """Not read while a job runs."""
            found = await sampled()
            return found if "module8_carrier_celsius" in found else None

        found = await eventually(with_temperatures, "no temperatures")
    assert found["mxc_kelvin"] == 0.0123
    assert found["p1_bar"] is None
    assert found["still_kelvin"] is None
    assert 0 <= (found["rack_busy_fraction"] or 0) <= 1
    await change_block(stack)
    history = await stack.run("telemetry", QPU, "mxc_kelvin", "--limit", 1)
    assert "0.0123" in history.stdout
    assert "no QPU 'nowhere'" in (await stack.run("telemetry", "nowhere")).message


async def test_the_guide_does_what_it_says(stack: Installation) -> None:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    for code in blocks("docs/calibration.md", "python"):
        assert (await stack.python(code, environment=environment)).code == 0, code
    shown = await stack.python(
        "from qpuflow.blocks import QbloxQpu; b = QbloxQpu.load('qblox-dummy');"
        "print(b.calibration.on_drift.value, b.cryostat.channels, b)",
        environment=environment,
    )
    assert "hold {'mxc_kelvin':" in shown.stdout
    assert "its API key" not in shown.stdout
    for command in commands("docs/calibration.md"):
        assert (await stack.run(*command)).code == 0, command
    await change_block(stack)


async def test_a_cryostat_that_does_not_answer_says_nothing_and_keeps_its_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with Bluefors("http://127.0.0.1:9", {"mxc_kelvin": "mapper.bf.t"}, "key") as cryostat:
        assert await cryostat.read() == {"mxc_kelvin": None}
    with serving(control_software({"mapper.bf.t": reading("0.01")}, "right")) as fridge:
        async with Bluefors(fridge.url, {"mxc_kelvin": "mapper.bf.t"}, "wrong") as cryostat:
            assert await cryostat.read() == {"mxc_kelvin": None}
        async with Bluefors(fridge.url, {"mxc_kelvin": "mapper.bf.t"}, "right") as cryostat:
            assert await cryostat.read() == {"mxc_kelvin": 0.01}
    assert "says nothing of mapper.bf.t" in caplog.text
    assert "key=" not in caplog.text
