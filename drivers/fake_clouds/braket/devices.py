"""The devices of the fake Amazon Braket, as GetDevice describes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
QPU = "arn:aws:braket:eu-north-1::device/qpu/iqm/Fake"

GATES = [
    *("ccnot", "cnot", "cphaseshift", "cswap", "cy", "cz", "h", "i", "iswap", "phaseshift", "rx"),
    *("ry", "rz", "s", "si", "swap", "t", "ti", "v", "vi", "x", "xx", "y", "yy", "z", "zz"),
]


@dataclass
class FakeDevice:
    arn: str
    name: str
    provider: str
    kind: str
    qubits: int
    shots: tuple[int, int]
    price: dict[str, Any]
    status: str = "ONLINE"
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def summary(self) -> dict[str, Any]:
        return {
            "deviceArn": self.arn,
            "deviceName": self.name,
            "providerName": self.provider,
            "deviceType": self.kind,
            "deviceStatus": self.status,
        }

    @property
    def answer(self) -> dict[str, Any]:
        queue = [
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Normal"},
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
            {"queue": "JOBS_QUEUE", "queueSize": "0"},
        ]
        return {
            **self.summary,
            "deviceCapabilities": json.dumps(self._capabilities()),
            "deviceQueueInfo": queue,
        }

    def _capabilities(self) -> dict[str, Any]:
        window = {
            "executionDay": "Everyday",
            "windowStartHour": "00:00",
            "windowEndHour": "23:59:59",
        }
        action = {
            "actionType": "braket.ir.openqasm.program",
            "version": ["1"],
            "supportedOperations": GATES,
            "supportedResultTypes": [],
            "supportPhysicalQubits": False,
            "requiresContiguousQubitIndices": True,
        }
        return {
            "service": {
                "braketSchemaHeader": {
                    "name": "braket.device_schema.device_service_properties",
                    "version": "1",
                },
                "executionWindows": [window],
                "shotsRange": self.shots,
                "deviceCost": self.price,
                "updatedAt": "2026-11-20T19:28:02.869136",
                "getTaskPollIntervalMillis": 200,
            },
            "action": {"braket.ir.openqasm.program": action},
            "deviceParameters": {},
            **self.more,
        }


def simulator() -> FakeDevice:
    schemas = "braket.device_schema.simulators"
    more = {
        "braketSchemaHeader": {
            "name": f"{schemas}.gate_model_simulator_device_capabilities",
            "version": "1",
        },
        "paradigm": {
            "braketSchemaHeader": {
                "name": f"{schemas}.gate_model_simulator_paradigm_properties",
                "version": "1",
            },
            "qubitCount": 34,
        },
    }
    price = {"price": 0.075, "unit": "minute"}
    return FakeDevice(
        SIMULATOR, "SV1", "Amazon Braket", "SIMULATOR", 34, (0, 100_000), price, more=more
    )


def qpu() -> FakeDevice:
    more = {
        "braketSchemaHeader": {
            "name": "braket.device_schema.iqm.iqm_device_capabilities",
            "version": "1",
        },
        "paradigm": {
            "braketSchemaHeader": {
                "name": "braket.device_schema.gate_model_qpu_paradigm_properties",
                "version": "1",
            },
            "qubitCount": 20,
            "nativeGateSet": ["cz", "prx"],
            "connectivity": {"fullyConnected": False, "connectivityGraph": _ladder(20)},
        },
        "provider": {
            "braketSchemaHeader": {
                "name": "braket.device_schema.iqm.iqm_provider_properties",
                "version": "1",
            },
            "properties": {"one_qubit": {"0": {"T1": 3.5e-05, "fRO": 0.98}}},
        },
    }
    price = {"price": 0.00145, "unit": "shot"}
    return FakeDevice(QPU, "Fake", "IQM", "QPU", 20, (1, 20_000), price, more=more)


def _ladder(size: int) -> dict[str, list[str]]:
    pairs = [(i, i + 1) for i in range(size - 1)]
    return {
        str(qubit): [str(b if a == qubit else a) for a, b in pairs if qubit in (a, b)]
        for qubit in range(size)
    }
