"""Quantum tasks: what is refused, how they run, and how Braket tells of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.braket.local import run
from qpuflow.drivers.fake_clouds.braket.devices import FakeDevice
from qpuflow.drivers.fake_clouds.jobs import Job

ACCOUNT = "arn:aws:braket:us-east-1:123456789012"

WORDS = {
    RemoteState.QUEUED: "QUEUED",
    RemoteState.RUNNING: "RUNNING",
    RemoteState.COMPLETED: "COMPLETED",
    RemoteState.FAILED: "FAILED",
    RemoteState.CANCELLED: "CANCELLED",
}

_CANNOT = re.compile(r"^\s*(reset|if|while|for)\b", re.MULTILINE)


def error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"message": message}, status, headers={"x-amzn-errortype": code})


def problem_with(wanted: Mapping[str, Any], device: FakeDevice | None) -> Response | None:
    """What Braket would say of a request that it does not accept."""
    if device is None:
        return error(404, "ResourceNotFoundException", "Device not found")
    if device.status == "OFFLINE":
        return error(424, "DeviceOfflineException", f"{device.name} is offline")
    if device.status == "RETIRED":
        return error(410, "DeviceRetiredException", f"{device.name} is retired")
    least, most = device.shots
    if not least <= wanted["shots"] <= most:
        message = f"Shots must be between {least} and {most}"
        return error(400, "ValidationException", message)
    if _CANNOT.search(json.loads(wanted["action"])["source"]):
        return error(400, "ValidationException", "Feature not supported by this device")
    return None


def simulated(job: Job) -> dict[str, Any]:
    """A result document as Braket writes it."""
    action = json.loads(job.request["action"])
    shots = job.request["shots"]
    result = json.loads(
        run("local:braket_sv", action["source"], shots, inputs=action.get("inputs"))
    )
    result["taskMetadata"].update(id=job.id, deviceId=job.request["deviceArn"])
    return result


def directory(job: Job) -> str:
    folder = job.request["outputS3KeyPrefix"]
    return f"{job.request['outputS3Bucket']}/{folder}/{job.id.rsplit('/', 1)[-1]}"


def summary(job: Job) -> dict[str, Any]:
    bucket, path = directory(job).split("/", 1)
    told = {
        "quantumTaskArn": job.id,
        "status": WORDS[job.state],
        "deviceArn": job.request["deviceArn"],
        "shots": job.request["shots"],
        "outputS3Bucket": bucket,
        "outputS3Directory": path,
        "createdAt": job.created_at.isoformat(),
        "tags": job.request.get("tags", {}),
    }
    return told | ({"endedAt": job.ended_at.isoformat()} if job.ended_at else {})


_COMPARE: Mapping[str, Callable[[Any, Sequence[Any]], bool]] = {
    "EQUAL": lambda value, wanted: value in wanted,
    "GTE": lambda value, wanted: value >= wanted[0],
    "GT": lambda value, wanted: value > wanted[0],
    "LTE": lambda value, wanted: value <= wanted[0],
    "LT": lambda value, wanted: value < wanted[0],
    "BETWEEN": lambda value, wanted: wanted[0] <= value <= wanted[1],
}


def matches(job: Job, filters: Sequence[Mapping[str, Any]]) -> bool:
    told = summary(job)
    return all(_matches(told, one) for one in filters)


def _matches(told: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    value, values = told[wanted["name"]], wanted["values"]
    if wanted["name"] == "createdAt":
        value, values = _time(value), [_time(one) for one in values]
    return _COMPARE[wanted["operator"]](value, values)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
