"""What Amazon says of a device, as a `Device`, a price and a calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.device import Device, DeviceStatus, Gate, Limits
from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.estimate import Estimate
from qpuflow.drivers.braket.openqasm import BRAKET_NAMES, Written
from qpuflow.drivers.braket.settings import BraketSettings

ACTION = "braket.ir.openqasm.program"

STATUSES = {
    "ONLINE": DeviceStatus.ONLINE,
    "OFFLINE": DeviceStatus.OFFLINE,
    "RETIRED": DeviceStatus.OFFLINE,
}

MINIMUM_SECONDS = 3.0
"""Simulators in the cloud are charged by the millisecond, but for no less than this."""


@dataclass(frozen=True, slots=True)
class CloudDevice:
    """An answer of GetDevice."""

    name: str
    provider: str
    status: str
    capabilities: Mapping[str, Any]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> CloudDevice:
        capabilities = json.loads(answer["deviceCapabilities"])
        if ACTION not in capabilities["action"]:
            raise OperatorNeeded(
                f"{answer['deviceName']} takes no OpenQASM 3 programs",
                where=answer["deviceArn"],
                remedy="Choose a gate-based device.",
            )
        return cls(
            answer["deviceName"], answer["providerName"], answer["deviceStatus"], capabilities
        )

    def device(self, qpu: str) -> Device:
        """Gates exist anywhere: placing and native gates are left to Braket's own compiler."""
        qubits = int(self.capabilities["paradigm"]["qubitCount"])
        shots = self.capabilities["service"]["shotsRange"]
        return Device(
            name=qpu,
            num_qubits=qubits,
            gates=tuple(Gate(name=name) for name in (*self._gates(), "measure", "delay")),
            limits=Limits(max_qubits=qubits, max_shots=int(shots[1])),
            status=STATUSES.get(self.status, DeviceStatus.OFFLINE),
            status_reason=None if self.status in STATUSES else f"Braket says {self.status}",
            queues=True,
            compilers=(Compiler.QISKIT, Compiler.VENDOR),
            description=f"{self.provider} {self.name} on Amazon Braket",
        )

    @property
    def min_shots(self) -> int:
        """0 means without measurement, which is not what anybody here wants."""
        return max(1, int(self.capabilities["service"]["shotsRange"][0]))

    def _gates(self) -> list[str]:
        theirs = set(self.capabilities["action"][ACTION]["supportedOperations"])
        return [ours for ours, braket in BRAKET_NAMES.items() if braket in theirs]

    def estimate(
        self, programs: Sequence[Written], shots: int, settings: BraketSettings
    ) -> Estimate:
        return self.price([_simulation_seconds(one) for one in programs], shots, settings)

    def price(
        self, seconds: Sequence[float | None], shots: int, settings: BraketSettings
    ) -> Estimate:
        """Of tasks that simulate for so long; None where a task does not tell.

        https://aws.amazon.com/braket/pricing: a task and its shots, or a simulator's minutes.
        """
        cost = self.capabilities["service"].get("deviceCost") or {"price": 0.0, "unit": "shot"}
        if cost["unit"] == "minute":
            charged = sum(max(MINIMUM_SECONDS, one or 0.0) for one in seconds)
            return Estimate(charged, charged / 60 * float(cost["price"]), "USD")
        each = settings.task_price_usd
        each += shots * float(cost["price"]) if cost["unit"] == "shot" else 0.0
        taken = len(seconds) * (1.0 + shots * settings.shot_seconds)
        return Estimate(taken, len(seconds) * each, "USD")

    def calibration(self) -> Mapping[str, Any]:
        """The provider's figures, and Braket's standardized ones, as they are."""
        parts = ("standardized", "provider")
        known = {part: self.capabilities[part] for part in parts if self.capabilities.get(part)}
        service = self.capabilities["service"]
        return {**known, "updated_at": service.get("updatedAt")} if known else {}


def _simulation_seconds(program: Written) -> float:
    return program.operations * 1e-8 * 2.0**program.qubits
