from __future__ import annotations

import threading

import pytest

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Register
from qpuflow.domain.parsing import ParsedProgram, ProgramError, parse
from qpuflow.domain.request import Program, ProgramFormat
from qpuflow.domain.source import MAX_BITS, MAX_OPERATORS
from tests.domain.programs import BELL2, BELL3, QASM2, QASM3, ROTATION


def read(source: str, format: ProgramFormat | None = None) -> ParsedProgram:  # noqa: A002
    return parse(Program(name="mine", source=source, format=format))


def refused(source: str, format: ProgramFormat | None = None) -> ProgramError:  # noqa: A002
    with pytest.raises(ProgramError) as caught:
        read(source, format)
    assert caught.value.remedy
    assert "mine" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("source", "kind"), [(BELL2, ProgramFormat.OPENQASM2), (BELL3, ProgramFormat.OPENQASM3)]
)
def test_a_bell_pair_is_read_in_both_versions(source: str, kind: ProgramFormat) -> None:
    parsed = read(source)
    assert parsed.format is kind
    assert parsed.registers == (Register("c", 2),)
    assert parsed.parameters == ()
    assert dict(parsed.circuit.count_ops()) == {"h": 1, "cx": 1, "measure": 2}


@pytest.mark.parametrize("source", [BELL2, BELL3])
@pytest.mark.parametrize(
    "before", ["", "\n\n", "// OPENQASM 9.0;\n", "/* two\nlines */\n", "\ufeff", "// é ∑\r\n"]
)
def test_comments_and_blank_lines_may_come_before_the_version(before: str, source: str) -> None:
    assert read(before + source).circuit.num_qubits == 2


def test_windows_line_ends_are_read_and_counted() -> None:
    assert read(BELL3.replace("\n", "\r\n")).circuit.num_qubits == 2
    assert refused((QASM3 + "qubit q;\nfoo q;").replace("\n", "\r\n")).line == 4


def test_parameters_are_sorted_and_keep_unused_ones() -> None:
    inputs = "input float b;\ninput angle a;\ninput float idle;\n"
    assert read(QASM3 + inputs + "qubit q;\nrx(a) q;\nry(2*b) q;").parameters == ("a", "b", "idle")


def test_the_fingerprint_depends_on_text_and_format_alone() -> None:
    one = Program(name="a", source=ROTATION, parameters=[{"theta": 1.0}])
    other = Program(name="b", source=ROTATION, parameters=[{"theta": 2.0}])
    assert parse(one).fingerprint == parse(other).fingerprint
    assert parse(one).fingerprint != read(BELL3).fingerprint


def test_registers_and_loose_bits_keep_names_and_order() -> None:
    parsed = read(QASM3 + "qubit q;\nbit a;\nbit[2] b;\nbit[1] c;\na = measure q;")
    assert parsed.registers == (Register("a", 1), Register("b", 2), Register("c", 1))


def test_a_bit_in_two_registers_is_refused() -> None:
    source = QASM3 + "qubit[2] q;\nbit[2] c;\nlet d = c[0:1];\nc = measure q;"
    assert "Classical bit 0" in refused(source).what


