"""A fake cloud in a process of its own, so that what it costs is not counted with the waits.

``python -m bench.wait_cloud CLOUD`` says in JSON, a line each: how to reach it, with its queue
standing still; and, when it is sent a line and the queue has run, when each job ended (seconds of
the clock, by the handle it was submitted with).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from qpuflow.drivers.fake_clouds.braket.served import braket_served
from qpuflow.drivers.fake_clouds.jobs import Backlog, Job
from qpuflow.drivers.fake_clouds.quantinuum.served import quantinuum_served

CLOUDS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "braket": braket_served,
    "quantinuum": quantinuum_served,
}


def main() -> None:
    with CLOUDS[sys.argv[1]]() as at:
        backlog: Backlog = at.cloud.backlog
        backlog.is_open = False
        _say({"settings": at.settings().model_dump(mode="json"), "secrets": at.secrets})
        sys.stdin.readline()
        backlog.is_open = True
        jobs = list(backlog.jobs.values())
        while not all(job.ended_at for job in jobs):
            time.sleep(0.1)
        _say({job.handle: _ended(job) for job in jobs})
        sys.stdin.readline()


def _ended(job: Job) -> float:
    assert job.ended_at is not None
    return job.ended_at.timestamp()


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
