"""A device file as qblox-scheduler's compilation configuration. It ships no transmon of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qblox_scheduler.backends.graph_compilation import (
    DeviceCompilationConfig,
    OperationCompilationConfig,
)
from qblox_scheduler.operations import pulse_factories
from qblox_scheduler.operations.acquisition_library import ThresholdedIQIntegration
from qblox_scheduler.operations.pulse_library import DRAGPulse, ResetClockPhase, SquarePulse
from qblox_scheduler.resources import BasebandClockResource
from qblox_scheduler.schedules import TimeableSchedule
from qblox_scheduler.waveforms import drag

from qpuflow.drivers.qblox.config import Coupling, DeviceFile, Qubit
from qpuflow.drivers.qblox.config.chip import Drive, Readout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGMAS = 4


def device_config(chip: DeviceFile) -> DeviceCompilationConfig:
    clocks = {
        clock: frequency
        for name, qubit in chip.qubits.items()
        for clock, frequency in (
            (f"{name}.01", qubit.frequencies.f01_hz),
            (f"{name}.ro", qubit.frequencies.readout_hz),
        )
    }
    return DeviceCompilationConfig.model_validate(
        {
            "elements": {name: _transmon(name, qubit) for name, qubit in chip.qubits.items()},
            "clocks": clocks,
            "edges": {"_".join(one.qubits): {"CZ": _cz(one)} for one in chip.couplings},
        }
    )


def _transmon(name: str, qubit: Qubit) -> dict[str, OperationCompilationConfig]:
    frame = OperationCompilationConfig(
        factory_func=pulse_factories.phase_shift,
        factory_kwargs={"clock": f"{name}.01"},
        gate_info_factory_kwargs=["theta"],
    )
    return {"Rxy": _rxy(name, qubit.drive), "Rz": frame, "measure": _measure(name, qubit.readout)}


def _rxy(name: str, drive: Drive) -> OperationCompilationConfig:
    return OperationCompilationConfig(
        factory_func=turn,
        factory_kwargs={"name": name, "drive": drive},
        gate_info_factory_kwargs=["theta", "phi"],
    )


def turn(name: str, drive: Drive, *, theta: float, phi: float) -> DRAGPulse:
    """A DRAG pulse at the oscillator's phase.

    Around a pulse with a `phase` of its own qblox-scheduler 1.0.1 undoes every shift of the
    clock's phase, and with it all changes of frame; ours goes by another name.
    """
    pulse = DRAGPulse(
        amplitude=drive.amplitude_180 * theta / 180,
        # In seconds here; the Gaussian is cut off at four sigma on either side.
        beta=drive.motzoi * drive.duration_seconds / (2 * SIGMAS),
        phase=0.0,
        duration=drive.duration_seconds,
        port=f"{name}:mw",
        clock=f"{name}.01",
    )
    info = pulse.data["pulse_info"]
    del info["phase"]
    info.update(wf_func=f"{__name__}.{turned_drag.__name__}", angle=phi)
    return pulse


def turned_drag(
    t: NDArray[np.float64], amplitude: float, beta: float, duration: float, angle: float
) -> NDArray[np.complex128]:
    """The scheduler's DRAG pulse at a phase in degrees; seconds, full scales."""
    return drag(t, amplitude, beta, duration, SIGMAS, phase=angle)


def _measure(name: str, readout: Readout) -> OperationCompilationConfig:
    return OperationCompilationConfig(
        factory_func=measurement,
        factory_kwargs={"name": name, "readout": readout},
        gate_info_factory_kwargs=["average_segment_repetitions", "feedback_trigger_label"],
    )


def measurement(
    name: str,
    readout: Readout,
    *,
    average_segment_repetitions: bool,
    feedback_trigger_label: str | None,
) -> TimeableSchedule:
    """A square pulse from a known phase, and the thresholded integration of what comes back.

    The scheduler's own factory for this is private to it.
    """
    port, clock = f"{name}:res", f"{name}.ro"
    schedule = TimeableSchedule("measurement")
    schedule.add(ResetClockPhase(clock=clock))
    pulse = SquarePulse(
        amplitude=readout.amplitude, duration=readout.pulse_seconds, port=port, clock=clock
    )
    schedule.add(pulse, ref_pt="start")
    acquisition = ThresholdedIQIntegration(
        port=port,
        clock=clock,
        duration=readout.integration_seconds,
        acq_label=name,
        coords=None,
        feedback_trigger_label=feedback_trigger_label,
        acq_rotation=readout.rotation_degrees % 360,
        acq_threshold=readout.threshold,
        average_segment_repetitions=average_segment_repetitions,
    )
    schedule.add(acquisition, rel_time=readout.delay_seconds, ref_pt="start")
    return schedule


def _cz(coupling: Coupling) -> OperationCompilationConfig:
    first, second = coupling.qubits
    return OperationCompilationConfig(
        factory_func=pulse_factories.composite_square_pulse,
        factory_kwargs={
            "square_port": f"{first}:fl",
            "square_clock": BasebandClockResource.IDENTITY,
            "square_amp": coupling.cz.amplitude,
            "square_duration": coupling.cz.duration_seconds,
            "virt_z_parent_qubit_phase": 0.0,
            "virt_z_parent_qubit_clock": f"{first}.01",
            "virt_z_child_qubit_phase": 0.0,
            "virt_z_child_qubit_clock": f"{second}.01",
        },
    )
