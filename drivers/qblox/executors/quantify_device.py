"""A device file as quantify-scheduler's device elements."""

from __future__ import annotations

from typing import Any

from quantify_scheduler import BasicTransmonElement, CompositeSquareEdge, QuantumDevice

from qpuflow.drivers.qblox.config import Coupling, DeviceFile, Qubit


def quantum_device(chip: DeviceFile) -> QuantumDevice:
    device = QuantumDevice("qpuflow_device")
    for channel, (name, qubit) in enumerate(chip.qubits.items()):
        device.add_element(_element(name, channel, qubit))
    for coupling in chip.couplings:
        device.add_edge(_edge(coupling))
    return device


def _element(name: str, channel: int, qubit: Qubit) -> Any:
    element: Any = BasicTransmonElement(name)
    element.clock_freqs.f01(qubit.frequencies.f01_hz)
    element.clock_freqs.readout(qubit.frequencies.readout_hz)
    if qubit.frequencies.f12_hz is not None:
        element.clock_freqs.f12(qubit.frequencies.f12_hz)
    element.rxy.amp180(qubit.drive.amplitude_180)
    element.rxy.motzoi(qubit.drive.motzoi)
    element.rxy.duration(qubit.drive.duration_seconds)
    readout = qubit.readout
    element.measure.acq_channel(channel)
    element.measure.pulse_amp(readout.amplitude)
    element.measure.pulse_duration(readout.pulse_seconds)
    element.measure.acq_delay(readout.delay_seconds)
    element.measure.integration_time(readout.integration_seconds)
    element.measure.acq_rotation(readout.rotation_degrees % 360)
    element.measure.acq_threshold(readout.threshold)
    element.reset.duration(qubit.reset_seconds)
    return element


def _edge(coupling: Coupling) -> Any:
    first, second = coupling.qubits
    edge: Any = CompositeSquareEdge(parent_element_name=first, child_element_name=second)
    edge.cz.square_amp(coupling.cz.amplitude)
    edge.cz.square_duration(coupling.cz.duration_seconds)
    return edge
