"""The hardware file: modules, connections and mixing frequencies, as Qblox's schedulers write it.

It is the vendor's own format (version 0.2 of its hardware compilation configuration), so that a
lab's file works as it is. What is read here is checked here; what only the scheduler reads
(mixer corrections, distortions, latencies) is passed on untouched.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qpuflow.drivers.qblox.config.values import Value

Slot = Annotated[int, Field(ge=1, le=20)]


class _Open(BaseModel):
    """A part of the vendor's format, of which we read only some."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Module(_Open):
    instrument_type: Literal["QCM", "QCM_RF", "QRM", "QRM_RF", "QRC", "QTM"]


class Cluster(_Open):
    instrument_type: Literal["Cluster"] = "Cluster"
    ref: Literal["internal", "external"] = "internal"
    ip: str | None = None
    modules: dict[Slot, Module] = Field(min_length=1)


class ModulationFrequencies(Value):
    """Of one port and clock: the local oscillator, or the intermediate frequency, or both."""

    lo_freq: float | None = None
    interm_freq: float | None = None


class HardwareOptions(_Open):
    modulation_frequencies: dict[str, ModulationFrequencies] = Field(
        default_factory=dict[str, ModulationFrequencies]
    )
    output_att: dict[str, int] = Field(default_factory=dict[str, int])
    input_att: dict[str, int] = Field(default_factory=dict[str, int])


class Connectivity(_Open):
    graph: tuple[tuple[str, str], ...]


class HardwareFile(_Open):
    hardware_description: dict[str, Cluster] = Field(min_length=1, max_length=1)
    hardware_options: HardwareOptions = HardwareOptions()
    connectivity: Connectivity

    @property
    def cluster_name(self) -> str:
        return next(iter(self.hardware_description))

    @property
    def cluster(self) -> Cluster:
        return self.hardware_description[self.cluster_name]

    def for_scheduler(self, config_type: str) -> dict[str, Any]:
        """What the scheduler of that configuration class is given."""
        content = self.model_dump(mode="json", exclude_none=True)
        return {**content, "config_type": config_type}
