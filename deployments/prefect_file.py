"""``prefect.yaml`` is the one place that says which deployments there are; this applies it.

`prefect deploy --all` would do the same in a process of its own, seconds slower.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Interval

FILE = Path(__file__).with_name("prefect.yaml")
MODEL_QPU = "aer"
"""A QPU that is not in the file gets this one's deployments."""


def declared(qpus: Iterable[str]) -> list[dict[str, Any]]:
    """The file's deployments, and those of further QPUs."""
    own: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]
    named = {entry["name"] for entry in own}
    model = [entry for entry in own if entry["name"] == MODEL_QPU]
    added = [
        {**entry, "name": qpu, "work_pool": {"name": qpu}}
        for qpu in qpus
        if qpu not in named
        for entry in model
    ]
    return own + added


async def apply(entry: dict[str, Any]) -> None:
    """Create the deployment, or bring it up to date."""
    deployment = RunnerDeployment.from_entrypoint(
        entry["entrypoint"],
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        parameters=entry.get("parameters"),
        schedules=[
            Interval(schedule["interval"], slug=schedule["slug"])
            for schedule in entry.get("schedules", [])
        ],
        work_pool_name=entry["work_pool"]["name"],
        job_variables=entry["work_pool"].get("job_variables"),
    )
    await deployment.aapply()
