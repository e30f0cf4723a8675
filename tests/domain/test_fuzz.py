"""Whatever is sent, a parser answers with a program or an InputError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qpuflow.domain.errors import InputError
from qpuflow.domain.parsing import parse
from qpuflow.domain.qpy_trial import problem_of
from qpuflow.domain.request import Program, ProgramFormat
from tests.domain.programs import BELL2, BELL3, QASM2, QASM3, bell_circuit, in_base64, qpy_bytes

ENOUGH = settings(max_examples=300, deadline=None)

FRAGMENTS = [
    *("qubit[2] q;", "bit[2] c;", "bit b;", "qreg r[2];", "creg d[2];", "input float t;"),
    *("h q[0];", "cx q[0], q[1];", "rx(t) q[0];", "rx(1/0) q;", "rx(-pi/2^2) q;", "c = measure q;"),
    *("measure r -> d;", "if (b) {", "if (c == 1)", "if(d==1)", "}", "else {", "reset q;"),
    *("for int i in [0:3] {", "for int i in {1, 2} {", "while (b) {", "break;", "gate g(a) x {"),
    *("rx(a) x;", "opaque o a;", "ctrl @", "inv @", "pow(2) @", "negctrl(2) @", "x q[0];"),
    *("let e = q[0:1];", "box {", "delay[10ns] q[0];", "barrier q;", "def f() {", "return;"),
    *("const int n = 3;", "switch (c) {", "case 1 {", "int[8] k;", "qubit[n] p;", "x $0;"),
    *('include "qelib1.inc";', 'include "stdgates.inc";', 'include "x";', "OPENQASM 3;"),
    *("c[0]", "q[-1]", "q[99999999999999999999999]", "1e999", "0x", "0b1", '"01"', "@a", "#pragma"),
    *(
        "/*",
        "*/",
        "//",
        '"',
        "\0",
        "é",
        "(",
        ")",
        "[",
        "]",
        "{",
        ";",
        "++",
        "\n",
        "\ufeff",
        "\ud7ff",
    ),
]


def answered(source: str, format: ProgramFormat | None = None) -> None:  # noqa: A002
    try:
        program = Program(source=source, format=format)
    except ValidationError:
        return
    with suppress(InputError):
        assert parse(program).circuit.num_qubits > 0


@ENOUGH
@given(st.text(max_size=200), st.sampled_from([None, *ProgramFormat]))
@example("OPENQASM 2.0;\ncreg c[1]; if (c == 99999999999999999999999) x q;", None)
def test_any_text(source: str, format: ProgramFormat | None) -> None:  # noqa: A002
    answered(source, format)


@ENOUGH
@given(
    st.sampled_from([QASM2, QASM3, "OPENQASM 2.0;\n", "OPENQASM 3.0;\n"]),
    st.lists(st.sampled_from(FRAGMENTS), max_size=15),
)
@example(QASM3, ["qubit[2] q;", "x q[99999999999999999999999];"])
def test_any_order_of_valid_fragments(head: str, fragments: list[str]) -> None:
    answered(head + " ".join(fragments))


@ENOUGH
@given(
    st.sampled_from([BELL2, BELL3]),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 5), st.text(max_size=5)),
        min_size=1,
        max_size=4,
    ),
)
def test_valid_programs_with_pieces_replaced(
    source: str, edits: list[tuple[int, int, str]]
) -> None:
    for start, length, text in edits:
        source = source[:start] + text + source[start + length :]
    answered(source)


@ENOUGH
@given(st.binary(max_size=300))
def test_any_bytes_as_qpy(data: bytes) -> None:
    answered(in_base64(data), ProgramFormat.QPY)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([13, 17, None]),
    st.integers(19, 400),
    st.sampled_from([0x00, 0x01, 0x7F, 0xFF]),
    st.booleans(),
)
def test_qpy_files_with_bytes_changed_or_cut_off(
    version: int | None, place: int, value: int, cut: bool
) -> None:
    """Each takes a process of its own, so these are few; see the decision 0004 for more."""
    data = bytearray(qpy_bytes(bell_circuit(), version=version))
    place %= len(data)
    data = data[: max(place, 19)] if cut else data[:place] + bytes([value]) + data[place + 1 :]
    answered(in_base64(bytes(data)))


@ENOUGH
@given(st.integers(0, 2000))
def test_every_truncation_of_a_qpy_file_is_explained(length: int) -> None:
    """In this process: what is only cut off asks for no memory."""
    whole = qpy_bytes(bell_circuit(), version=13)
    data = whole[: length % len(whole)]
    assert problem_of(data)


@pytest.mark.parametrize("version", [13, 17, None])
def test_a_whole_qpy_file_has_no_problem(version: int | None) -> None:
    assert not problem_of(qpy_bytes(bell_circuit(), version=version))
