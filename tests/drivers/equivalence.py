"""Whether what is handed to a vendor gives the outcomes of the circuit that was meant: exactly.

Called in processes of their own, for the vendors' SDKs.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import Statevector

from qpuflow.domain import compiling
from qpuflow.domain.compilers import Compiler
from qpuflow.domain.device import Device
from qpuflow.domain.executable import Executable
from qpuflow.drivers import tket

Distribution = Mapping[int, float]
"""Probability by the value of all classical bits, clbit 0 the lowest."""


def distribution(circuit: QuantumCircuit) -> Distribution:
    """Of a circuit that measures at its end: by Qiskit's own state vector."""
    measured: dict[int, int] = {}
    for step in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
        if step.operation.name != "barrier":
            assert not measured.keys() & set(qubits), "something happens after a measurement"
        if step.operation.name == "measure":
            measured[qubits[0]] = circuit.find_bit(step.clbits[0]).index
    gates = [s for s in circuit.data if s.operation.name not in ("measure", "barrier")]
    busy = {circuit.find_bit(qubit).index for step in gates for qubit in step.qubits}
    qubits = sorted(busy | set(measured))
    place = {qubit: index for index, qubit in enumerate(qubits)}
    small = QuantumCircuit(len(qubits))
    for step in gates:
        places = [place[circuit.find_bit(qubit).index] for qubit in step.qubits]
        small.append(step.operation, places)
    chances: Any = Statevector(small).probabilities()
    return gathered(chances, {place[q]: clbit for q, clbit in measured.items()})


def gathered(chances: Any, measured: Mapping[int, int]) -> Distribution:
    """`chances` by the value of all qubits, qubit 0 the lowest."""
    values = np.zeros(len(chances), dtype=int)
    states = np.arange(len(chances))
    for qubit, clbit in measured.items():
        values |= ((states >> qubit) & 1) << clbit
    found: dict[int, float] = defaultdict(float)
    for value, chance in zip(values, chances, strict=True):
        found[int(value)] += float(chance)
    return found


def difference(one: Distribution, other: Distribution) -> float:
    """Their total variation distance."""
    return sum(abs(one.get(k, 0.0) - other.get(k, 0.0)) for k in {*one, *other}) / 2


def loaded(content: bytes) -> QuantumCircuit:
    return qpy.load(io.BytesIO(content))[0]


def dumped(circuit: QuantumCircuit) -> bytes:
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def compiled(
    circuit: QuantumCircuit, device: Device, compiler: Compiler, level: int
) -> compiling.Compiled:
    by = tket.compile_circuit if compiler is Compiler.PYTKET else compiling.compile_circuit
    return by(circuit, device, 0 if compiler is Compiler.VENDOR else level, 1)


def worst(
    vendor: str, content: bytes, device: Device, choices: Sequence[tuple[Compiler, int]]
) -> float:
    """The largest difference over the choices of compilers and levels, as handed to the vendor."""
    circuit = loaded(content)
    meant = distribution(circuit)
    found: list[float] = []
    for compiler, level in choices:
        made = compiled(circuit, device, compiler, level)
        executable = made.executable("equivalence")
        after = level if compiler is Compiler.VENDOR else 0
        found.append(difference(meant, OUT[vendor](executable, after)))
    return max(found)


def _qiskit(executable: Executable, level: int) -> Distribution:
    return distribution(loaded(executable.qpy))


def _ibm(executable: Executable, level: int) -> Distribution:
    """As IBM's own decoder reads the job."""
    from qiskit_ibm_runtime import RuntimeDecoder

    from qpuflow.drivers.ibm.pubs import encoded

    (pub,) = json.loads(encoded([executable], 100), cls=RuntimeDecoder)["pubs"]
    return distribution(pub[0])


def _quantinuum(executable: Executable, level: int) -> Distribution:
    """As pytket reads the text; the classical registers as results are read."""
    from pytket.extensions.qiskit.qiskit_convert import tk_to_qiskit
    from pytket.qasm.qasm import circuit_from_qasm_str

    from qpuflow.drivers.quantinuum.programs import written
    from qpuflow.drivers.quantinuum.registers import pieces_of

    (program,) = written([executable], level)
    circuit = tk_to_qiskit(circuit_from_qasm_str(program.source, maxwidth=64))
    assert [r.name for r in circuit.cregs] == [p.name for p in pieces_of(executable.registers)]
    return distribution(circuit)


def _braket(executable: Executable, level: int) -> Distribution:
    """As Amazon's own simulator calculates it, without shots."""
    from braket.default_simulator import StateVectorSimulator
    from braket.ir.openqasm import Program

    from qpuflow.drivers.braket.openqasm import circuits_of, write

    (circuit,) = circuits_of(executable)
    program = write(circuit)
    assert program.straight
    body = re.sub(r"^b\[\d+\] = measure.*\n?", "", program.source, flags=re.MULTILINE)
    source = f"{body}\n#pragma braket result probability all"
    told: Any = StateVectorSimulator().run(Program(source=source, inputs={}), shots=0)
    n = program.qubits
    chances = np.asarray(told.resultTypes[0].value).reshape([2] * n)
    chances = chances.transpose(*reversed(range(n))).reshape(-1)
    found: dict[int, float] = defaultdict(float)
    for state, chance in enumerate(chances):
        value = sum(
            1 << clbit
            for index, clbits in enumerate(program.clbits)
            for clbit in clbits
            if state >> index & 1
        )
        found[value] += float(chance)
    return found


OUT: Mapping[str, Callable[[Executable, int], Distribution]] = {
    "aer": _qiskit,
    "ibm": _ibm,
    "quantinuum": _quantinuum,
    "braket": _braket,
}
