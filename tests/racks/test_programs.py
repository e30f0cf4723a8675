"""From circuits to timed operations on the chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.config import Configuration, DeviceFile
from qpuflow.drivers.qblox.dummy.simulation import circuit_of
from qpuflow.drivers.qblox.packing import MOST_BINS, runs
from qpuflow.drivers.qblox.programs import (
    Acquire,
    Conditional,
    ControlledPhase,
    Durations,
    Frame,
    NativeProgram,
    Timed,
    Turn,
    Upload,
    by_oscillator,
    native_programs,
)
from qpuflow.drivers.qblox.programs.branches import in_pulses
from qpuflow.drivers.qblox.programs.timing import FEEDBACK_NS
from tests.racks.circuits import as_it_is, bell, compiled, ones

Translate = Callable[[QuantumCircuit], NativeProgram]


@pytest.fixture
def chip(configuration: Configuration) -> DeviceFile:
    return configuration.device


@pytest.fixture
def native(chip: DeviceFile) -> Translate:
    return lambda circuit: native_programs(as_it_is(circuit), chip)[0]


@pytest.fixture
def from_text(chip: DeviceFile, device: Device) -> Callable[[str], NativeProgram]:
    def translate(body: str) -> NativeProgram:
        text = f'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; bit[3] c; {body}'
        return native_programs(compiled(qasm3.loads(text), device), chip)[0]

    return translate


def starts(program: NativeProgram, kind: type) -> list[int]:
    return [one.start_ns for one in program.operations if isinstance(one.operation, kind)]


def test_a_bell_pair_is_three_turns_and_a_flux_pulse(device: Device, chip: DeviceFile) -> None:
    program = native_programs(compiled(bell(), device), chip)[0]
    kinds = [type(one.operation) for one in program.operations if not _is_frame(one)]
    assert kinds == [Turn, Turn, ControlledPhase, Turn, Acquire, Acquire]
    assert starts(program, Acquire) == [80, 80], "simultaneous, behind the last turn"
    assert program.duration_ns == 80 + 1200


def test_operations_start_as_late_as_possible(native: Translate) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.rx(1.0, 0)
    for _ in range(3):
        circuit.rx(1.0, 1)
    circuit.measure([0, 1], [0, 1])
    assert [one.start_ns for one in native(circuit).operations] == [0, 20, 40, 40, 60, 60]


def test_barriers_and_delays_take_their_time(native: Translate) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.rx(1.0, 0)
    circuit.delay(30, 0, unit="ns")
    circuit.barrier(0, 1)
    circuit.rx(1.0, 1)
    circuit.delay(0.1, 1, unit="us")
    circuit.measure([0, 1], [0, 1])
    program = native(circuit)
    assert starts(program, Turn) == [0, 52], "30 ns are rounded up to the grid of 4 ns"
    assert starts(program, Acquire) == [172, 172]


def test_the_last_measurement_into_a_bit_counts(native: Translate) -> None:
    circuit = QuantumCircuit(2, 3)
    circuit.measure([0, 1, 0], [0, 0, 2])
    assert native(circuit).bits == (Acquire(1, 0), None, Acquire(0, 1))


def test_a_condition_waits_for_its_bit(from_text: Callable[[str], NativeProgram]) -> None:
    program = from_text("c[0] = measure q[0]; if (c[0]) { x q[1]; } c[1] = measure q[1];")
    (conditional,) = (o for o in program.operations if isinstance(o.operation, Conditional))
    acquired = starts(program, Acquire)[0]
    assert conditional.start_ns >= acquired + 1200 + FEEDBACK_NS


def test_an_active_reset_looks_and_turns_back(device: Device, chip: DeviceFile) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.sx(0)
    circuit.reset(0)
    circuit.measure([0, 1], [0, 1])
    passive = compiled(circuit, device)
    program = native_programs(replace(passive, active_reset=True), chip)[0]
    assert program.resets
    assert program.acquisitions_of == {0: 3, 1: 2}
    assert program.bits == (Acquire(0, 2), Acquire(1, 1)), "what resets writes no bit"
    looks = [
        (timed.start_ns, timed.operation.qubit)
        for timed in program.operations
        if isinstance(timed.operation, Acquire)
    ]
    for timed in program.operations:
        if isinstance(timed.operation, Conditional):
            (turn,) = timed.operation.body
            qubit = turn.operation.qubit
            assert turn.operation == Turn(timed.operation.source, 180.0, 0.0)
            last = max(at for at, of in looks if of == qubit and at < timed.start_ns)
            assert timed.start_ns >= last + 1200 + FEEDBACK_NS
    durations = Durations(chip)
    waited = Upload((native_programs(passive, chip)[0],), 1).duration_ns(durations)
    assert Upload((program,), 1).duration_ns(durations) == program.duration_ns < waited / 10


def test_conditions_come_one_after_the_other(from_text: Callable[[str], NativeProgram]) -> None:
    program = from_text(
        "c[0] = measure q[0]; c[1] = measure q[1]; if (c[1]) { x q[2]; } if (c[0]) { z q[2]; }"
    )
    order = [
        (type(one.operation).__name__, getattr(one.operation, "source", None))
        for one in program.operations
        if isinstance(one.operation, Acquire | Conditional)
    ]
    assert order == [
        ("Acquire", None),
        ("Conditional", 1),
        ("Acquire", None),
        ("Conditional", 0),
    ], "the sequencers keep one bit on its way at a time"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("c[0] = measure q[0]; c[1] = measure q[1]; if (c == 2) { x q[2]; }", "several bits"),
        ("c[0] = measure q[0]; if (c[0]) { cx q[1], q[2]; }", "'cz' under a condition"),
        ("c[0] = measure q[0]; x q[0]; if (c[0]) { x q[1]; }", "whose qubit was used since"),
        (
            "c[0] = measure q[0]; if (c[0]) { x q[1]; } sx q[1]; if (c[0]) { x q[1]; }",
            "Two conditions on one measured bit",
        ),
    ],
)
def test_what_the_sequencers_cannot_do_is_refused(
    from_text: Callable[[str], NativeProgram], body: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        from_text(body)


@pytest.mark.parametrize(
    ("qubits", "average", "words"),
    [
        ([0, 0], True, "Qubit 0 of the chip is measured 2 times, and a scope keeps one"),
        ([0, 1], False, "their shots are not the same shots"),
    ],
)
def test_what_no_scope_can_trace_is_refused(
    chip: DeviceFile, qubits: list[int], average: bool, words: str
) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(qubits, [0, 1])
    program = replace(as_it_is(circuit), measurement_level=0, average=average)
    with pytest.raises(InputError, match=words) as caught:
        native_programs(program, chip)
    assert caught.value.where == "test"


@pytest.mark.parametrize("taken", [0, 1])
def test_both_ways_of_a_branch_do_what_they_say(
    from_text: Callable[[str], NativeProgram], taken: int
) -> None:
    flip = "x q[0];" if taken else ""
    program = from_text(
        f"{flip} c[0] = measure q[0];"
        "if (c[0]) { ry(0.7) q[1]; t q[1]; } else { rx(1.1) q[1]; s q[1]; }"
    )
    done = QuantumCircuit(2)
    for timed in program.operations:
        operation = timed.operation
        inner = operation.body if isinstance(operation, Conditional) and taken else ()
        for one in inner or (timed,):
            match one.operation:
                case Turn(qubit=1, theta=theta, phi=phi):
                    done.r(np.radians(theta), np.radians(phi), 1)
                case Frame(qubit=1, degrees=degrees):
                    done.rz(np.radians(degrees), 1)
                case _:
                    pass
    wanted = QuantumCircuit(2)
    if taken:
        wanted.ry(0.7, 1)
        wanted.t(1)
    else:
        wanted.rx(1.1, 1)
        wanted.s(1)
    assert Operator(done).equiv(Operator(wanted))


def test_a_conditional_change_of_frame_is_made_of_pulses() -> None:
    turns = in_pulses([Frame(0, 50.0), Turn(0, 70.0, 20.0), Frame(0, -10.0)])
    played, wanted = QuantumCircuit(1), QuantumCircuit(1)
    for turn in turns:
        played.r(np.radians(turn.theta), np.radians(turn.phi), 0)
    wanted.rz(np.radians(50), 0)
    wanted.r(np.radians(70), np.radians(20), 0)
    wanted.rz(np.radians(-10), 0)
    assert Operator(played).equiv(Operator(wanted))


def test_phases_change_once_before_a_pulse(chip: DeviceFile) -> None:
    timeline = [
        Timed(0, Frame(1, 30.0)),
        Timed(0, ControlledPhase(1, 0)),
        Timed(40, Frame(1, 5.0)),
        Timed(40, Turn(1, 90.0, 20.0)),
        Timed(60, Frame(1, 9.0)),
        Timed(60, Turn(1, 45.0, 0.0)),
        Timed(80, Frame(1, 1.0)),
    ]
    shift = chip.couplings[0].cz.phases_degrees[1]
    assert list(by_oscillator(timeline, chip)) == [
        Timed(0, ControlledPhase(0, 1)),
        Timed(40, Frame(1, 35.0 - shift - 20.0)),
        Timed(40, Turn(1, 90.0, 0.0)),
        Timed(60, Frame(1, 9.0 + 20.0)),
        Timed(60, Turn(1, 45.0, 0.0)),
    ]


def test_what_is_simulated_is_the_circuit(native: Translate) -> None:
    circuit = QuantumCircuit(3)
    circuit.rx(0.4, 0)
    circuit.cz(0, 1)
    circuit.ry(-1.3, 1)
    circuit.rz(0.9, 1)
    circuit.sx(2)
    circuit.cz(1, 2)
    circuit.y(0)
    assert Operator(circuit_of(native(circuit), {})).equiv(Operator(circuit))


def test_a_parameter_without_a_value_is_named(chip: DeviceFile) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("theta"), 0)
    with pytest.raises(InputError, match="No value for theta"):
        native_programs(as_it_is(circuit), chip)


def test_a_loop_is_refused_by_name(chip: DeviceFile) -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(3)):
        circuit.x(0)
    with pytest.raises(InputError, match="no operation 'for_loop'"):
        native_programs(as_it_is(circuit), chip)


def test_short_programs_share_an_upload(native: Translate, chip: DeviceFile) -> None:
    programs = [native(ones(2))] * 10
    (run,) = runs(programs, 1000)
    assert (run.first, run.shot, len(run.upload.programs)) == (0, 0, 10)
    clock = list(run.upload.timeline(Durations(chip)))
    assert [t.operation.index for t in clock if isinstance(t.operation, Acquire)] == [
        index for index in range(10) for _ in range(2)
    ]


def test_a_program_with_conditions_is_alone(
    native: Translate, from_text: Callable[[str], NativeProgram]
) -> None:
    plain = native(ones(2))
    conditional = from_text("c[0] = measure q[0]; if (c[0]) { x q[1]; } c[1] = measure q[1];")
    programs = [plain, plain, conditional, conditional, plain]
    found = [(run.first, len(run.upload.programs)) for run in runs(programs, 10)]
    assert found == [(0, 2), (2, 1), (3, 1), (4, 1)]


def test_shots_beyond_the_bins_are_split(native: Translate) -> None:
    split = list(runs([native(ones(1))], 200_000))
    assert [(run.shot, run.upload.repetitions) for run in split] == [
        (0, MOST_BINS),
        (MOST_BINS, 200_000 - MOST_BINS),
    ]
    twice = native(ones(1))
    twice = replace(twice, operations=(*twice.operations, Timed(9999, Acquire(0, 1))))
    assert [run.upload.repetitions for run in runs([twice], 70_000)] == [65_536, 4_464]
    groups = [(run.first, len(run.upload.programs)) for run in runs([native(ones(1))] * 5, 50_000)]
    assert groups == [(0, 2), (2, 2), (4, 1)]


def test_more_measurements_than_bins_are_refused(native: Translate) -> None:
    program = native(ones(1))
    many = tuple(Timed(i, Acquire(0, i)) for i in range(MOST_BINS + 1))
    with pytest.raises(InputError, match="a sequencer keeps 131,072 results"):
        list(runs([replace(program, operations=many)], 1))


def test_times_are_on_the_grid(native: Translate) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.delay(7, 0, unit="dt")
    circuit.rx(1, 0)
    circuit.cz(0, 1)
    circuit.measure(0, 0)
    times = [one.start_ns for one in native(circuit).operations]
    assert all(time % 4 == 0 for time in times)
    assert all(a <= b for a, b in pairwise(times))


def _is_frame(timed: Timed) -> bool:
    return isinstance(timed.operation, Frame)