def test_feed_forward_loops_and_resets_are_read() -> None:
    source = QASM3 + (
        "qubit[2] q;\nbit[2] c;\nbit d;\nd = measure q[0];\nif (d) { x q[1]; } else { y q[1]; }\n"
        "if (c == 2) { reset q[0]; }\nfor int i in [0:3] { h q[0]; }\n"
        "while (d == true) { d = measure q[0]; }\nctrl @ inv @ s q[0], q[1];\n"
    )
    assert {"if_else", "for_loop", "while_loop"} <= set(read(source).circuit.count_ops())


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        (QASM2 + "qreg q[2];\nh q[0]\ncx q[0], q[1];", 5, 1, "';'"),
        (QASM2 + "qreg q[2];\n  foo q[0];", 4, 3, "'foo' is not defined"),
        (QASM2 + "qreg q[2];\n h r[0];", 4, 4, "'r' is not defined"),
        (QASM2 + "qreg q[2];\nh q[5];", 4, 5, "out-of-range"),
        (QASM2 + "qreg q[2];\ncx q[0];", 4, 1, "2 quantum arguments"),
        (QASM2 + "qreg q[2];\ncx q[0], q[0];", 4, 1, "uplicate"),
        (QASM2 + "qreg q[2];\nrx(1/0) q[0];", 4, 5, "zero"),
        ('OPENQASM 2.0;\ninclude "/etc/passwd";\n', 2, 9, "include"),
        ('OPENQASM 2.0;\ninclude "mine.inc";\n', 2, 9, "include"),
        ("OPENQASM 2.0;\nqreg q[1];\nh q[0];", 3, 1, "'h'"),
        (QASM3 + "qubit[2] q;\nh q[0]\ncx q[0], q[1];", 5, 1, "missing ';'"),
        (QASM3 + "qubit[2] q;\n  foo q[0];", 4, 3, "'foo' is not defined"),
        (QASM3 + "qubit[2] q;\n h r[0];", 4, 4, "'r'"),
        (QASM3 + "qubit[2] q;\nh q[5];", 4, 1, "out of range"),
        (QASM3 + "qubit[2] q;\ncx q[0];", 4, 1, "does not match"),
        (QASM3 + "qubit[2] q;\ncx q[0], q[0];", 4, 1, "uplicate"),
        (QASM3 + "qubit q;\nrx q;", 4, 1, "takes 1 parameters, but got 0"),
        (QASM3 + "qubit q;\nrx(1, 2) q;", 4, 1, "takes 1 parameters, but got 2"),
        (QASM3 + "qubit[2] q;\nbit[3] c;\nc = measure q;", 5, 1, "size"),
        (QASM3 + "qubit q;\nif (", 4, 5, "EOF"),
        (QASM3 + "qubit q; ?\n", 3, 10, "token"),
        (QASM3 + "qubit q;\nint[8] n = 3;", 4, 1, "'int'"),
        (QASM3 + "qubit q;\n break;", 4, 2, "outside loop"),
        (QASM3 + "def f(qubit q) { x q; }", 3, 1, "not supported"),
        ('OPENQASM 3.0;\ninclude "mine.inc";', 2, 1, "imports"),
        ("OPENQASM 4.0;\nqubit q;", 1, 10, "4.0"),
    ],
)
def test_an_error_names_line_and_column_and_quotes_the_line(
    source: str, line: int, column: int, words: str
) -> None:
    error = refused(source)
    assert (error.line, error.column) == (line, column)
    assert words in error.what
    assert f"line {line}, column {column}" in str(error)
    assert source.split("\n")[line - 1].strip() in str(error).replace("\\'", "'")


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        (QASM2 + "qreg q[1];\nfoo q[0];", "Declare it before"),
        ('OPENQASM 2.0;\ninclude "mine.inc";\n', "qelib1.inc"),
        (QASM2 + "qreg q[1];\nh q[1];", "start at 0"),
        (QASM3 + "qubit q;\nbit c;\nif (c == 1) { x q; }", "bit == true"),
        (QASM3 + "qubit q;\nqubit q;", "name of its own"),
    ],
)
def test_common_mistakes_have_a_remedy_of_their_own(source: str, remedy: str) -> None:
    assert remedy in str(refused(source))


def test_a_panic_of_the_parser_is_an_error_like_any_other() -> None:
    error = refused(QASM2 + "qreg q[1];\nh q[99999999999999999999];")
    assert type(error.__cause__).__name__ == "PanicException"


def test_a_syntax_error_prints_nothing_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    refused(QASM3 + "qubit q; ?\nif (")
    assert capfd.readouterr() == ("", "")


def test_the_place_in_a_long_line_is_quoted() -> None:
    source = QASM2 + "qreg q[1]; " + "h q[0]; " * 50 + "wrong q[0];"
    assert "wrong" in str(refused(source).where)


def test_an_unknown_format_is_one_clear_error() -> None:
    assert "format is unknown" in refused("qreg q[2];").what
    assert "not openqasm2" in refused(BELL3, ProgramFormat.OPENQASM2).what
    assert read("qubit q;\nU(1, 2, 3) q;", ProgramFormat.OPENQASM3).circuit.num_qubits == 1


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (QASM2, "qubits"),
        (QASM3, "qubits"),
        (QASM2 + "creg c[2];", "qubits"),
        (QASM2 + "qreg q[2];", "operations"),
        (QASM3 + "qubit[2] q;\nbit[2] c;", "operations"),
    ],
)
def test_a_program_without_qubits_or_operations_is_empty(source: str, missing: str) -> None:
    assert f"no {missing}" in refused(source).what


