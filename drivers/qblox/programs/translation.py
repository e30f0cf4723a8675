"""Compiled Qiskit circuits, parameters bound, as native programs."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.config import DeviceFile
from qpuflow.drivers.qblox.config.values import GRID_NS
from qpuflow.drivers.qblox.programs.branches import Branch, branch_of, in_pulses
from qpuflow.drivers.qblox.programs.gates import gate
from qpuflow.drivers.qblox.programs.native import (
    Acquire,
    Conditional,
    NativeProgram,
    Operation,
    Turn,
    qubits_of,
)
from qpuflow.drivers.qblox.programs.timing import (
    Durations,
    Step,
    as_late_as_possible,
    one_after_the_other,
)

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


def native_programs(executable: Executable, chip: DeviceFile) -> tuple[NativeProgram, ...]:
    """One for each point. `InputError` for what the hardware cannot do."""
    durations = Durations(chip)
    circuits = _bound(executable)
    return tuple(_Translation(circuit, executable, durations).program() for circuit in circuits)


def _bound(executable: Executable) -> list[QuantumCircuit]:
    from qiskit import qpy

    circuit: QuantumCircuit = qpy.load(io.BytesIO(executable.qpy))[0]
    # Not strict: a parameter that cannot matter may have been compiled away.
    bound = [circuit.assign_parameters(point, strict=False) for point in executable.points]
    if missing := {parameter.name for one in bound for parameter in one.parameters}:
        raise InputError(
            f"No value for {', '.join(sorted(missing))}",
            where=executable.name,
            remedy="Give one in every entry of the program's parameters.",
        )
    return bound


class _Translation:
    """Of one circuit. It knows what each classical bit was last read from."""

    def __init__(
        self, circuit: QuantumCircuit, executable: Executable, durations: Durations
    ) -> None:
        self._circuit = circuit
        self._executable = executable
        self._name = executable.name
        self._durations = durations
        self._steps: list[Step] = []
        self._taken: Counter[int] = Counter()
        self._bits: list[Acquire | None] = [None] * executable.num_clbits

    def program(self) -> NativeProgram:
        active = self._executable.active_reset
        for qubit in sorted(self._used()) if active else ():
            self._reset(qubit)
        for instruction in self._circuit.data:
            self._add(instruction)
        if self._executable.measurement_level == 0:
            self._check_traceable()
        operations, duration = as_late_as_possible(self._steps)
        return NativeProgram(operations, duration, tuple(self._bits), active)

    def _add(self, instruction: Any) -> None:
        operation: Any = instruction.operation
        qubits = tuple(self._circuit.find_bit(qubit).index for qubit in instruction.qubits)
        match operation.name:
            case "barrier":
                self._steps.append(Step(None, qubits, 0))
            case "delay":
                self._steps.append(Step(None, qubits, _pause_ns(operation)))
            case "measure":
                self._acquire(qubits[0], self._circuit.find_bit(instruction.clbits[0]).index)
            case "reset" if self._executable.active_reset:
                self._reset(qubits[0])
            case "if_else":
                self._branch(branch_of(self._circuit, instruction, self._name))
            case name:
                self._do(gate(name, operation.params, qubits, self._name))

    def _do(self, operation: Operation) -> None:
        self._steps.append(Step(operation, qubits_of(operation), self._durations.of(operation)))

    def _acquire(self, qubit: int, clbit: int) -> None:
        acquire = Acquire(qubit, self._taken[qubit])
        self._taken[qubit] += 1
        self._bits[clbit] = acquire
        self._do(acquire)

    def _reset(self, qubit: int) -> None:
        """Look, and turn it back if it was a 1."""
        acquire = Acquire(qubit, self._taken[qubit], feeds=True)
        self._taken[qubit] += 1
        self._do(acquire)
        back = one_after_the_other([Turn(qubit, 180.0, 0.0)], self._durations)
        self._do(Conditional(qubit, back))

    def _used(self) -> set[int]:
        """Qubits that anything but waiting is done to."""
        return {
            self._circuit.find_bit(qubit).index
            for instruction in self._circuit.data
            if instruction.operation.name not in {"barrier", "delay"}
            for qubit in instruction.qubits
        }

    def _branch(self, branch: Branch) -> None:
        """What a 0 asks for, always; then for a 1 its reverse and what a 1 asks for."""
        source = self._bits[branch.clbit]
        for one in branch.if_zero:
            self._do(one)
        back = [one.reversed for one in reversed(branch.if_zero)]
        body = one_after_the_other(in_pulses([*back, *branch.if_one]), self._durations)
        if source is not None and body:
            self._feed(source)
            self._do(Conditional(source.qubit, body))

    def _feed(self, source: Acquire) -> None:
        """Do the acquisition now: the sequencers keep one bit on its way at a time."""
        place = next((i for i, step in enumerate(self._steps) if step.operation == source), None)
        if place is None:
            raise self._impossible("Two conditions on one measured bit")
        if any(source.qubit in step.qubits for step in self._steps[place + 1 :]):
            raise self._impossible("A condition on a bit whose qubit was used since")
        step = self._steps.pop(place)
        self._steps.append(replace(step, operation=replace(source, feeds=True)))

    def _check_traceable(self) -> None:
        """A module's scope keeps one trace, whatever number of qubits it reads."""
        for qubit, count in self._taken.items():
            if count > 1:
                raise InputError(
                    f"Qubit {qubit} of the chip is measured {count} times, and a scope keeps one "
                    "trace",
                    where=self._name,
                    remedy="Measure each qubit once, or leave measurement level 0.",
                )
        if len(self._taken) > 1 and not self._executable.average:
            raise InputError(
                "Traces of several qubits are taken in runs of their own, so that their shots "
                "are not the same shots",
                where=self._name,
                remedy="Average the shots, or measure one qubit.",
            )

    def _impossible(self, what: str) -> InputError:
        return InputError(
            f"{what} is more than the sequencers can do",
            where=self._name,
            remedy="Put the condition right behind its measurement, and all gates under one.",
        )


def _pause_ns(delay: Any) -> int:
    """Rounded up to the grid; an executable's delays are whole nanoseconds."""
    return -(-int(delay.duration) // GRID_NS) * GRID_NS
