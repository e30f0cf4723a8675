"""The hardware file's graph: which port hangs on which output of which module."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qpuflow.drivers.qblox.config.wiring import HardwareFile

_OUTPUT = re.compile(r"(?P<cluster>\w+)\.module(?P<slot>\d+)\.(?P<channel>\w+)\Z")
_OUTPUTS = {"QCM": 4, "QCM_RF": 2, "QRM": 2, "QRM_RF": 1, "QRC": 6}
RF = frozenset({"QCM_RF", "QRM_RF", "QRC"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something impossible. `place` is where in the file, `in_device` in which of the two."""

    message: str
    place: tuple[str | int, ...]
    in_device: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """One edge of the hardware file's graph, understood."""

    port: str
    slot: int
    kind: str
    channel: str
    index: int

    @property
    def output(self) -> str:
        return f"module{self.slot}.{self.channel}"


def connections_of(hardware: HardwareFile) -> tuple[dict[str, Connection], list[Finding]]:
    """What is sound by port, and what is not."""
    found: dict[str, Connection] = {}
    bad: list[Finding] = []
    for index, (output, port) in enumerate(hardware.connectivity.graph):
        place = ("connectivity", "graph", index)
        match = _OUTPUT.match(output)
        if port in found:
            bad.append(Finding(f"{port} is connected to {found[port].output} already", place))
            continue
        if match is None:
            bad.append(Finding(f"{output!r} is no output: CLUSTER.moduleSLOT.OUTPUT", place))
        elif match["cluster"] != hardware.cluster_name:
            bad.append(Finding(f"there is no cluster {match['cluster']!r}", place))
        elif int(match["slot"]) not in hardware.cluster.modules:
            known = ", ".join(map(str, hardware.cluster.modules))
            bad.append(Finding(f"no module in slot {match['slot']}; there are {known}", place))
        else:
            slot = int(match["slot"])
            kind = hardware.cluster.modules[slot].instrument_type
            channel = match["channel"]
            number = int(channel.rsplit("_", 1)[-1]) if channel[-1].isdigit() else 0
            if problem := _no_such_channel(kind, channel, number):
                bad.append(Finding(problem, place))
            else:
                found[port] = Connection(port, slot, kind, channel, index)
    return found, bad


def _no_such_channel(kind: str, channel: str, number: int) -> str | None:
    outputs = _OUTPUTS.get(kind, 0) // (
        2 if channel.startswith("complex") and kind not in RF else 1
    )
    if "output" in channel and number >= outputs:
        return f"a {kind} has {outputs} outputs of the kind {channel[:-2]}, from 0 on"
    if kind in RF and channel.startswith("real"):
        return f"a {kind} mixes: its outputs are complex_output_0 and on, not {channel}"
    return None
