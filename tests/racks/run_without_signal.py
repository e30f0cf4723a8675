"""Runs a schedule twice, the second time without a signal: what comes back must not be the first's.

A script, for the schedulers' sake: see `assembly_to_unitary`.
"""

from __future__ import annotations

import os
import sys
import tempfile

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.dummy import Signals
from qpuflow.drivers.qblox.instruments import Instruments
from qpuflow.drivers.qblox.programs import Acquire, NativeProgram, Timed, Turn, Upload
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack


def _nothing(*_: object) -> None:
    """What an input sees when no cable is there."""


def main(name: str) -> None:
    settings = load_rack(SHIPPED).model_copy(update={"executor": name})
    configuration = load_configuration(settings.device_file, settings.hardware_file)
    os.chdir(tempfile.mkdtemp())
    rack = Instruments(settings, configuration)
    flip, look = Timed(0, Turn(0, 180.0, 0.0)), Timed(20, Acquire(0, 0))
    program = NativeProgram((flip, look), 1220, (Acquire(0, 0),))
    schedule = rack.schedule(Upload((program,), 100))
    assert rack.run(schedule, [1], lambda _: None)[0].ones.sum() > 90
    setattr(Signals, Signals.inject.__name__, _nothing)
    try:
        rack.run(schedule, [1], lambda _: None)
    except Unavailable as error:
        sys.stdout.write(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