DEEP = 100_000
HOSTILE = {
    "open parentheses": "rx(" + "(" * DEEP,
    "parentheses": "rx(" + "(" * DEEP + "1" + ")" * DEEP + ") q;",
    "minus signs": "rx(" + "-" * DEEP + "1) q;",
    "functions": "rx(" + "sin(" * DEEP + "1" + ")" * DEEP + ") q;",
    "powers": "rx(" + "1^" * DEEP + "1) q;",
    "sums of a parameter": "gate g(a) x { rx(" + "a+" * 3 * DEEP + "a) x; } g(1) q;",
    "braces": "{" * DEEP,
    "brackets": "[" * DEEP,
    "ifs": "if(c==1)" * DEEP + "x q;",
    "quotes": '"' * DEEP,
    "comment openings": "/*" * DEEP,
    "gates that double": "gate g0 x { U(0, 0, 0) x; } "
    + "".join(f"gate g{n} x {{ g{n - 1} x; g{n - 1} x; }} " for n in range(1, 60))
    + "g59 q;",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("head", [QASM2 + "qreg q[1];", QASM3 + "qubit[1] q;"], ids=["2", "3"])
def test_hostile_nesting_is_an_error_and_no_crash(head: str, body: str) -> None:
    refused(head + body)


def test_hostile_nesting_is_an_error_on_a_thread_too() -> None:
    errors = list[InputError]()
    thread = threading.Thread(target=lambda: errors.append(refused(QASM2 + HOSTILE["powers"])))
    thread.start()
    thread.join(60)
    assert len(errors) == 1


def test_as_many_operators_as_allowed_are_read() -> None:
    terms = "1" + "+1" * (MAX_OPERATORS - 1)
    assert read(QASM2 + f"qreg q[1];\nrx({terms}) q[0];").circuit.size() == 1


@pytest.mark.parametrize(
    "source",
    [
        QASM2 + f"qreg q[{MAX_BITS + 1}];",
        QASM2 + "qreg q[99999999999999999999];",
        QASM2 + "qreg a[60000];\ncreg b[60000];",
        QASM3 + f"qubit[{MAX_BITS + 1}] q;",
        QASM3 + "qubit[1000*1000*1000] q;",
        QASM3 + "qubit[60000] a;\nbit[60000] b;",
        QASM3 + "h $999999999;",
        QASM3 + "qubit q;\nctrl(100000000) @ x q;",
    ],
)
def test_a_few_characters_cannot_ask_for_all_memory(source: str) -> None:
    refused(source)


@pytest.mark.parametrize(
    "loop",
    [
        "for int i in [0:999999999999] { x q; }",
        "for int i in [0:99999999999999999999999999] { x q; }",
        "for int i in [0:2000] { for int j in [0:2000] { x q; } }",
        "if (c) { for int i in [9999999:-1:0] { x q; } }",
    ],
)
def test_loops_that_repeat_too_often_are_refused(loop: str) -> None:
    assert "loops" in str(refused(QASM3 + f"qubit q;\nbit c;\n{loop}")).lower()


def test_ordinary_loops_are_read() -> None:
    loops = "for int i in [0:999] { for int j in {1, 2, 3} { x q; } }\n" * 3
    assert read(QASM3 + f"qubit q;\n{loops}").circuit.size() == 3


def test_powers_of_wide_gates_are_refused_before_their_matrix_is_made() -> None:
    qubits = ", ".join(f"q[{i}]" for i in range(12))
    source = QASM3 + f"qubit[12] q;\npow(2) @ ctrl(11) @ h {qubits};"
    assert "Powers" in refused(source).what


def test_too_long_openqasm3_is_refused_with_another_way() -> None:
    source = QASM3 + "qubit q;\n" + "x q;\n" * 250_000
    assert "loops" in str(refused(source).remedy)
