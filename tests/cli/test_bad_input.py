"""Whatever is wrong ends in one message with a remedy, the right exit code, and no job."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from qpuflow.client import of_circuit
from tests.examples.expectations import EXAMPLES
from tests.system.installation import Answer, Installation

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ROTATION = HEADER + "input float theta;\nqubit q;\nrx(theta) q;\n"


def text(content: str, name: str = "program.qasm") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def with_nan(folder: Path) -> Path:
    (folder / "rotation.json").write_text('{"parameters": [{"theta": NaN}]}')
    return text(ROTATION, "rotation.qasm")(folder)


def ten_megabytes(folder: Path) -> Path:
    return text(HEADER + "qubit q;\n" + "x q;\n" * 2_000_000)(folder)


def garbage(folder: Path) -> Path:
    (folder / "garbage.qpy").write_bytes(b"QISKIT" + os.urandom(500))
    return folder / "garbage.qpy"


def bell(_: Path) -> Path:
    return EXAMPLES / "bell.qasm"


def missing(folder: Path) -> Path:
    return folder / "missing.qasm"


def stripped(folder: Path) -> Path:
    return text("", "empty.qasm")(folder)


AER = ("--qpu", "aer")
WRONG = {
    "syntax error": (text(HEADER + "qubit[2] q;\nh q[0]\ncx q[0], q[1];"), AER, "line 5, column"),
    "unknown gate": (text(HEADER + "qubit q;\nfrobnicate q;"), AER, "frobnicate"),
    "unbound parameter": (text(ROTATION), AER, "Unbound parameters: theta"),
    "too many qubits": (text(HEADER + "qubit[128] q;\nh q;"), ("--qpu", "aer-heavyhex"), "127"),
    "too many shots": (bell, (*AER, "--shots", 10**9), "shots"),
    "zero shots": (bell, (*AER, "--shots", 0), "greater than or equal to 1 (given: 0)"),
    "negative shots": (bell, (*AER, "--shots", -5), "(given: -5)"),
    "shots that are no number": (
        bell,
        (*AER, "--shots", "many"),
        "valid integer",
    ),
    "empty file": (stripped, AER, "empty"),
    "only a header": (text(HEADER), AER, "no qubits"),
    "unknown QPU": (bell, ("--qpu", "ear"), "aer, aer-heavyhex"),
    "unknown file ending": (text("x", "program.txt"), AER, ".qasm"),
    "missing file": (missing, AER, "no such file"),
    "10 MB": (ten_megabytes, AER, "4,000,000 bytes"),
    "garbage for QPY": (garbage, AER, "QPY"),
    "NaN for a parameter": (with_nan, AER, "theta"),
    "no text at all": (text("\0\1\2"), AER, "binary"),
}


@pytest.fixture(scope="module")
async def answers(
    stack: Installation, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answer]:
    """Each of them submitted by a user of his own, a few at a time."""
    gate = asyncio.Semaphore(4)

    async def submit(name: str) -> Answer:
        write, options, _ = WRONG[name]
        file = write(tmp_path_factory.mktemp("wrong"))
        async with gate:
            return await stack.run("--user", "clumsy", "submit", file, *options, "--json")

    found = await asyncio.gather(*(submit(name) for name in WRONG))
    return dict(zip(WRONG, found, strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_with_a_message(answers: dict[str, Answer], name: str) -> None:
    answer = answers[name]
    assert answer.code == 2, answer
    assert WRONG[name][2] in answer.message
    assert answer.stdout == ""
    assert len(answer.stderr) < 2000, "a message, not a dump"


async def test_none_of_them_left_anything_of_a_job(
    stack: Installation, answers: dict[str, Answer]
) -> None:
    assert answers
    for table in ("jobs", "batches", "members"):
        rows = await stack.rows(f"SELECT * FROM {table} WHERE \"user\" = 'clumsy'")
        assert rows == [], table


async def test_a_circuit_of_another_sdk_version_is_still_read(
    stack: Installation, tmp_path: Path
) -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(1, 1, name="flip")
    circuit.x(0)
    circuit.measure(0, 0)
    file = tmp_path / "flip.qasm"
    file.write_text(of_circuit(circuit).source)
    answer = await stack.run("submit", file, *AER, "--shots", 10, "--wait", "--json")
    assert answer.json["programs"][0]["counts"] == {"1": 10}


@pytest.mark.parametrize("command", ["submit", "jobs", "status", "qpus", "env"])
async def test_without_a_stack_every_command_says_how_to_start_one(
    nowhere: Installation, command: str
) -> None:
    arguments = {"submit": (EXAMPLES / "bell.qasm", *AER), "status": ("x",)}.get(command, ())
    answer = await nowhere.run(command, *arguments)
    assert answer.code == 3, answer
    assert "qpuflow up" in answer.message


async def test_a_database_that_does_not_answer_is_named_without_its_password(
    nowhere: Installation,
) -> None:
    elsewhere = {
        "QPUFLOW_DATABASE_URL": "postgresql://someone:s3cret@127.0.0.1:9/qpuflow",
        "QPUFLOW_PREFECT_API_URL": "http://127.0.0.1:9/api",
    }
    answer = await nowhere.run("jobs", environment=elsewhere)
    assert answer.code == 3, answer
    assert "127.0.0.1" in answer.message
    assert "s3cret" not in answer.message


@pytest.fixture
def taken_port() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_port_in_use_is_named(tmp_path: Path, taken_port: int) -> None:
    answer = await Installation(tmp_path / "home").run("up", "--detach", "--port", taken_port)
    assert answer.code == 2, answer
    assert f"Port {taken_port} is in use" in answer.message
    assert "QPUFLOW_PORT" in answer.message


async def test_a_home_that_is_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    answer = await Installation(tmp_path / "home").run("up", "--detach", "--port", 0)
    assert answer.code == 4, answer
    assert "QPUFLOW_HOME" in answer.message


@pytest.fixture(params=["full", "read-only"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Path]:
    """A file system of its own, of 64 kB, for whoever may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = {"full": "size=64k", "read-only": "ro"}[request.param]
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a file system here: {mounted.stderr.decode().strip()}")
    if request.param == "full":
        with pytest.raises(OSError, match="No space"):
            (disk / "ballast").write_bytes(bytes(1_000_000))
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_disk_that_takes_nothing_is_one_message(small_disk: Path) -> None:
    answer = await Installation(small_disk / "home").run("up", "--detach", "--port", 0)
    assert answer.code == 4, answer
    assert "QPUFLOW_HOME" in answer.message


@pytest.fixture
def without_prefect(stack: Installation) -> Installation:
    """Commands that find the ledger, and no Prefect server."""
    nothing = {"QPUFLOW_PREFECT_API_URL": "http://127.0.0.1:9/api"}
    return Installation(stack.home, stack.environment | nothing)


async def test_submitting_needs_the_ledger_and_no_prefect_server(
    stack: Installation, without_prefect: Installation
) -> None:
    submit = ("submit", EXAMPLES / "bell.qasm", *AER, "--key", "no-prefect", "--wait", "--json")
    result = await without_prefect.run("--user", "patient", *submit)
    assert result.json["state"] == "completed"
