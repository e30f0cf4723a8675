"""OpenQASM 3 through the reference parser and Qiskit's importer, made fit for strangers' text.

Both packages are used as they are; this adds what they lack: syntax errors with a place, a place
for every other error, names of loose bits, and bounds on what a few characters can ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from openqasm3 import ast
from openqasm3.parser import (
    QASMNodeVisitor,
    qasm3Lexer,  # pyright: ignore[reportAttributeAccessIssue] (generated for the antlr found)
    qasm3Parser,  # pyright: ignore[reportAttributeAccessIssue]
)
from qiskit_qasm3_import import types
from qiskit_qasm3_import.converter import ConvertVisitor
from qiskit_qasm3_import.exceptions import ConversionError, raise_from_node

from qpuflow.domain.source import CORRECT_IT, MAX_BITS, TOO_MANY_BITS, ProgramError, Source

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MAX_POWER_QUBITS = 6
"""Qiskit raises a gate to a power through its whole matrix: 12 qubits took 70 s."""
MAX_LOOP_VALUE = 2**31
"""Past 64 bits Qiskit takes a range for a list and tries to write it out."""


class _FirstError(ErrorListener):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def syntaxError(  # noqa: N802 (antlr's name)
        self,
        recognizer: Any,
        offendingSymbol: Any,  # noqa: N803 (antlr's name)
        line: int,
        column: int,
        msg: str,
        e: Any,
    ) -> NoReturn:
        what = msg.split(" expecting {", maxsplit=1)[0][:120]
        raise self._source.error(f"Syntax error: {what}", line, column + 1, CORRECT_IT)


def parse_tree(source: Source) -> ast.Program:
    """Raise at the first error, where the reference parser prints it and then says nothing."""
    listener = _FirstError(source)
    lexer = qasm3Lexer(InputStream(source.code))
    parser = qasm3Parser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(listener)
    return QASMNodeVisitor().visitProgram(parser.program())


def convert(tree: ast.Program) -> tuple[QuantumCircuit, dict[int, str]]:
    visitor = _Converter()
    state: Any = visitor.convert(tree)  # annotated as a circuit, but it is a State
    return state.circuit, visitor.loose_bits


class _Converter(ConvertVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.loose_bits: dict[int, str] = {}
        self._bits = 0

    def visit(self, node: ast.QASMNode, context: Any = None) -> Any:
        try:
            return super().visit(node, context)
        except (ConversionError, ProgramError, RecursionError):
            raise
        except Exception as error:
            words = getattr(error, "message", None) or str(error) or type(error).__name__
            raise ConversionError(words, node) from error

    def _resolve_constant_int(self, node: ast.Expression, context: Any) -> int:
        value: int = super()._resolve_constant_int(node, context)
        if abs(value) > MAX_BITS:
            raise_from_node(node, f"{value} is more than the {MAX_BITS:,} accepted here")
        return value

    def visit_QubitDeclaration(self, node: ast.QubitDeclaration, context: Any) -> Any:  # noqa: N802
        return self._counted(node, super().visit_QubitDeclaration(node, context))

    def visit_ClassicalDeclaration(  # noqa: N802
        self, node: ast.ClassicalDeclaration, context: Any
    ) -> Any:
        after = self._counted(node, super().visit_ClassicalDeclaration(node, context))
        if isinstance(node.type, ast.BitType) and node.type.size is None:
            self.loose_bits[after.circuit.num_clbits - 1] = node.identifier.name
        return after

    def _counted(self, node: ast.QASMNode, context: Any) -> Any:
        if context.circuit.num_qubits + context.circuit.num_clbits > MAX_BITS:
            raise_from_node(node, TOO_MANY_BITS)
        return context

    def visit_QuantumGate(self, node: ast.QuantumGate, context: Any) -> Any:  # noqa: N802
        symbol = context.symbol_table.get(node.name.name, node)
        if symbol is not None and isinstance(symbol.type, types.Gate):
            wanted = cast("int | list[Any]", symbol.type.n_classical)  # a list for the built-in U
            given = len(node.arguments)
            if isinstance(wanted, int) and wanted != given:
                raise_from_node(
                    node, f"gate '{node.name.name}' takes {wanted} parameters, but got {given}"
                )
        return super().visit_QuantumGate(node, context)

    def visit_ForInLoop(self, node: ast.ForInLoop, context: Any) -> Any:  # noqa: N802
        declared: Any = node.set_declaration
        values: Any = self._resolve_generic(declared, context, strict=True)[0]
        if isinstance(values, slice):
            ends = [end for end in (values.start, values.stop, values.step) if end is not None]
            if any(abs(end) > MAX_LOOP_VALUE for end in ends):
                raise_from_node(node, f"loops beyond {MAX_LOOP_VALUE:,} are not supported")
        return super().visit_ForInLoop(node, context)

    def _apply_gate_modifier(
        self, modifier: ast.QuantumGateModifier, gate: Any, context: Any
    ) -> Any:
        if modifier.modifier in _CONTROLS:
            return self._controlled(modifier, gate, context)
        if modifier.modifier is ast.GateModifierName.pow and gate.num_qubits > MAX_POWER_QUBITS:
            raise_from_node(
                modifier, f"powers of gates on more than {MAX_POWER_QUBITS} qubits are unsupported"
            )
        return super()._apply_gate_modifier(modifier, gate, context)

    def _controlled(self, modifier: ast.QuantumGateModifier, gate: Any, context: Any) -> Any:
        """As the importer does it, less its use of a deprecated default."""
        argument = modifier.argument
        count = 1 if argument is None else self._resolve_constant_int(argument, context)
        on = modifier.modifier is ast.GateModifierName.ctrl
        return gate.control(count, ctrl_state=2**count - 1 if on else 0, annotated=False)


_CONTROLS = (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl)
