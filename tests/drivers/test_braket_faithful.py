"""The fake is faithful: Amazon's own client cannot tell it from the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice, AwsQuantumTask, AwsSession
from braket.circuits import Circuit
from braket.ir.openqasm import Program

from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.braket import QPU, SIMULATOR
from qpuflow.drivers.fake_clouds.braket.served import BraketAt

FOLDER: Any = ("amazon-braket-mine", "results")


@pytest.fixture
def aws(fake_braket: BraketAt, monkeypatch: pytest.MonkeyPatch) -> AwsSession:
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake_braket.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    keys = {"aws_access_key_id": "AKIAFAKE", "aws_secret_access_key": "secret"}
    return AwsSession(boto3.Session(**keys, region_name="eu-north-1"))


@pytest.fixture(autouse=True)
def own_loop() -> Iterator[None]:
    """AwsQuantumTask waits in the thread's event loop, and makes one where there is none."""
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    yield
    loop.close()
    asyncio.set_event_loop(None)


def circuit() -> Any:
    """Gates are methods that Braket adds while it is imported."""
    return Circuit()


def program(source: str) -> Program:
    return Program(source=source, inputs={})


def device(aws: AwsSession, arn: str = QPU) -> AwsDevice:
    return AwsDevice(arn, aws_session=aws)


def started(aws: AwsSession, wanted: Any, **options: Any) -> AwsQuantumTask:
    task: Any = device(aws, options.pop("arn", QPU)).run(
        wanted, FOLDER, shots=100, poll_interval_seconds=0.05, **options
    )
    return task


@pytest.mark.parametrize("arn", [QPU, SIMULATOR])
def test_a_bell_pair_runs(aws: AwsSession, arn: str) -> None:
    task = started(aws, circuit().h(0).cnot(0, 1), arn=arn)
    result: Any = task.result()
    assert set(result.measurement_counts) == {"00", "11"}
    assert task.state() == "COMPLETED"
    assert result.task_metadata.id == task.id


def test_a_batch_of_tasks_runs(aws: AwsSession, fake_braket: BraketAt) -> None:
    batch = device(aws).run_batch(
        [circuit().x(0), circuit().i(0)],
        FOLDER,
        shots=10,
        max_parallel=2,
        poll_interval_seconds=0.05,
    )
    results: Any = batch.results(fail_unsuccessful=True)
    assert [one.measurement_counts for one in results] == [{"1": 10}, {"0": 10}]
    assert fake_braket.cloud.books.count(Kind.EXECUTED).total() == 2


def test_devices_tell_their_properties_windows_prices_and_queues(aws: AwsSession) -> None:
    qpu = device(aws)
    properties: Any = qpu.properties
    assert qpu.is_available
    assert properties.paradigm.qubitCount == 20
    assert properties.service.deviceCost.unit == "shot"
    assert len(qpu.topology_graph.edges) > 0
    assert qpu.queue_depth().quantum_tasks
    assert {one.name for one in AwsDevice.get_devices(aws_session=aws)} == {"SV1", "Fake"}


def test_a_task_that_waits_is_cancelled_and_never_runs(
    aws: AwsSession, fake_braket: BraketAt
) -> None:
    fake_braket.cloud.backlog.queue_seconds = 30
    task = started(aws, circuit().h(0))
    assert task.state() == "QUEUED"
    assert task.queue_position().queue_position == "1"
    task.cancel()
    assert task.state() == "CANCELLED"
    assert not fake_braket.cloud.books.count(Kind.EXECUTED)


def test_a_task_is_found_again_by_its_arn_and_by_searching(aws: AwsSession) -> None:
    task = started(aws, circuit().x(0), tags={"mine": "yes"})
    again = AwsQuantumTask(task.id, aws_session=aws, poll_interval_seconds=0.05)
    result: Any = again.result()
    assert result.measurement_counts == {"1": 100}
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [QPU]}]
    (found,) = aws.braket_client.search_quantum_tasks(filters=filters)["quantumTasks"]
    assert found["quantumTaskArn"] == task.id
    assert found["tags"] == {"mine": "yes"}


def test_pages_of_a_search_hold_each_task_once(aws: AwsSession) -> None:
    tasks = [started(aws, circuit().x(0)).id for _ in range(5)]
    pages = aws.braket_client.get_paginator("search_quantum_tasks").paginate(
        filters=[{"name": "status", "operator": "EQUAL", "values": ["COMPLETED", "QUEUED"]}],
        PaginationConfig={"PageSize": 2},
    )
    assert {one["quantumTaskArn"] for page in pages for one in page["quantumTasks"]} <= set(tasks)


def test_one_client_token_makes_one_task(aws: AwsSession, fake_braket: BraketAt) -> None:
    wanted: Any = {
        "clientToken": "once",
        "deviceArn": QPU,
        "shots": 10,
        "outputS3Bucket": FOLDER[0],
        "outputS3KeyPrefix": FOLDER[1],
        "action": program("OPENQASM 3.0; qubit[1] q; x q[0];").json(),
    }
    create = aws.braket_client.create_quantum_task
    assert create(**wanted)["quantumTaskArn"] == create(**wanted)["quantumTaskArn"]
    assert fake_braket.cloud.books.count(Kind.SUBMITTED) == {"once": 1}
    with pytest.raises(ClientError, match="other content"):
        create(**{**wanted, "shots": 11})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.THROTTLED, "ThrottlingException"),
        (Fault.BROKEN_BEFORE, "InternalServiceException"),
        (Fault.TOKEN_EXPIRED, "ExpiredTokenException"),
    ],
)
def test_faults_reach_amazons_client_as_its_own_exceptions(
    aws: AwsSession, fake_braket: BraketAt, fault: Fault, code: str
) -> None:
    fake_braket.cloud.weather.next("create_quantum_task", fault)
    with pytest.raises(ClientError) as raised:
        started(aws, circuit().h(0))
    assert raised.value.response["Error"]["Code"] == code
    assert not fake_braket.cloud.books.entries


def test_shots_and_features_that_the_device_lacks_are_refused(aws: AwsSession) -> None:
    with pytest.raises(ClientError, match="Shots must be between"):
        device(aws).run(circuit().h(0), FOLDER, shots=1_000_000)
    with pytest.raises(ClientError, match="not supported"):
        device(aws).run(program("OPENQASM 3.0; qubit[1] q;\nreset q[0];"), FOLDER, shots=10)


def test_a_program_that_breaks_the_machine_is_a_failed_task_with_its_reason(
    aws: AwsSession,
) -> None:
    wanted: Any = {
        "clientToken": "broken",
        "deviceArn": QPU,
        "shots": 10,
        "outputS3Bucket": FOLDER[0],
        "outputS3KeyPrefix": FOLDER[1],
        "action": program("OPENQASM 3.0; qubit[1] q; nonsense q[0];").json(),
    }
    arn = aws.braket_client.create_quantum_task(**wanted)["quantumTaskArn"]
    task = AwsQuantumTask(arn, aws_session=aws, poll_interval_seconds=0.05)
    assert task.result() is None
    assert "nonsense" in task.metadata()["failureReason"]
