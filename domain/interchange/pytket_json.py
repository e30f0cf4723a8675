"""pytket's circuits as `Circuit.to_dict` writes them. Angles are half turns there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import pi
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

SAME_NAMES = {
    **dict.fromkeys(("H", "X", "Y", "Z", "S", "T", "CX", "CY", "CZ", "CH", "SWAP", "CCX", "ECR")),
    **dict.fromkeys(("Rx", "Ry", "Rz", "CRx", "CRy", "CRz", "CSWAP", "Sdg", "Tdg", "SX", "SXdg")),
    **dict.fromkeys(("Reset", "CSX")),
}
"""What Qiskit's circuits call the same, in small letters."""
NAMES: Mapping[str, str] = {
    **{name: name.lower() for name in SAME_NAMES},
    "V": "sx",
    "Vdg": "sxdg",
    "U1": "p",
    "U3": "u",
    "CU1": "cp",
    "noop": "id",
    "XXPhase": "rxx",
    "YYPhase": "ryy",
    "ZZPhase": "rzz",
}


def from_pytket(told: Mapping[str, Any]) -> str:
    from qiskit import QuantumCircuit, qasm3

    circuit = QuantumCircuit()
    places = {**_declared(circuit, told["qubits"], "q"), **_declared(circuit, told["bits"], "c")}
    if any(before != after for before, after in told.get("implicit_permutation", ())):
        raise ValueError("its qubits are permuted: call replace_implicit_wire_swaps() before")
    for command in told["commands"]:
        _apply(circuit, command["op"], [places[_name(arg)] for arg in command["args"]])
    return qasm3.dumps(circuit)


def _declared(circuit: QuantumCircuit, units: Sequence[Any], kind: str) -> dict[str, Any]:
    """Registers as they are named, in order of their first unit."""
    from qiskit import ClassicalRegister, QuantumRegister

    sizes: dict[str, int] = {}
    for name, index in units:
        if len(index) != 1:
            raise ValueError(f"register {name} has {len(index)} dimensions")
        sizes[name] = max(sizes.get(name, 0), int(index[0]) + 1)
    found: dict[str, Any] = {}
    for name, size in sizes.items():
        register = (QuantumRegister if kind == "q" else ClassicalRegister)(size, name)
        circuit.add_register(register)
        found |= {f"{name}[{index}]": bit for index, bit in enumerate(register)}
    return found


def _name(unit: Sequence[Any]) -> str:
    return f"{unit[0]}[{unit[1][0]}]"


def _apply(circuit: QuantumCircuit, op: Mapping[str, Any], bits: list[Any]) -> None:
    kind = op["type"]
    angles = [_angle(one) for one in op.get("params", ())]
    if kind in NAMES:
        getattr(circuit, NAMES[kind])(*angles, *bits)
    elif kind in OTHERS:
        OTHERS[kind](circuit, angles, bits)
    elif kind == "Conditional":
        _apply_if(circuit, op["conditional"], bits)
    else:
        raise ValueError(f"pytket's {kind} is not known here: rebase the circuit before")


def _angle(told: Any) -> float:
    try:
        return float(told) * pi
    except ValueError as error:
        raise ValueError(f"the angle {told!r} is no number: substitute symbols before") from error


def _apply_if(circuit: QuantumCircuit, conditional: Mapping[str, Any], bits: list[Any]) -> None:
    """The first bits are what it depends on, the lowest of the value first."""
    width, value = int(conditional["width"]), int(conditional["value"])
    if width != 1:
        raise ValueError("a condition on several bits cannot be read")
    with circuit.if_test((bits[0], value)):
        _apply(circuit, conditional["op"], bits[width:])


def _phased_x(circuit: QuantumCircuit, angles: list[float], bits: list[Any]) -> None:
    turn, phase = angles
    circuit.rz(-phase, *bits)
    circuit.rx(turn, *bits)
    circuit.rz(phase, *bits)


def _tk1(circuit: QuantumCircuit, angles: list[float], bits: list[Any]) -> None:
    first, second, third = angles
    circuit.rz(third, *bits)
    circuit.rx(second, *bits)
    circuit.rz(first, *bits)


Applied = Callable[[Any, list[float], list[Any]], object]
OTHERS: Mapping[str, Applied] = {
    "PhasedX": _phased_x,
    "TK1": _tk1,
    "U2": lambda circuit, angles, bits: circuit.u(pi / 2, *angles, *bits),
    "CV": lambda circuit, _, bits: circuit.crx(pi / 2, *bits),
    "CVdg": lambda circuit, _, bits: circuit.crx(-pi / 2, *bits),
    "ZZMax": lambda circuit, _, bits: circuit.rzz(pi / 2, *bits),
    "Phase": lambda circuit, angles, _: None,
    "Barrier": lambda circuit, _, bits: circuit.barrier(*bits),
    "Measure": lambda circuit, _, bits: circuit.measure(*bits),
}
