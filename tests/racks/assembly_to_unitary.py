"""Reads what the sequencers are told to play as a physicist would, and compares with the circuit.

Run as a script with the scheduler's name: each scheduler needs a process of its own. The dummy
cluster cannot tell a wrong phase from a right one; this can, and found that qblox-scheduler 1.0.1
undoes every change of frame before a pulse that has a phase.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy, transpile
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator

from qpuflow.domain.executable import Executable
from qpuflow.domain.targets import target_of
from qpuflow.drivers.qblox.config import Configuration, load_configuration
from qpuflow.drivers.qblox.config.connections import connections_of
from qpuflow.drivers.qblox.devices import device_of
from qpuflow.drivers.qblox.executors.instructions import sequencers
from qpuflow.drivers.qblox.instruments import Instruments
from qpuflow.drivers.qblox.programs import Upload, native_programs
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack

FULL_TURN = 1e9
"""Of an oscillator's phase, in its own steps."""
FULL_GAIN = 32767


def played(sequence: dict[str, Any]) -> Iterator[tuple[int, complex]]:
    """When each pulse of the first repetition starts, in ns, and its area at its phase."""
    waves = {one["index"]: np.array(one["data"]) for one in sequence["waveforms"].values()}
    clock, phase, pending, gain, registers = 0, 0.0, 0.0, (0.0, 0.0), dict[str, int]()
    for line in sequence["program"].splitlines():
        words = line.partition("#")[0].replace(",", " ").split()
        if not words or words[0].endswith(":"):
            words = words[1:]
        match words:
            case ["move", value, register]:
                registers[register] = int(value) if value.isdigit() else registers[value]
            case ["set_ph_delta", steps]:
                pending += int(steps) / FULL_TURN
            case ["set_awg_gain", i, q]:
                gain = (int(i) / FULL_GAIN, int(q) / FULL_GAIN)
            case ["play", i, q, nanoseconds]:
                phase, pending = phase + pending, 0.0
                area = gain[0] * waves[int(i)].sum() + 1j * gain[1] * waves[int(q)].sum()
                yield clock, area * np.exp(2j * np.pi * phase)
                clock += int(nanoseconds)
            case ["wait" | "upd_param" | "acquire", *_, nanoseconds]:
                if words[0] == "upd_param":
                    phase, pending = phase + pending, 0.0
                clock += registers.get(nanoseconds) or int(nanoseconds)
            case ["loop" | "stop", *_]:
                return
            case _:
                pass


def circuit_of(instructions: Any, configuration: Configuration) -> QuantumCircuit:
    """Pulses on drive lines turn about their phase; a pulse on a flux line is a CZ."""
    chip = configuration.device
    ports = {
        (one.slot, one.channel): port.partition(":")
        for port, one in connections_of(configuration.hardware)[0].items()
    }
    events: list[tuple[int, str, str, complex]] = []
    for one in sequencers(instructions):
        name, _, kind = ports[one.slot, one.settings.channel_name]
        if kind != "res":
            events += [(time, kind, name, area) for time, area in played(one.settings.sequence)]
    circuit = QuantumCircuit(len(chip.qubits))
    index = {name: i for i, name in enumerate(chip.qubits)}
    for _, kind, name, area in sorted(events, key=lambda event: event[0]):
        if kind == "mw":
            half = _area_of_a_half_turn(chip.qubits[name].drive.amplitude_180)
            circuit.r(np.pi * abs(area) / half, float(np.angle(area)), index[name])
        else:
            coupling = next(c for c in chip.couplings if c.qubits[0] == name)
            for qubit, shift in zip(coupling.qubits, coupling.cz.phases_degrees, strict=True):
                # The flux pulse's side effect, which a shift of the drive by as much undoes.
                circuit.rz(np.radians(shift), index[qubit])
            first, second = (index[qubit] for qubit in coupling.qubits)
            circuit.cz(first, second)
    return circuit


def _area_of_a_half_turn(amplitude: float) -> float:
    times = np.arange(20) - 10
    gauss = np.exp(-0.5 * (times / 2.5) ** 2)
    return float(amplitude * (gauss - (gauss[0] + gauss[-1]) / 2).sum())


def executable_of(circuit: QuantumCircuit) -> Executable:
    file = io.BytesIO()
    qpy.dump(circuit, file)
    return Executable("random", file.getvalue(), ())


def main(name: str) -> None:
    settings = load_rack(SHIPPED).model_copy(update={"executor": name})
    configuration = load_configuration(settings.device_file, settings.hardware_file)
    target = target_of(device_of("rack", configuration.device, max_shots=1000, simulated=True))
    os.chdir(tempfile.mkdtemp())
    rack = Instruments(settings, configuration)
    for seed in range(6):
        circuit = transpile(random_circuit(5, 4, max_operands=2, seed=seed), target=target)
        program = native_programs(executable_of(circuit), configuration.device)[0]
        compiled: Any = rack.schedule(Upload((program,), 10)).compiled
        mine = circuit_of(compiled.compiled_instructions["cluster0"], configuration)
        # From each basis state to each other: the frames left at the end are nobody's business.
        wanted, found = (np.abs(np.asarray(Operator(one))) ** 2 for one in (circuit, mine))
        off = float(abs(wanted - found).max())
        assert off < 0.01, f"{name}, circuit {seed}: off by {off:.3f}"
    sys.stdout.write("the pulses are the gates")


if __name__ == "__main__":
    main(sys.argv[1])
