"""`qpuflow.client`, in the test's own process, against a running stack."""

from __future__ import annotations

import asyncio

import pytest
from qiskit import QuantumCircuit

from qpuflow import client
from qpuflow.client import JobOptions, JobState
from qpuflow.domain.errors import Conflict, InputError, NotFound
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation


@pytest.fixture(autouse=True)
def here(stack: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPUFLOW_HOME", str(stack.home))
    monkeypatch.setenv("QPUFLOW_USER", "carol")


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2, name="bell")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_a_circuit_gives_counts() -> None:
    result = client.submit(bell(), qpu="aer", shots=300).result(timeout_seconds=60)
    assert set(result.counts) == {"00", "11"}
    assert sum(result.counts.values()) == 300


def test_circuits_files_and_text_make_one_job_in_their_order() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; x q; c = measure q;'
    files = EXAMPLES / "two-registers.qasm", str(EXAMPLES / "grover.qasm")
    job = client.submit([bell(), *files, text], qpu="aer")
    results = job.results(60)
    assert [result.name for result in results] == ["bell", "two-registers", "grover", "program-3"]
    assert [dataset.attrs["program"] for dataset in job.datasets()] == [r.name for r in results]
    assert results[3].counts == {"1": 1024}


def test_many_programs_are_submitted_at_once_each_as_its_own_job() -> None:
    flips = [
        f'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; rx({angle}) q; c = measure q;'
        for angle in ("0", "pi", "0")
    ]
    handles = client.submit_all(flips, qpu="aer", shots=10, key="flips")
    assert [handle.result(60).counts for handle in handles] == [{"0": 10}, {"1": 10}, {"0": 10}]
    assert client.job("flips/1") == handles[1]
    with pytest.raises(InputError, match="nothing"):
        client.submit_all([flips[0], "OPENQASM 3.0; nothing"], qpu="aer")


def test_a_job_is_found_by_its_key_and_by_the_start_of_its_id() -> None:
    job = client.submit(bell(), qpu="aer", key="tuesday")
    assert client.job("tuesday") == client.job(str(job.id)[:12]) == job
    assert job.wait(60).state is JobState.COMPLETED
    assert job.id in [known.id for known in client.jobs(qpu="aer")]
    assert client.submit(bell(), qpu="aer", key="tuesday") == job
    with pytest.raises(Conflict, match="other content"):
        client.submit(bell(), qpu="aer", shots=7, key="tuesday")


def test_a_failed_job_raises_with_its_reason() -> None:
    circuit = bell()
    circuit.t(0)
    circuit.measure([0, 1], [0, 1])
    job = client.submit(circuit, qpu="aer", options=JobOptions(method="stabilizer"))
    with pytest.raises(client.NoResult, match="stabilizer"):
        job.results(60)


def test_what_is_wrong_is_said_before_a_job_exists() -> None:
    before = len(client.jobs())
    with pytest.raises(InputError, match="shots"):
        client.submit(bell(), qpu="aer", shots=0)
    with pytest.raises(NotFound, match="aer-heavyhex"):
        client.submit(bell(), qpu="ear")
    with pytest.raises(NotFound):
        client.job("no-such-job")
    with pytest.raises(InputError, match=r"nowhere\.qasm"):
        client.submit("nowhere.qasm", qpu="aer")
    assert len(client.jobs()) == before


def test_the_blocking_client_works_inside_a_running_loop() -> None:
    """As in a notebook, whose own loop is busy with the cell."""

    async def cell() -> int:
        return len(client.qpus())

    assert asyncio.run(cell()) >= 2


async def test_many_jobs_of_one_user_share_carriers(stack: Installation) -> None:
    async with client.connect() as connection:
        request = client.JobRequest(programs=client.as_programs(bell()), qpu="aer", shots=10)
        receipts = [await connection.submit(request) for _ in range(30)]
        async with asyncio.timeout(90):
            async for _ in connection.watch([receipt.job_id for receipt in receipts]):
                pass
        states = await connection.states([receipt.job_id for receipt in receipts])
    assert set(states.values()) == {JobState.COMPLETED}
    ids = [str(receipt.job_id) for receipt in receipts]
    carriers = await stack.value(
        "SELECT count(*) FROM carriers JOIN jobs USING (batch_id) WHERE jobs.id = ANY($1::uuid[])",
        ids,
    )
    batches = await stack.value(
        "SELECT count(DISTINCT batch_id) FROM jobs WHERE id = ANY($1::uuid[])", ids
    )
    assert batches <= 5, "a job of its own run each"
    assert carriers >= 30
    charges = "SELECT count(*) FROM charges WHERE job_id = ANY($1::uuid[])"
    assert await stack.value(charges, ids) == 30
