"""What the two files must say together: every line is wired, every frequency can be made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from qpuflow.drivers.qblox.config.chip import DeviceFile
from qpuflow.drivers.qblox.config.connections import RF, Connection, Finding, connections_of
from qpuflow.drivers.qblox.config.wiring import HardwareFile, ModulationFrequencies

_READOUT = frozenset({"QRM", "QRM_RF", "QRC"})
SEQUENCERS = {"QRC": 12}
"""Of each module; all other kinds have six."""
CLOCKS = {"mw": ("{}.01", "{}.12"), "res": ("{}.ro",)}
"""Of a qubit's microwave lines, by the last part of the port's name."""
MOST_IF_HZ = 500e6
LO_HZ = (2e9, 18e9)


def findings(device: DeviceFile, hardware: HardwareFile) -> Iterator[Finding]:
    """All that cannot work, in the order of the files."""
    connections, bad = connections_of(hardware)
    yield from bad
    yield from _couplings(device)
    yield from _strangers(device, connections)
    yield from _missing_lines(device, connections)
    yield from _shared_flux_lines(connections)
    yield from _strange_options(hardware, connections)
    yield from _attenuations(hardware)
    yield from _frequencies(device, hardware, connections)
    yield from _sequencers(connections)


def _strangers(device: DeviceFile, connections: dict[str, Connection]) -> Iterator[Finding]:
    for connection in connections.values():
        name = connection.port.partition(":")[0]
        if name not in device.qubits:
            known = ", ".join(device.names)
            place = ("connectivity", "graph", connection.index)
            yield Finding(f"the device file has no qubit {name!r}, only {known}", place)


def _couplings(device: DeviceFile) -> Iterator[Finding]:
    seen: set[frozenset[str]] = set()
    for index, coupling in enumerate(device.couplings):
        place = ("couplings", index)
        pair = frozenset(coupling.qubits)
        if unknown := [name for name in coupling.qubits if name not in device.qubits]:
            yield Finding(f"there is no qubit {unknown[0]!r} to couple", place, in_device=True)
        elif len(pair) == 1:
            yield Finding(f"{coupling.qubits[0]} is coupled with itself", place, in_device=True)
        elif pair in seen:
            names = " and ".join(coupling.qubits)
            yield Finding(f"{names} are coupled already", place, in_device=True)
        seen.add(pair)


def _missing_lines(device: DeviceFile, connections: dict[str, Connection]) -> Iterator[Finding]:
    for name in device.names:
        for port, purpose in ((f"{name}:mw", "drive"), (f"{name}:res", "readout")):
            if port not in connections:
                message = f"no output is connected to {port}, so nothing can {purpose} {name}"
                yield Finding(message, ("connectivity", "graph"))
        readout = connections.get(f"{name}:res")
        if readout and readout.kind not in _READOUT:
            message = f"{name}:res is at a {readout.kind}, which cannot acquire; use a QRM or QRC"
            yield Finding(message, ("connectivity", "graph", readout.index))
    for index, coupling in enumerate(device.couplings):
        moved = coupling.qubits[0]
        if f"{moved}:fl" not in connections:
            message = f"a CZ moves {moved}, but no output is connected to its flux line {moved}:fl"
            yield Finding(message, ("couplings", index), in_device=True)


def _shared_flux_lines(connections: dict[str, Connection]) -> Iterator[Finding]:
    users: dict[str, str] = {}
    for connection in connections.values():
        if connection.port.endswith(":fl"):
            other = users.setdefault(connection.output, connection.port)
            if other != connection.port:
                message = f"{connection.output} is {other}'s: what moves one qubit moves the other"
                yield Finding(message, ("connectivity", "graph", connection.index))


def _strange_options(
    hardware: HardwareFile, connections: dict[str, Connection]
) -> Iterator[Finding]:
    """An attenuation that a misspelt key sets for nobody would be full power."""
    for field in ("modulation_frequencies", "output_att", "input_att"):
        for port_clock in getattr(hardware.hardware_options, field):
            port, _, clock = port_clock.partition("-")
            name, _, line = port.partition(":")
            place = ("hardware_options", field, port_clock)
            clocks = [one.format(name) for one in CLOCKS.get(line, ())]
            if port not in connections:
                message = f"{port_clock}: nothing is connected to {port}"
                yield Finding(message, place)
            elif clocks and clock not in clocks:
                message = f"{port_clock}: {port} has no clock {clock!r}, only {', '.join(clocks)}"
                yield Finding(message, place)


def _attenuations(hardware: HardwareFile) -> Iterator[Finding]:
    options = hardware.hardware_options
    for field, most in (("output_att", 60), ("input_att", 30)):
        for port_clock, decibels in getattr(options, field).items():
            if decibels % 2 or not 0 <= decibels <= most:
                message = f"{decibels} dB: attenuators go from 0 to {most} dB in steps of 2"
                yield Finding(message, ("hardware_options", field, port_clock))


def _frequencies(
    device: DeviceFile, hardware: HardwareFile, connections: dict[str, Connection]
) -> Iterator[Finding]:
    given = hardware.hardware_options.modulation_frequencies
    wanted = {
        **{f"{n}:mw-{n}.01": q.frequencies.f01_hz for n, q in device.qubits.items()},
        **{f"{n}:res-{n}.ro": q.frequencies.readout_hz for n, q in device.qubits.items()},
    }
    oscillators: defaultdict[str, dict[float, str]] = defaultdict(dict)
    for port_clock, frequency in wanted.items():
        connection = connections.get(port_clock.partition("-")[0])
        if connection is None or connection.kind not in RF:
            continue
        place = ("hardware_options", "modulation_frequencies", port_clock)
        mixing = given.get(port_clock, ModulationFrequencies())
        problem, oscillator = _mixing(mixing, frequency, port_clock)
        if problem:
            yield Finding(problem, place)
            continue
        others = oscillators[connection.output]
        for other, user in others.items():
            if abs(other - oscillator) > 1:
                yield Finding(
                    f"the oscillator of {connection.output} would be at {oscillator / 1e9:g} GHz, "
                    f"but {user} needs {other / 1e9:g} GHz, and an output has one oscillator",
                    place,
                )
        others.setdefault(oscillator, port_clock)


def _mixing(
    mixing: ModulationFrequencies, frequency: float, port_clock: str
) -> tuple[str | None, float]:
    """What is wrong, and the oscillator's frequency."""
    lo, intermediate = mixing.lo_freq, mixing.interm_freq
    if lo is None and intermediate is None:
        return f"neither lo_freq nor interm_freq is given for {port_clock}", 0.0
    if lo is None:
        lo = frequency - (intermediate or 0.0)
    rest = frequency - lo
    if intermediate is not None and abs(rest - intermediate) > 1:
        return (
            f"lo_freq {lo / 1e9:g} GHz and interm_freq {intermediate / 1e6:g} MHz make "
            f"{(lo + intermediate) / 1e9:g} GHz, not the {frequency / 1e9:g} GHz of {port_clock}; "
            "give one of them"
        ), lo
    if abs(rest) > MOST_IF_HZ:
        return (
            f"{port_clock} at {frequency / 1e9:g} GHz is {rest / 1e6:+g} MHz from the oscillator, "
            f"and the converters reach {MOST_IF_HZ / 1e6:g} MHz"
        ), lo
    if not LO_HZ[0] <= lo <= LO_HZ[1]:
        return f"an oscillator cannot be at {lo / 1e9:g} GHz: it goes from 2 to 18 GHz", lo
    return None, lo


def _sequencers(connections: dict[str, Connection]) -> Iterator[Finding]:
    users: defaultdict[int, list[Connection]] = defaultdict(list)
    for connection in connections.values():
        users[connection.slot].append(connection)
    for slot, here in users.items():
        most = SEQUENCERS.get(here[0].kind, 6)
        if len(here) > most:
            message = f"{len(here)} ports at module {slot}, which has {most} sequencers"
            yield Finding(message, ("connectivity", "graph", here[most].index))
