"""The fake is faithful: IBM's own client cannot tell it from the real one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, RuntimeInvalidStateError

from qpuflow.drivers.fake_clouds import Fault, Kind
from qpuflow.drivers.fake_clouds.ibm import BACKEND, CRN
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def service(fake_ibm: IbmAt, monkeypatch: pytest.MonkeyPatch) -> QiskitRuntimeService:
    monkeypatch.setenv("IAM_URL", fake_ibm.url)
    # Without it the client asks IBM's global catalogue, which no setting moves, for instances.
    monkeypatch.setenv("QISKIT_FUNCTIONS_EXPERIMENTAL", "1")
    api = f"{fake_ibm.url}/api/v1"

    def resolved(*_: Any, **__: Any) -> str:
        return api

    return QiskitRuntimeService(
        channel="ibm_quantum_platform",
        token="any",
        instance=CRN,
        url=fake_ibm.url,
        url_resolver=resolved,
    )


def started(service: QiskitRuntimeService, *circuits: QuantumCircuit, **options: Any) -> Any:
    backend = service.backend(BACKEND)
    sampler: Any = SamplerV2(mode=backend)
    sampler.options.environment.job_tags = options.get("tags", [])
    return sampler.run([transpile(circuit, backend) for circuit in circuits], shots=100)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def test_a_bell_pair_runs(service: QiskitRuntimeService) -> None:
    job = started(service, bell(), bell())
    first, second = job.result()
    assert set(first.data.meas.get_counts()) == {"00", "11"}
    assert sum(second.data.meas.get_counts().values()) == 100
    assert job.status() == "DONE"
    assert job.metrics()["usage"]["status"] == "final"
    assert job.usage() >= 0


def test_a_session_is_opened_used_and_closed(
    service: QiskitRuntimeService, fake_ibm: IbmAt
) -> None:
    backend = service.backend(BACKEND)
    with Session(backend=backend, max_time=600) as session:
        job = SamplerV2(mode=session).run([transpile(bell(), backend)], shots=100)
        assert job.result()[0].data.meas.num_shots == 100
        details = session.details()
        assert details is not None
        assert (details["mode"], details["accepting_jobs"]) == ("dedicated", True)
    assert fake_ibm.cloud.backlog.jobs[job.job_id()].request["session_id"] == session.session_id
    (known,) = fake_ibm.cloud.sessions.values()
    assert known["state"] == "closed"


def test_a_batch_takes_several_jobs_until_it_is_closed(
    service: QiskitRuntimeService, fake_ibm: IbmAt
) -> None:
    backend = service.backend(BACKEND)
    with Batch(backend=backend) as batch:
        jobs = [SamplerV2(mode=batch).run([transpile(bell(), backend)], shots=10) for _ in "ab"]
        assert [job.result()[0].data.meas.num_shots for job in jobs] == [10, 10]
    (known,) = fake_ibm.cloud.sessions.values()
    assert (known["mode"], known["state"]) == ("batch", "closed")
    requests = [fake_ibm.cloud.backlog.jobs[job.job_id()].request for job in jobs]
    assert [one["session_id"] for one in requests] == [batch.session_id] * 2


def test_backends_tell_their_gates_errors_and_state(
    service: QiskitRuntimeService, fake_ibm: IbmAt
) -> None:
    backend: Any = service.backend(BACKEND)
    assert backend.num_qubits == 7
    assert {"cx", "rz", "sx", "x", "measure"} <= set(backend.operation_names)
    assert 0 < backend.target["cx"][(0, 1)].error < 1
    assert backend.status().operational
    fake_ibm.cloud.online = False
    assert not backend.status().operational


def test_a_job_is_found_by_its_tag_and_by_its_id(service: QiskitRuntimeService) -> None:
    job = started(service, bell(), tags=["mine"])
    started(service, bell(), tags=["other"])
    (found,) = service.jobs(job_tags=["mine"], limit=10)
    assert found.job_id() == job.job_id()
    again = service.job(job.job_id())
    assert sum(again.result()[0].data.meas.get_counts().values()) == 100
    assert again.tags == ["mine"]


def test_pages_of_jobs_hold_each_once(service: QiskitRuntimeService) -> None:
    started_ids = Counter(started(service, bell()).job_id() for _ in range(3))
    assert Counter(job.job_id() for job in service.jobs(limit=None)) == started_ids


def test_a_job_that_waits_is_cancelled_and_never_runs(
    service: QiskitRuntimeService, fake_ibm: IbmAt
) -> None:
    fake_ibm.cloud.backlog.queue_seconds = 30
    job = started(service, bell())
    assert job.status() == "QUEUED"
    job.cancel()
    assert job.status() == "CANCELLED"
    assert not fake_ibm.cloud.books.count(Kind.EXECUTED)
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()


def test_its_client_submits_twice_what_was_accepted_once(
    service: QiskitRuntimeService, fake_ibm: IbmAt
) -> None:
    """Why our driver does not use it: it repeats a POST after any 5xx."""
    fake_ibm.cloud.weather.next("submit", Fault.BROKEN_AFTER)
    started(service, bell(), tags=["bought-once"]).result()
    assert fake_ibm.cloud.books.executed_twice == ["bought-once"]


def test_errors_are_read_as_ibms(service: QiskitRuntimeService, fake_ibm: IbmAt) -> None:
    fake_ibm.cloud.weather.next("submit", Fault.TOKEN_EXPIRED)
    with pytest.raises(IBMNotAuthorizedError, match="Token expired"):
        started(service, bell())
    assert not fake_ibm.cloud.books.entries
