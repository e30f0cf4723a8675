"""What IBM says of a backend, as a `Device` and a calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qpuflow.domain.device import Device, DeviceStatus, Gate, GateSite, Limits

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

CONTROL_FLOW = ("if_else", "for_loop", "while_loop", "switch_case")

SUB_JOB_SECONDS = 2.0
"""IBM's rule of thumb for the QPU time of a job: 2 s a sub-job, and for each execution the pause
before it and the circuit. https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time"""

DEFAULT_REPETITION_SECONDS = 250e-6
"""IBM's pause before each execution, where the backend does not tell."""


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """The answers to configuration, properties and status. A model has no status."""

    configuration: Mapping[str, Any]
    properties: Mapping[str, Any]
    status: Mapping[str, Any] | None = None

    def device(self, qpu: str, *, simulated: bool = False) -> Device:
        size = int(self.configuration["n_qubits"])
        online, reason = self._state()
        return Device(
            name=qpu,
            num_qubits=size,
            gates=tuple(self._gates(size)),
            limits=Limits(
                max_qubits=size,
                max_shots=int(self.configuration.get("max_shots", 100_000)),
                max_programs=int(self.configuration.get("max_experiments", 300)),
            ),
            status=DeviceStatus.ONLINE if online else DeviceStatus.OFFLINE,
            status_reason=reason,
            outside_effects=not simulated,
            simulator=simulated,
            queues=not simulated,
            description=f"IBM {self.configuration['backend_name']}",
        )

    def estimate_seconds(self, executions: int) -> float:
        microseconds = self.configuration.get("default_rep_delay")
        pause = DEFAULT_REPETITION_SECONDS if microseconds is None else microseconds * 1e-6
        return SUB_JOB_SECONDS + executions * pause

    def _state(self) -> tuple[bool, str | None]:
        if self.status is None:
            return True, None
        online = bool(self.status.get("state")) and self.status.get("status") == "active"
        return online, None if online else str(self.status.get("message") or self.status)

    def _gates(self, size: int) -> Iterator[Gate]:
        known = _properties_by_site(self.properties)
        for gate in self.configuration["gates"]:
            if gate["name"] in self.configuration["basis_gates"] and gate["name"] != "reset":
                sites = [tuple(place) for place in gate["coupling_map"]]
                yield Gate(
                    name=gate["name"],
                    sites=tuple(_site(site, known.get((gate["name"], site), {})) for site in sites),
                )
        every = [(qubit,) for qubit in range(size)]
        yield Gate(name="measure", sites=tuple(self._readout(qubit) for (qubit,) in every))
        supported: Sequence[str] = self.configuration.get("supported_instructions", ())
        for name in ("reset", "delay"):
            if name in supported:
                yield Gate(name=name, sites=tuple(GateSite(qubits=site) for site in every))
        yield from (Gate(name=name) for name in CONTROL_FLOW if name in supported)

    def _readout(self, qubit: int) -> GateSite:
        told = _values(self.properties["qubits"][qubit])
        return GateSite(
            qubits=(qubit,),
            duration_seconds=_seconds(told.get("readout_length")),
            error=_value(told.get("readout_error")),
        )


def _properties_by_site(properties: Mapping[str, Any]) -> dict[Any, Mapping[str, Any]]:
    return {
        (gate["gate"], tuple(gate["qubits"])): _values(gate["parameters"])
        for gate in properties["gates"]
    }


def _values(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {parameter["name"]: parameter for parameter in parameters}


def _site(qubits: tuple[int, ...], told: Mapping[str, Mapping[str, Any]]) -> GateSite:
    return GateSite(
        qubits=qubits,
        duration_seconds=_seconds(told.get("gate_length")),
        error=_value(told.get("gate_error")),
    )


def _seconds(parameter: Mapping[str, Any] | None) -> float | None:
    return None if parameter is None else parameter["value"] * SECONDS[parameter["unit"]]


def _value(parameter: Mapping[str, Any] | None) -> float | None:
    """Errors above one mean that nobody knows; the worst is assumed."""
    return None if parameter is None else min(float(parameter["value"]), 1.0)
