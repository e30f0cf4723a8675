"""A `Device` as the `Target` that Qiskit's transpiler works with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from qpuflow.domain.device import Device, Gate
from qpuflow.domain.errors import OperatorNeeded

if TYPE_CHECKING:
    from qiskit.transpiler import Target

CONTROL_FLOW = (
    "if_else",
    "for_loop",
    "while_loop",
    "switch_case",
    "break_loop",
    "continue_loop",
)

_targets: dict[str, Target] = {}


def target_of(device: Device) -> Target:
    """Built once per `Device.target_hash`.

    A device whose gates all exist anywhere gives a target without a size, so that a circuit
    keeps its own number of qubits.
    """
    key = device.target_hash
    if key not in _targets:
        _targets[key] = _build(device)
    return _targets[key]


def _build(device: Device) -> Target:
    from qiskit.transpiler import Target

    has_sites = any(gate.sites is not None for gate in device.gates)
    target = Target(description=device.name, num_qubits=device.num_qubits if has_sites else None)
    for gate in device.gates:
        _add(target, gate, device.name)
    return target


def _add(target: Target, gate: Gate, device: str) -> None:
    from qiskit.transpiler import InstructionProperties

    try:
        instruction = _instructions()[gate.name]
    except KeyError as error:
        raise OperatorNeeded(
            f"Qiskit has no gate {gate.name!r}",
            where=f"the description of {device}",
            remedy="The driver must name gates as Qiskit does.",
        ) from error
    properties = gate.sites and {
        site.qubits: InstructionProperties(duration=site.duration_seconds, error=site.error)
        for site in gate.sites
    }
    target.add_instruction(instruction, properties, name=gate.name)


@cache
def _instructions() -> dict[str, Any]:
    """Standard gates with free parameters, and control flow, by Qiskit's names."""
    from qiskit.circuit import (
        BreakLoopOp,
        ContinueLoopOp,
        ForLoopOp,
        IfElseOp,
        SwitchCaseOp,
        WhileLoopOp,
    )
    from qiskit.circuit.library import get_standard_gate_name_mapping

    flow = (IfElseOp, ForLoopOp, WhileLoopOp, SwitchCaseOp, BreakLoopOp, ContinueLoopOp)
    return {**get_standard_gate_name_mapping(), **dict(zip(CONTROL_FLOW, flow, strict=True))}
