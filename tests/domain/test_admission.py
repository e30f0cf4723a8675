from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from qiskit import QuantumCircuit

from qpuflow.domain import admission
from qpuflow.domain.admission import check_request, readable
from qpuflow.domain.branches import Branching
from qpuflow.domain.device import DeviceStatus, Gate
from qpuflow.domain.errors import InputError
from qpuflow.domain.estimate import guess
from qpuflow.domain.request import JobRequest
from tests.domain.programs import BELL2, BELL3, DEVICE, QASM2, QASM3, ROTATION


def request(*sources: str, **changes: Any) -> JobRequest:
    own = {key: changes.pop(key) for key in ("parameters", "observables") if key in changes}
    programs = [{"name": f"p{i}", "source": source, **own} for i, source in enumerate(sources)]
    return JobRequest.model_validate({"programs": programs, **changes})


def refusal(*sources: str, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        check_request(request(*sources, **changes), DEVICE)
    assert caught.value.remedy
    return str(caught.value)


def test_a_good_request_gives_its_parsed_programs_in_order() -> None:
    parsed = check_request(request(BELL3, BELL2), DEVICE)
    assert [program.name for program in parsed] == ["p0", "p1"]


@pytest.mark.parametrize("status", DeviceStatus)
def test_jobs_for_a_device_that_is_away_are_accepted_and_wait(status: DeviceStatus) -> None:
    assert check_request(request(BELL2), DEVICE.model_copy(update={"status": status}))


def test_the_next_value_of_a_loop_does_not_walk_through_its_circuit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def walk(_: QuantumCircuit) -> None:
        raise AssertionError("a loop with a long circuit waits for this")

    without_bits = QASM3 + "input float theta; qubit q; rx(theta) q;"
    asked = {"parameters": [{"theta": 0.5}], "observables": {"energy": {"Z": 1.0}}}
    first = request(without_bits, **asked)
    parsed = check_request(first, DEVICE)
    seconds = guess(first, parsed, DEVICE.pace)
    monkeypatch.setattr(QuantumCircuit, "data", property(walk))
    monkeypatch.setattr(QuantumCircuit, "depth", walk)
    again = request(without_bits, **asked | {"parameters": [{"theta": 0.6}]})
    assert check_request(again, DEVICE, lambda _: parsed[0]) == parsed
    assert guess(again, parsed, DEVICE.pace) == seconds


def test_too_much_is_refused_with_both_numbers() -> None:
    assert "6 qubits" in (words := refusal(QASM2 + "qreg q[6]; h q[0];"))
    assert "at most 5" in words
    assert "p0" in words
    assert "10,001 shots" in (words := refusal(BELL2, shots=10_001))
    assert "at most 10,000" in words
    assert "4 programs" in refusal(BELL2, BELL2, BELL2, BELL2)


def test_the_largest_allowed_is_allowed() -> None:
    source = QASM2 + "qreg q[5]; h q[0];"
    assert len(check_request(request(source, source, source, shots=10_000), DEVICE)) == 3


def test_a_program_that_cannot_be_read_is_named() -> None:
    assert "p1, line 3" in refusal(BELL2, QASM2 + "nonsense;")


def test_unbound_and_unknown_parameters_are_named() -> None:
    assert "Unbound parameters: theta" in (words := refusal(ROTATION))
    assert "'theta': 0.0" in words
    words = refusal(ROTATION, parameters=[{"theta": 1.0}, {}])
    assert "Unbound parameters: theta" in words
    assert "point 1" in words
    words = refusal(ROTATION, parameters=[{"theta": 1.0, "phi": 2.0}])
    assert "Unknown parameters: phi" in words
    assert "has theta" in words
    assert "no parameters" in refusal(BELL2, parameters=[{"phi": 1.0}])


def test_bound_parameters_are_accepted() -> None:
    parsed = check_request(request(ROTATION, parameters=[{"theta": 1.0}, {"theta": 2.0}]), DEVICE)
    assert parsed[0].parameters == ("theta",)


def test_observables_are_checked_against_the_program() -> None:
    assert "3 letters" in refusal(BELL2, observables={"e": {"ZZZ": 1.0}})
    assert "another basis" in refusal(BELL2, observables={"e": {"XX": 1.0}})


def test_the_number_of_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_RUNS", 5)
    observables = {"all": {"X": 1.0, "Y": 1.0, "Z": 1.0}}
    points = [{"theta": 0.0}, {"theta": 1.0}]
    assert "6 circuits" in refusal(ROTATION, parameters=points, observables=observables)


def test_the_number_of_shots_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_TOTAL_SHOTS", 10_000)
    points = [{"theta": 0.0}, {"theta": 1.0}]
    assert "10,002 shots" in refusal(ROTATION, parameters=points, shots=5001)


def test_kept_bits_are_bounded_only_when_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_MEMORY_BYTES", 1999)
    assert "2,000 bytes" in refusal(BELL2, shots=1000, options={"memory": True})
    assert check_request(request(BELL2, shots=1000), DEVICE)


def test_a_hundred_good_bell_pairs_are_checked_within_a_second() -> None:
    import time

    device = DEVICE.model_copy(
        update={"limits": DEVICE.limits.model_copy(update={"max_programs": 100})}
    )
    started = time.perf_counter()
    check_request(request(*[BELL2] * 100), device)
    assert time.perf_counter() - started < 1


def problems(**fields: Any) -> InputError:
    with pytest.raises(ValidationError) as caught:
        JobRequest.model_validate({"programs": [{"source": BELL2}], **fields})
    return readable(caught.value)


def test_a_validation_error_reads_as_where_and_what() -> None:
    what = problems(shots=0).what
    assert what == "shots: Input should be greater than or equal to 1 (given: 0)"
    assert "pydantic" not in what


def test_several_problems_are_one_line_each() -> None:
    lines = problems(
        shots=-5, options={"optimization_level": 9}, programs=[{"source": " "}, {"name": "x"}]
    ).what.splitlines()
    assert len(lines) == 5
    assert lines[1] == "programs[0].source: the program is empty"
    assert lines[2] == "programs[1].source: Field required"
    assert any(line.startswith("options.optimization_level: ") for line in lines)


def test_a_readable_error_never_repeats_a_whole_program() -> None:
    assert len(problems(programs=[{"source": BELL2, "format": "x" * 10_000}]).what) < 300


def test_both_versions_of_nan_in_parameters_are_readable() -> None:
    what = problems(programs=[{"source": QASM3, "parameters": [{"a": float("nan")}]}]).what
    assert what == "programs[0].parameters: parameter 'a' of point 0 is nan, not a number"


def test_what_the_device_cannot_measure_is_refused() -> None:
    words = refusal(BELL2, options={"measurement_level": 1})
    assert "no measurement level 1" in words
    assert "does not average" in refusal(BELL2, options={"average": True})
    rack = DEVICE.model_copy(update={"measurement_levels": (1, 2)})
    assert check_request(request(BELL2, options={"measurement_level": 1, "average": True}), rack)
    kept = request(BELL2, options={"average": True, "memory": True})
    observed = request(BELL2, options={"average": True}, observables={"parity": {"ZZ": 1.0}})
    for refused in (kept, observed):
        with pytest.raises(InputError, match="Averaged shots have no bits"):
            check_request(refused, rack)


def test_raw_traces_have_no_bits_and_are_bounded() -> None:
    scope = DEVICE.model_copy(update={"measurement_levels": (0, 1, 2)})
    one = QASM2 + "qreg q[1]; creg c[1]; measure q -> c;"
    assert check_request(request(one, options={"measurement_level": 0}), scope)
    with pytest.raises(InputError, match="not the same shots"):
        check_request(request(BELL2, options={"measurement_level": 0}), scope)
    twice = QASM2 + "qreg q[1]; creg c[2]; measure q[0] -> c[0]; measure q[0] -> c[1];"
    with pytest.raises(InputError, match="measured twice"):
        check_request(request(twice, options={"measurement_level": 0, "average": True}), scope)
    with pytest.raises(InputError, match="Raw traces have no bits"):
        check_request(request(BELL2, options={"measurement_level": 0, "memory": True}), scope)
    with pytest.raises(InputError, match="would keep 1,310,720,000 bytes of its shots"):
        check_request(request(one, shots=10_000, options={"measurement_level": 0}), scope)
    mean = {"measurement_level": 0, "average": True}
    assert check_request(request(BELL2, shots=10_000, options=mean), scope)


def test_an_active_reset_is_for_devices_that_look_within_a_shot() -> None:
    assert "no active reset" in refusal(BELL2, options={"reset": "active"})
    rack = DEVICE.model_copy(update={"active_reset": True, "measurement_levels": (0, 1, 2)})
    assert check_request(request(BELL2, options={"reset": "active"}), rack)
    traced = {"reset": "active", "measurement_level": 0, "average": True}
    with pytest.raises(InputError, match="a scope keeps one trace"):
        check_request(request(BELL2, options=traced), rack)


RACK = DEVICE.model_copy(
    update={"branching": Branching.ONE_BIT, "gates": (*DEVICE.gates, Gate(name="if_else"))}
)
HEAD = QASM3 + "qubit[3] q; bit[2] c; c[0] = measure q[0];"


@pytest.mark.parametrize(
    "body",
    [
        "if (c[0]) { x q[1]; rz(0.5) q[1]; }",
        "if (!c[0]) { x q[1]; } else { h q[2]; }",
        "for int i in [0:2] { if (c[0]) { x q[1]; } }",
    ],
)
def test_one_bit_may_decide_about_gates_on_single_qubits(body: str) -> None:
    assert check_request(request(HEAD + body), RACK)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("if (c == 2) { x q[1]; }", "A condition on several bits"),
        ("if (c[0]) { cx q[1], q[2]; }", "'cx' under a condition"),
        ("if (c[0]) { reset q[1]; }", "'reset' under a condition"),
        ("if (c[0]) { if (c[1]) { x q[1]; } }", "'if_else' under a condition"),
        ("while (c[0]) { x q[0]; c[0] = measure q[0]; }", "no while_loop"),
        ("for int i in [0:2] { if (c == 2) { x q[1]; } }", "A condition on several bits"),
    ],
)
def test_a_branch_that_the_device_cannot_take_is_refused(body: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_request(request(HEAD + body), RACK)
    assert (caught.value.where, bool(caught.value.remedy)) == ("p0", True)


def test_a_device_without_branches_refuses_all_of_them() -> None:
    fixed = DEVICE.model_copy(
        update={"gates": tuple(gate for gate in DEVICE.gates if gate.name != "if_else")}
    )
    with pytest.raises(InputError, match="no if_else"):
        check_request(request(HEAD + "if (c[0]) { x q[1]; }"), fixed)
