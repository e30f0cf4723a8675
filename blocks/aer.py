"""The block of a simulated QPU."""

from __future__ import annotations

from pydantic import Field

from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.drivers.aer.settings import AerSettings
from qpuflow.drivers.base import Driver


class AerQpu(QpuBlock):
    """A QPU simulated on this machine by Qiskit Aer, ideal or with noise and a coupling map."""

    _block_type_name = "Aer QPU"
    _block_type_slug = "aer-qpu"
    _documentation_url = DOCUMENTATION
    _description = (
        "A QPU simulated on this machine by Qiskit Aer, ideal or with noise and a coupling map."
    )

    settings: AerSettings = Field(default=AerSettings(), title="Simulator")

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.aer import AerDriver

        return AerDriver(name, self.settings.model_dump(), {})
