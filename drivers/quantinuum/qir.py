"""QIR as pytket writes it, as a Qiskit circuit.

Of QIR what `pytket-qir`'s own profile uses: calls of gates, classical registers (``creg``), and
branches that come together again. Classical arithmetic is not understood, and said so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import pi
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_Gate = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Translated:
    """`outputs` are the classical registers' names in the program, by their index here."""

    circuit: QuantumCircuit
    outputs: Mapping[int, str]


def circuit_of(bitcode: bytes) -> Translated:
    """Raises `InputError` for what is no QIR of this profile."""
    import pyqir

    try:
        module = pyqir.Module.from_bitcode(pyqir.Context(), bitcode)
        entry = next(one for one in module.functions if pyqir.is_entry_point(one))
    except (ValueError, StopIteration) as error:
        raise InputError(f"This is no QIR program: {error}") from error
    translation = _Translation(entry.basic_blocks, pyqir.required_num_qubits(entry) or 0)
    translation.follow(next(iter(translation.blocks)), None)
    return Translated(translation.circuit, translation.outputs)


@dataclass
class _Translation:
    """Follows the blocks. `values` are expressions by the names of what they were assigned to."""

    given: Any
    num_qubits: int
    outputs: dict[int, str] = field(default_factory=dict[int, str])
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        from qiskit import QuantumCircuit, QuantumRegister

        self.blocks = {block.name: list(block.instructions) for block in self.given}
        self.circuit = QuantumCircuit(QuantumRegister(self.num_qubits, "q"))

    def follow(self, block: str, until: str | None) -> None:
        """From this block on; what comes at `until` is left to who asked."""
        following: str | None = block
        while following is not None and following != until:
            *body, last = self.blocks[following]
            for instruction in body:
                self._translate(instruction)
            following = self._after(last)

    def _after(self, last: Any) -> str | None:
        labels = re.findall(r"label %(\w+)", str(last))
        if len(labels) < 2:
            return labels[0] if labels else None
        then, other = labels
        condition = self._value(last.operands[0])
        if self._leads_to(then, other):
            self._branch(condition, then, other)
            return other
        from qiskit.circuit.classical import expr

        self._branch(expr.logic_not(condition), other, then)
        return then

    def _branch(self, condition: Any, block: str, until: str) -> None:
        with self.circuit.if_test(condition):
            self.follow(block, until)

    def _leads_to(self, block: str, end: str) -> bool:
        labels = re.findall(r"label %(\w+)", str(self.blocks[block][-1]))
        return end in labels or any(self._leads_to(label, end) for label in labels)

    def _translate(self, instruction: Any) -> None:
        import pyqir

        if isinstance(instruction, pyqir.Call):
            value = self._call(instruction.callee.name, instruction.args)
        else:
            value = self._logic(instruction)
        if value is not None:
            self.values[_name(instruction)] = value

    def _call(self, name: str, given: Any) -> Any:
        if name.startswith("__quantum__qis__"):
            return self._gate(name.removeprefix("__quantum__qis__").removesuffix("__body"), given)
        arguments = [self._value(one) for one in given]
        match name:
            case "create_creg":
                return self._new_register(arguments[0])
            case "mz_to_creg_bit":
                self.circuit.measure(_qubit(given[0]), arguments[1][arguments[2]])
            case "get_creg_bit":
                return _lifted(arguments[0][arguments[1]])
            case "get_int_from_creg":
                return arguments[0]
            case "set_creg_bit":
                self.circuit.store(arguments[0][arguments[1]], arguments[2])
            case "__quantum__rt__int_record_output":
                index = self.circuit.cregs.index(arguments[0])
                self.outputs[index] = _text(given[1])
            case _:
                raise InputError(f"The call {name} is not understood here")
        return None

    def _new_register(self, size: int) -> Any:
        from qiskit import ClassicalRegister

        register = ClassicalRegister(size, f"c{len(self.circuit.cregs)}")
        self.circuit.add_register(register)
        return register

    def _gate(self, name: str, given: Any) -> None:
        import pyqir

        if name.startswith("barrier"):
            return
        angles = [one.value for one in given if isinstance(one, pyqir.FloatConstant)]
        qubits = [_qubit(one) for one in given[len(angles) :]]
        known = gates(self.circuit).get(name)
        if known is None:
            raise InputError(f"The gate {name} is not known here")
        known(*angles, *qubits)

    def _logic(self, instruction: Any) -> Any:
        import pyqir
        from qiskit.circuit.classical import expr

        one, other = (self._value(operand) for operand in instruction.operands[:2])
        if isinstance(instruction, pyqir.ICmp):
            compare = COMPARISONS.get(str(instruction.predicate).rsplit(".", 1)[-1], "")
            if compare:
                return _compared(getattr(expr, compare), one, other)
        binary = {"AND": expr.logic_and, "OR": expr.logic_or, "XOR": expr.not_equal}
        kind = binary.get(str(instruction.opcode).rsplit(".", 1)[-1])
        if kind is None or getattr(instruction.type, "width", 0) != 1:
            raise InputError(f"Classical arithmetic is not understood here: {instruction}")
        return kind(_lifted(one), _lifted(other))

    def _value(self, operand: Any) -> Any:
        """A constant, or what was assigned before."""
        import pyqir

        if isinstance(operand, pyqir.IntConstant):
            width = operand.type.width
            return bool(operand.value) if width == 1 else operand.value
        return self.values.get(_name(operand))


COMPARISONS = {
    "EQ": "equal",
    "NE": "not_equal",
    **{
        f"{sign}{kind}": name for sign in "SU" for kind, name in (("LT", "less"), ("GT", "greater"))
    },
    **{f"{sign}LE": "less_equal" for sign in "SU"},
    **{f"{sign}GE": "greater_equal" for sign in "SU"},
}


def gates(circuit: QuantumCircuit) -> Mapping[str, _Gate]:
    """QIR's gates as Qiskit's: angles first, then qubits."""

    def rxxyyzz(alpha: float, beta: float, gamma: float, a: int, b: int) -> None:
        circuit.rxx(alpha, a, b)
        circuit.ryy(beta, a, b)
        circuit.rzz(gamma, a, b)

    def zzmax(a: int, b: int) -> None:
        circuit.rzz(pi / 2, a, b)

    plain = ("h", "x", "y", "z", "s", "t", "rx", "ry", "rz", "rzz", "cz", "swap", "reset")
    return {
        **{name: getattr(circuit, name) for name in plain},
        "phasedx": circuit.r,
        "cnot": circuit.cx,
        "zzmax": zzmax,
        "rxxyyzz": rxxyyzz,
    }


def _compared(compare: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """QIR's integers have 64 bits; a register compares with numbers that fit into it."""
    return compare(*(side if isinstance(side, int) else _lifted(side) for side in (one, other)))


def _lifted(value: Any) -> Any:
    from qiskit.circuit.classical import expr

    return expr.lift(value)


def _name(value: Any) -> str:
    return str(value).strip().split(" = ", 1)[0]


def _qubit(pointer: Any) -> int:
    import pyqir

    return int(pyqir.ptr_id(pointer) or 0)


def _text(pointer: Any) -> str:
    import pyqir

    return (pyqir.extract_byte_string(pointer) or b"").rstrip(b"\0").decode()
