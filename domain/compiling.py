"""A circuit in a device's native gates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from qpuflow.domain.delays import in_nanoseconds
from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable, Register
from qpuflow.domain.figures import Figures, figures_of
from qpuflow.domain.limits import check_limits
from qpuflow.domain.own_stages import only_own_stages
from qpuflow.domain.targets import target_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import PassManager, Target


MODULES = ("qiskit.qasm2", "qiskit.qasm3", "qiskit.qpy", "qiskit.transpiler")
"""What a process that compiles should have imported before it is asked to."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The pieces of an `Executable` that do not depend on how it is run.

    `layout[i]` is the physical qubit on which qubit i of the program begins; empty when the
    device has no places. `operations` counts instructions by name, the most frequent first.
    """

    qpy: bytes = field(repr=False)
    registers: tuple[Register, ...]
    parameters: tuple[str, ...]
    layout: tuple[int, ...]
    depth: int
    operations: dict[str, int]
    two_qubit_gates: int = 0
    log_fidelity: float | None = None
    """Of all operations, from the device's errors; None where it does not tell them."""

    @property
    def figures(self) -> Figures:
        return Figures(self.two_qubit_gates, self.depth, self.log_fidelity)

    def circuit(self) -> QuantumCircuit:
        from qiskit import qpy

        return qpy.load(io.BytesIO(self.qpy))[0]

    def executable(
        self,
        name: str,
        points: Sequence[dict[str, float]] = ({},),
        *,
        seed: int | None = None,
        method: str = "automatic",
        memory: bool = False,
        measurement_level: int = 2,
        average: bool = False,
        active_reset: bool = False,
    ) -> Executable:
        return Executable(
            name,
            self.qpy,
            self.registers,
            tuple(points),
            seed,
            method,
            memory,
            measurement_level,
            average,
            active_reset,
        )


def compile_circuit(
    circuit: QuantumCircuit, device: Device, optimization_level: int = 1, seed: int | None = None
) -> Compiled:
    """Rewrite for the device. Not to be called on an event loop: it takes milliseconds to minutes.

    Raises `InputError` when the circuit has more qubits than the device takes, gates without a
    definition, or overlapping classical registers.
    """
    check_limits(device, programs=1, shots=1, qubits=circuit.num_qubits)
    registers = registers_of_circuit(circuit)
    isa = translated(circuit, device, optimization_level, seed)
    return compiled_as(isa, device, registers, _layout(isa, target_of(device)))


def translated(
    circuit: QuantumCircuit, device: Device, optimization_level: int, seed: int | None
) -> QuantumCircuit:
    """In the gates of the device. Raises `InputError` where that cannot be done."""
    from qiskit.transpiler.exceptions import TranspilerError

    try:
        return _pass_manager(target_of(device), optimization_level, seed).run(circuit)
    except TranspilerError as error:
        raise InputError(
            f"The program cannot be written in the gates of {device.name}: {error.message}",
            where=circuit.name,
        ) from error


def compiled_as(
    isa: QuantumCircuit, device: Device, registers: tuple[Register, ...], layout: tuple[int, ...]
) -> Compiled:
    """A circuit in the device's gates, and what is known of it."""
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(in_nanoseconds(isa), buffer)
    figures = figures_of(isa, target_of(device))
    return Compiled(
        qpy=buffer.getvalue(),
        registers=registers,
        parameters=tuple(parameter.name for parameter in isa.parameters),
        layout=layout,
        depth=figures.depth,
        operations={str(name): count for name, count in isa.count_ops().items()},
        two_qubit_gates=figures.two_qubit_gates,
        log_fidelity=figures.log_fidelity,
    )


def registers_of_circuit(circuit: QuantumCircuit) -> tuple[Register, ...]:
    """Classical registers in order of declaration; a bit without one is a register of its own."""
    registers: list[Register] = []
    rest = list(circuit.clbits)
    while rest:
        homes = circuit.find_bit(rest[0]).registers
        bits = list(homes[0][0]) if homes else rest[:1]
        shared = any(len(circuit.find_bit(bit).registers) > 1 for bit in bits)
        if shared or rest[: len(bits)] != bits:
            raise InputError(
                "A classical register shares bits with another or has them out of order",
                where=circuit.name,
                remedy="Declare registers with bits of their own.",
            )
        name = homes[0][0].name if homes else f"clbit{len(circuit.clbits) - len(rest)}"
        registers.append(Register(name, len(bits)))
        del rest[: len(bits)]
    return tuple(registers)


@lru_cache(maxsize=64)
def _pass_manager(target: Target, optimization_level: int, seed: int | None) -> PassManager:
    from qiskit.transpiler import generate_preset_pass_manager

    with only_own_stages():
        return generate_preset_pass_manager(optimization_level, target=target, seed_transpiler=seed)


def _layout(isa: QuantumCircuit, target: Target) -> tuple[int, ...]:
    if isa.layout is None or target.num_qubits is None:
        return ()
    return tuple(isa.layout.initial_index_layout(filter_ancillas=True))
