"""Answers of Amazon's that have no end are not read to it, whatever they are about."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import HTTPClientError
from botocore.response import StreamingBody
from urllib3 import HTTPResponse

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.braket import bounded
from qpuflow.drivers.braket.aws import Aws
from qpuflow.drivers.fake_clouds import Fault, endpoints
from qpuflow.drivers.fake_clouds.braket.served import BraketAt


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers end after all, so that who reads them would notice."""
    monkeypatch.setattr(endpoints, "ENDLESS_BYTES", 2**22)
    monkeypatch.setattr(bounded, "MOST_BYTES", 2**20)


@pytest.fixture
def aws(fake_braket: BraketAt) -> Aws:
    return Aws("iqm", fake_braket.settings(), fake_braket.secrets)


async def test_a_file(aws: Aws, fake_braket: BraketAt) -> None:
    await aws.put("some/file", b"content")
    await require_bounded(aws, fake_braket, "get_object", "s3", Key="some/file")
    assert (await aws.get("some/file") or [None])[0] == b"content"


async def test_the_refusal_of_a_file(aws: Aws, fake_braket: BraketAt) -> None:
    await require_bounded(aws, fake_braket, "get_object", "s3", Key="no/file")
    assert await aws.get("no/file") is None


async def test_the_state_of_a_task(aws: Aws, fake_braket: BraketAt) -> None:
    await require_bounded(
        aws, fake_braket, "get_quantum_task", "braket", quantumTaskArn="arn:aws:braket:::task/no"
    )


def whole(response: AWSResponse) -> bytes:
    return response.content


def streamed(response: AWSResponse) -> bytes:
    return StreamingBody(response.raw, None).read()


@pytest.mark.parametrize("read", [whole, streamed])
def test_an_answer_that_does_not_tell_its_length(read: Callable[[AWSResponse], bytes]) -> None:
    assert len(read(answer_of(2**20))) == 2**20
    with pytest.raises(HTTPClientError, match="more than 1048576 bytes"):
        read(answer_of(2**20 + 1))


def answer_of(size: int) -> AWSResponse:
    """Of botocore and urllib3, and only the network between them is missing."""
    raw = HTTPResponse(io.BytesIO(b" " * size), preload_content=False)
    client = boto3.Session("id", "secret").client("s3", region_name="us-east-1")
    endpoint: Any = getattr(client, "_endpoint")  # noqa: B009  pyright minds the other way
    endpoint.http_session.send = Mock(return_value=AWSResponse("http://there", 200, {}, raw))
    bounded.bound(client)
    told: Any = client.meta.events.emit("before-send.s3.GetObject", request=AWSPreparedRequest)
    return told[0][1]


async def require_bounded(
    aws: Aws, at: BraketAt, operation: str, service: str, **arguments: Any
) -> None:
    if service == "s3":
        arguments["Bucket"] = at.settings().bucket
    at.cloud.weather.next(operation, Fault.OVERSIZED)
    with pytest.raises(Unavailable, match="an answer of more than 1048576 bytes"):
        await aws.ask(operation, service, **arguments)
