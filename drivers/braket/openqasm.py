"""Circuits in Braket's dialect of OpenQASM 3, and what their results mean."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

BRAKET_NAMES: Mapping[str, str] = {
    **{name: name for name in ("h", "x", "y", "z", "s", "t", "rx", "ry", "rz")},
    **{name: name for name in ("swap", "iswap", "cy", "cz", "ecr", "cswap")},
    "id": "i",
    "sdg": "si",
    "tdg": "ti",
    "sx": "v",
    "sxdg": "vi",
    "p": "phaseshift",
    "cx": "cnot",
    "cp": "cphaseshift",
    "rxx": "xx",
    "ryy": "yy",
    "rzz": "zz",
    "ccx": "ccnot",
}
"""Gates by Qiskit's name, with Braket's. Both mean the same matrix up to a global phase, and both
count a controlled gate's qubits from the control; neither has angles but in radians."""

_NOTHING = ("barrier", "delay")


@dataclass(frozen=True, slots=True)
class Written:
    """`clbits[i]` are the classical bits that the i-th measured bit is the value of.

    `straight`: nothing happens to a qubit after its measurement. Then each qubit is measured once,
    at the end, and the i-th measured bit is that of qubit i.
    """

    source: str
    clbits: tuple[tuple[int, ...], ...]
    straight: bool
    qubits: int
    operations: int


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    qubits: tuple[int, ...]
    clbits: tuple[int, ...]
    params: tuple[float, ...]


def circuits_of(executable: Executable) -> list[QuantumCircuit]:
    """One for each point, its parameters bound."""
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


def write(circuit: QuantumCircuit) -> Written:
    """Qubits that nothing acts on are left out. `InputError` for what Braket cannot be told."""
    steps = [step for step in _steps(circuit) if step.name not in _NOTHING]
    active = sorted({qubit for step in steps for qubit in step.qubits}) or [0]
    names = {qubit: f"q[{index}]" for index, qubit in enumerate(active)}
    straight = _is_straight(steps)
    body, clbits = (_measured_last if straight else _in_order)(steps, names)
    head = ["OPENQASM 3.0;", f"qubit[{len(active)}] q;", f"bit[{len(clbits)}] b;"]
    return Written("\n".join([*head, *body]), clbits, straight, len(active), len(body))


def _steps(circuit: QuantumCircuit) -> Iterator[_Step]:
    index = {bit: i for bits in (circuit.qubits, circuit.clbits) for i, bit in enumerate(bits)}
    for step in circuit.data:
        if step.name not in (*BRAKET_NAMES, *_NOTHING, "measure", "reset"):
            raise InputError(
                f"Amazon Braket has no operation {step.name!r}",
                where=circuit.name,
                remedy="Control flow and gates of your own run on other QPUs.",
            )
        yield _Step(
            step.name,
            tuple(index[qubit] for qubit in step.qubits),
            tuple(index[clbit] for clbit in step.clbits),
            tuple(float(value) for value in step.params) if step.name in BRAKET_NAMES else (),
        )


def _is_straight(steps: Iterable[_Step]) -> bool:
    """Measuring a qubit again that nothing has touched since gives the same bit again."""
    measured: set[int] = set()
    for step in steps:
        if step.name == "reset" or (step.name != "measure" and measured.intersection(step.qubits)):
            return False
        if step.name == "measure":
            measured.update(step.qubits)
    return True


_Body = tuple[list[str], tuple[tuple[int, ...], ...]]


def _measured_last(steps: Iterable[_Step], names: Mapping[int, str]) -> _Body:
    """All qubits: some devices want that, and the others do not mind."""
    body = [_line(step, names) for step in steps if step.name != "measure"]
    body += [] if body else ["i q[0];"]
    source = {step.clbits[0]: step.qubits[0] for step in steps if step.name == "measure"}
    body += [f"b[{index}] = measure {name};" for index, name in enumerate(names.values())]
    return body, tuple(tuple(c for c, q in sorted(source.items()) if q == qubit) for qubit in names)


def _in_order(steps: Iterable[_Step], names: Mapping[int, str]) -> _Body:
    written = sorted({clbit for step in steps for clbit in step.clbits})
    bits = {clbit: f"b[{index}]" for index, clbit in enumerate(written)}
    body = [
        f"{bits[step.clbits[0]]} = {_line(step, names)}" if step.clbits else _line(step, names)
        for step in steps
    ]
    return body, tuple((clbit,) for clbit in written)


def _line(step: _Step, names: Mapping[int, str]) -> str:
    name = BRAKET_NAMES.get(step.name, step.name)
    angles = f"({', '.join(map(repr, step.params))})" if step.params else ""
    return f"{name}{angles} {', '.join(names[qubit] for qubit in step.qubits)};"
