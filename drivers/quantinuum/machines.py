"""What Quantinuum says of a machine, as a `Device`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.device import Device, DeviceStatus, Gate, Limits, Pace

GATES = ("r", "rz", "rzz", "measure", "reset", "if_else")
"""In Qiskit's words: PhasedX, Rz and ZZPhase, between any qubits."""

MAX_SHOTS = 10_000
MAX_PROGRAMS = 100
"""Each is a job of its own there."""

PACE = Pace(job_seconds=5.0, circuit_seconds=1.0, shot_seconds=0.1, layer_seconds=5e-3)
"""Of trapped ions that are moved between gates."""


def device_of(qpu: str, machine: Mapping[str, Any], state: str) -> Device:
    """The machine's entry in the list of machines. Its errors are in the calibration."""
    online = state == "online"
    return _device(qpu, int(machine["n_qubits"])).model_copy(
        update={
            "limits": Limits(
                max_qubits=int(machine["n_qubits"]),
                max_shots=int(machine.get("max_n_shots", MAX_SHOTS)),
                max_programs=MAX_PROGRAMS,
            ),
            "status": DeviceStatus.ONLINE if online else DeviceStatus.OFFLINE,
            "status_reason": None if online else f"Quantinuum says {state}",
            "queues": True,
            "pace": PACE,
            "description": f"Quantinuum {machine['name']}, {machine.get('system_type', '')}",
        }
    )


def local_device(qpu: str, machine: str, qubits: int, where: str) -> Device:
    return _device(qpu, qubits).model_copy(
        update={
            "outside_effects": False,
            "simulator": True,
            "description": f"Compiled as for Quantinuum {machine}, run on {where} without noise",
            "pace": Pace(shot_seconds=1e-5, layer_seconds=1e-7),
        }
    )


def _device(qpu: str, qubits: int) -> Device:
    return Device(
        name=qpu,
        num_qubits=qubits,
        gates=tuple(Gate(name=name) for name in GATES),
        limits=Limits(max_qubits=qubits, max_shots=MAX_SHOTS, max_programs=MAX_PROGRAMS),
        compilers=(Compiler.QISKIT, Compiler.VENDOR),
    )
