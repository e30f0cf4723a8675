from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from qpuflow.domain import qpy_loading
from qpuflow.domain.executable import Register
from qpuflow.domain.parsing import ProgramError, parse
from qpuflow.domain.request import Program, ProgramFormat
from tests.domain.programs import bell_circuit, in_base64, qpy_bytes

HEADER = struct.Struct("!6sBBBBQ")


def _never(*_: object) -> None:
    pytest.fail("it got to Qiskit")


def refused(data: bytes | str) -> str:
    source = data if isinstance(data, str) else in_base64(data)
    program = Program(name="mine", source=source, format=ProgramFormat.QPY)
    with pytest.raises(ProgramError) as caught:
        parse(program)
    assert caught.value.remedy
    assert "mine" in str(caught.value)
    return caught.value.what


@pytest.mark.parametrize("version", [13, 15, 16, 17, None])
def test_a_qpy_file_is_recognised_and_read(version: int | None) -> None:
    source = in_base64(qpy_bytes(bell_circuit(), version=version))
    parsed = parse(Program(source=source))
    assert parsed.format is ProgramFormat.QPY
    assert parsed.registers == (Register("c", 2),)
    assert dict(parsed.circuit.count_ops()) == {"h": 1, "cx": 1, "measure": 2}


def test_base64_may_be_broken_into_lines() -> None:
    text = in_base64(qpy_bytes(bell_circuit()))
    lines = "\n".join(text[i : i + 60] for i in range(0, len(text), 60))
    assert parse(Program(source=lines)).circuit.num_qubits == 2


@pytest.mark.parametrize("version", [1, 9, 12])
def test_unsafe_old_formats_never_reach_qiskit(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(qpy_bytes(bell_circuit()))
    data[6] = version
    monkeypatch.setattr("qiskit.qpy.load", _never)
    monkeypatch.setattr(qpy_loading, "_trial", _never)
    assert f"format {version} is refused" in refused(bytes(data))


def test_formats_from_the_future_say_so() -> None:
    data = bytearray(qpy_bytes(bell_circuit()))
    data[6] = 200
    assert "format 200 is newer" in refused(bytes(data))


def test_a_file_holds_exactly_one_circuit() -> None:
    assert "2 circuits" in refused(qpy_bytes(bell_circuit(), bell_circuit()))
    data = bytearray(qpy_bytes(bell_circuit()))
    data[:18] = HEADER.pack(*HEADER.unpack_from(data)[:-1], 0)
    assert "0 circuits" in refused(bytes(data))


def test_what_is_no_qpy_or_no_base64_is_refused() -> None:
    assert "no QPY file" in refused(b"PK\x03\x04" * 20)
    assert "no QPY file" in refused(qpy_bytes(bell_circuit())[:10])
    assert "base64" in refused("this is no base64!")


def test_a_truncated_file_is_refused() -> None:
    assert "cannot be loaded" in refused(qpy_bytes(bell_circuit())[:70])


def _hungry() -> bytes:
    """A file of 100 bytes whose circuit claims four thousand million qubits."""
    data = qpy_bytes(bell_circuit(), version=13)
    start = data.index(struct.pack("!IIQIQ", 2, 2, 4, 2, 4)[:8])
    return data[:start] + struct.pack("!I", 2**32 - 2) + data[start + 4 :]


def test_a_file_that_asks_for_all_memory_does_not_end_this_process() -> None:
    assert "cannot be loaded" in refused(_hungry())


def test_a_trial_has_only_so_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qpy_loading, "TRIAL_BYTES", 1)
    circuit = bell_circuit()
    for _ in range(40_000):
        circuit.rx(0.5, 0)
    assert "cannot be loaded" in refused(qpy_bytes(circuit))


def test_a_trial_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qpy_loading, "TRIAL_SECONDS", 0.01)
    circuit = bell_circuit()
    circuit.x(0)
    assert "longer than" in refused(qpy_bytes(circuit))


def test_a_vetted_program_is_loaded_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qpy_loading, "_trial", _never)
    circuit = bell_circuit()
    circuit.y(0)
    parsed = parse(Program(source=in_base64(qpy_bytes(circuit))), vetted=True)
    assert parsed.circuit.count_ops()["y"] == 1


def test_importing_the_parser_does_not_import_qiskit() -> None:
    modules = "sys, qpuflow.domain.admission, qpuflow.domain.files, qpuflow.domain.observables"
    code = f"import {modules}; print('qiskit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
