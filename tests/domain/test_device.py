from __future__ import annotations

import pytest

from qpuflow.domain.device import Device, DeviceStatus, Gate, GateSite, Limits

DEVICE = Device(
    name="five",
    num_qubits=5,
    gates=(Gate(name="rz"), Gate(name="cx", sites=(GateSite(qubits=(0, 1), error=0.01),))),
    limits=Limits(max_qubits=5, max_shots=1000),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": DeviceStatus.OFFLINE, "status_reason": "cooldown"},
        {"description": "other words"},
        {"limits": Limits(max_qubits=5, max_shots=1)},
        {"name": "renamed"},
    ],
)
def test_the_target_hash_outlives_what_no_compiled_program_depends_on(
    changes: dict[str, object],
) -> None:
    assert DEVICE.model_copy(update=changes).target_hash == DEVICE.target_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"num_qubits": 6},
        {"gates": (Gate(name="rz"),)},
        {"gates": (DEVICE.gates[0], Gate(name="cx", sites=(GateSite(qubits=(1, 0)),)))},
    ],
)
def test_the_target_hash_changes_with_qubits_gates_and_sites(changes: dict[str, object]) -> None:
    assert DEVICE.model_copy(update=changes).target_hash != DEVICE.target_hash


def test_a_device_survives_json_with_its_hash() -> None:
    copy = Device.model_validate_json(DEVICE.model_dump_json())
    assert copy == DEVICE
    assert copy.target_hash == DEVICE.target_hash
