"""The vendor's SDK alone: compile, load, run, retrieve, as a user of quantify-scheduler does.

``python -m bench.rack_sdk SHOTS...`` prints the seconds of each run of a Bell pair, after a first
one that is not counted. What the dummy cluster hands out goes in by the SDK's own call, which is
counted, as it is in our runs; simulating what that is, is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from typing import Any

from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.devices import device_of
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack
from tests.racks.circuits import bell, compiled


async def sdk_seconds(*shots: int) -> list[float]:
    """In a process of its own: the SDK names instruments process-wide."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rack_sdk", *map(str, shots)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return json.loads(output.splitlines()[-1])


def main() -> None:
    from qpuflow.drivers.qblox.cluster import connect
    from qpuflow.drivers.qblox.dummy import Signals
    from qpuflow.drivers.qblox.executors import load_executor
    from qpuflow.drivers.qblox.programs import Upload, native_programs

    settings = load_rack(SHIPPED)
    configuration = load_configuration(settings.device_file, settings.hardware_file)
    chip = configuration.device
    (program,) = native_programs(
        compiled(bell(), device_of("sdk", chip, max_shots=10**6, simulated=True)), chip
    )
    os.chdir(tempfile.mkdtemp())
    cluster = connect(configuration.hardware, dummy=True)
    executor: Any = load_executor("quantify", configuration, cluster)
    assert settings.dummy
    signals = Signals(settings.dummy, chip, cluster)
    seconds: list[float] = []
    for shots in (100, *map(int, sys.argv[1:])):
        began = time.perf_counter()
        schedule = executor.compile(Upload((program,), shots))
        simulating = time.perf_counter()
        prepared = signals.prepare(schedule, [1])
        began += time.perf_counter() - simulating
        signals.inject(prepared)
        executor.load(schedule)
        executor.start()
        coordinator: Any = executor.coordinator
        coordinator.wait_done(timeout_sec=30)
        coordinator.retrieve_acquisition()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main()
