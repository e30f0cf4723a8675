"""The block of a Qblox rack."""

from __future__ import annotations

from pydantic import Field

from qpuflow.blocks.bluefors import BlueforsCryostat
from qpuflow.blocks.qpu import DOCUMENTATION, QpuBlock
from qpuflow.domain.calibration import CalibrationPlan
from qpuflow.drivers.base import Driver
from qpuflow.drivers.qblox.link.settings import LinkSettings


class QbloxQpu(QpuBlock):
    """A chip behind a Qblox cluster, whose daemon (`qpuflow rack serve`) runs its jobs."""

    _block_type_name = "Qblox QPU"
    _block_type_slug = "qblox-qpu"
    _documentation_url = DOCUMENTATION
    _description = "A chip behind a Qblox cluster, whose daemon (qpuflow rack serve) runs its jobs."

    settings: LinkSettings = Field(title="Link")
    calibration: CalibrationPlan = Field(
        default_factory=CalibrationPlan,
        title="Calibration",
        description="What is measured of the chip and how often, and what follows from it.",
    )
    cryostat: BlueforsCryostat | None = Field(
        default=None, title="Cryostat", description="Whose sensors are watched with the rack's."
    )

    def driver(self, name: str) -> Driver:
        from qpuflow.drivers.qblox.driver import QbloxDriver

        return QbloxDriver(name, self.settings.model_dump())
