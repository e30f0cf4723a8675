"""Every error that Amazon or the network can give says what became of the task."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from qpuflow.domain.errors import InputError, NotFound, OutcomeUnknown, Refused, Unavailable
from qpuflow.drivers.braket.errors import classified
from qpuflow.drivers.veil import Veil

URL = {"endpoint_url": "http://127.0.0.1:1"}


def answer(code: str, status: int, **headers: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "so it is"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return ClientError(response, "CreateQuantumTask")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer("ValidationException", 400), InputError),
        (answer("SomethingNew", 418), InputError),
        (answer("DeviceOfflineException", 424), Refused),
        (answer("ServiceQuotaExceededException", 402), Refused),
        (answer("ThrottlingException", 429), Refused),
        (answer("AccessDeniedException", 403), Refused),
        (answer("ExpiredTokenException", 403), Refused),
        (answer("NewKindOfDenial", 403), Refused),
        (exceptions.EndpointConnectionError(**URL, error="refused"), Refused),
        (exceptions.ConnectTimeoutError(**URL, error="slow"), Refused),
        (exceptions.NoCredentialsError(), Refused),
        (answer("InternalServiceException", 500), OutcomeUnknown),
        (answer("ServiceUnavailable", 503), OutcomeUnknown),
        (exceptions.ReadTimeoutError(**URL, error="silent"), OutcomeUnknown),
        (exceptions.ConnectionClosedError(**URL), OutcomeUnknown),
        (exceptions.HTTPClientError(error="who knows"), OutcomeUnknown),
    ],
    ids=str,
)
def test_a_submission_that_failed_was_accepted_or_not_or_nobody_knows(
    error: Exception, kind: type[Exception]
) -> None:
    assert type(classified(error, "braket", Veil(), submitting=True)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer("ResourceNotFoundException", 404), NotFound),
        (answer("ThrottlingException", 429), Unavailable),
        (answer("InternalServiceException", 500), Unavailable),
        (answer("ExpiredTokenException", 403), Unavailable),
        (exceptions.ReadTimeoutError(**URL, error="silent"), Unavailable),
    ],
    ids=str,
)
def test_a_question_that_failed_may_be_asked_again(error: Exception, kind: type[Exception]) -> None:
    assert type(classified(error, "braket", Veil())) is kind


def test_amazons_own_words_and_its_pause_are_passed_on() -> None:
    told = classified(answer("ThrottlingException", 429, **{"retry-after": "7"}), "my-qpu", Veil())
    assert isinstance(told, Unavailable)
    assert told.retry_after_seconds == 7
    assert "so it is" in str(told)
    assert "my-qpu" in str(told)


def test_missing_rights_name_what_to_look_at() -> None:
    told = classified(answer("AccessDeniedException", 403), "my-qpu", Veil(), submitting=True)
    assert "credentials" in (told.remedy or "")
