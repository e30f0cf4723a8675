"""Sessions, blocking and asynchronous, against a running stack."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import uuid4

import pytest
from qiskit import QuantumCircuit

from qpuflow import client
from qpuflow.client import JobOptions, Program
from qpuflow.domain.errors import Conflict, InputError, NotFound
from qpuflow.domain.settings import Settings
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation

USER = "dora"
ANSATZ = """OPENQASM 3.0; include "stdgates.inc";
input float theta; qubit q; ry(theta) q;"""


@pytest.fixture(autouse=True)
def here(stack: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPUFLOW_HOME", str(stack.home))
    monkeypatch.setenv("QPUFLOW_USER", USER)


def turned(theta: float) -> Program:
    return Program(
        name="turned", source=ANSATZ, parameters=[{"theta": theta}], observables={"z": {"Z": 1.0}}
    )


def flipped() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1, name="flipped")
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


async def batches_of(stack: Installation, key: str) -> list[str]:
    rows = await stack.rows("SELECT DISTINCT batch_id FROM jobs WHERE key LIKE $1", f"{key}/%")
    return [str(row["batch_id"]) for row in rows]


async def test_a_loop_gets_each_result_before_its_next_program(stack: Installation) -> None:
    key = uuid4().hex
    with client.session("aer", shots=400, key=key) as session:
        values = [session.run(turned(0.5 * i)).points[0].expectations["z"].value for i in range(7)]
    assert values[0] == 1
    assert min(values) == values[6] < -0.9
    assert len(await batches_of(stack, key)) <= 3, "a flow run for each"


def test_it_takes_what_submit_takes() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; c = measure q;'
    with client.session("aer") as session:
        assert session.run(flipped(), shots=30).counts == {"1": 30}
        assert session.run(text).counts == {"0": 1024}
        bell = session.run(EXAMPLES / "bell.qasm", shots=10, options=JobOptions(memory=True))
        assert sum(bell.counts.values()) == 10
        several = session.run([flipped(), text])
        assert [one.counts for one in several] == [{"1": 1024}, {"0": 1024}]


def test_a_session_with_a_key_is_answered_with_what_it_has_done() -> None:
    key = uuid4().hex

    def loop(shots: int, times: int) -> list[dict[str, int]]:
        with client.session("aer", shots=shots, key=key) as session:
            return [session.run(turned(1.0 + i)).counts for i in range(times)]

    first = loop(500, 3)
    before = len(client.jobs(limit=1000))
    assert loop(500, 4)[:3] == first
    assert len(client.jobs(limit=1000)) == before + 1
    assert client.job(f"{key}/2").result().counts == first[2]
    with pytest.raises(Conflict, match="other content"):
        loop(501, 1)


def test_a_job_that_fails_or_is_refused_does_not_end_the_session() -> None:
    circuit = flipped()
    circuit.t(0)
    circuit.measure(0, 0)
    with client.session("aer") as session:
        with pytest.raises(client.NoResult, match="stabilizer"):
            session.run(circuit, options=JobOptions(method="stabilizer"))
        with pytest.raises(InputError, match="shots"):
            session.run(circuit, shots=0)
        assert session.run(flipped(), shots=3).counts == {"1": 3}


def test_a_session_on_a_qpu_that_there_is_not_does_not_begin() -> None:
    with pytest.raises(NotFound, match="aer-heavyhex"), client.session("ear"):
        pytest.fail("it began")


async def test_at_its_end_the_carrier_ends_too_and_does_not_linger(stack: Installation) -> None:
    """One of three: on a busy machine ending may take as long as lingering."""
    waits: list[float] = []
    for _ in range(3):
        key = uuid4().hex
        with client.session("aer", key=key) as session:
            session.run(flipped())
        (batch,) = await batches_of(stack, key)
        query = "SELECT flow_run_id FROM carriers WHERE batch_id = $1"
        run = await stack.ended(str(await stack.value(query, batch)))
        query = "SELECT finished_at FROM jobs WHERE batch_id = $1"
        finished: datetime = await stack.value(query, batch)
        waits.append((datetime.fromisoformat(run["end_time"]) - finished).total_seconds())
    assert min(waits) < Settings().linger_seconds


async def test_jobs_of_one_asynchronous_session_may_be_under_way_at_once() -> None:
    async with client.connect() as connection, connection.session("aer", shots=20) as session:
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(session.run(flipped()) for _ in range(12)))
    assert [result.counts for result in results] == [{"1": 20}] * 12


async def test_a_run_that_takes_too_long_is_left_to_itself() -> None:
    key = uuid4().hex
    async with client.connect() as connection, connection.session("aer") as session:
        with pytest.raises(TimeoutError):
            await session.run(flipped(), key=key, timeout_seconds=0.0001)
        assert (await session.run(flipped(), key=key)).counts == {"1": 1024}
