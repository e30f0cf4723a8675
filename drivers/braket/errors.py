"""What Amazon's errors say about a task: accepted, not accepted, or nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpuflow.domain.errors import QpuflowError
from qpuflow.drivers.veil import Veil
from qpuflow.drivers.verdicts import Verdict, error_of

V = Verdict

BY_CODE: Mapping[str, Verdict] = {
    "ValidationException": V.REJECTED,
    "DeviceOfflineException": V.REFUSED,
    "DeviceRetiredException": V.REFUSED,
    "ServiceQuotaExceededException": V.REFUSED,
    "ThrottlingException": V.REFUSED,
    "TooManyRequestsException": V.REFUSED,
    "SlowDown": V.REFUSED,  # S3
    "AccessDeniedException": V.DENIED,
    "AccessDenied": V.DENIED,  # S3
    "UnrecognizedClientException": V.DENIED,
    "InvalidClientTokenId": V.DENIED,
    "InvalidAccessKeyId": V.DENIED,  # S3
    "SignatureDoesNotMatch": V.DENIED,
    "InvalidSignatureException": V.DENIED,
    "ExpiredToken": V.DENIED,  # S3
    "ExpiredTokenException": V.DENIED,
    "ResourceNotFoundException": V.MISSING,
    "NoSuchKey": V.MISSING,  # S3
    "NoSuchBucket": V.DENIED,  # S3: an operator has to create it
    "404": V.MISSING,  # S3, HEAD
    "InternalServiceException": V.UNKNOWN,
}
"""https://docs.aws.amazon.com/braket/latest/APIReference/API_CreateQuantumTask.html#API_CreateQuantumTask_Errors
and the errors common to all of AWS. What is not here is decided by its HTTP status."""

BY_KIND: Mapping[str, Verdict] = {
    "ParamValidationError": V.REJECTED,
    "EndpointConnectionError": V.REFUSED,
    "ConnectTimeoutError": V.REFUSED,
    "ProxyConnectionError": V.REFUSED,
    "SSLError": V.REFUSED,
    "NoCredentialsError": V.DENIED,
    "PartialCredentialsError": V.DENIED,
    "CredentialRetrievalError": V.DENIED,
    "TokenRetrievalError": V.DENIED,
    "UnauthorizedSSOTokenError": V.DENIED,
    "ProfileNotFound": V.DENIED,
    "ConfigNotFound": V.DENIED,
}
"""botocore's own exceptions: of these the request was certainly not sent. Of all others (a read
that timed out, a connection that broke) it may have been."""

CREDENTIALS = (
    "Check the credentials of its block, their rights (AmazonBraketFullAccess) and bucket."
)


def classified(
    error: Exception, where: str, veil: Veil, *, submitting: bool = False
) -> QpuflowError:
    """What a botocore exception means, in Amazon's own words.

    Not to be raised from it: of a wrong signature Amazon repeats the request, session token and
    all, and a traceback shows the words of every cause.
    """
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    verdict = verdict_of(error)
    return error_of(
        verdict,
        veil(str(error)),
        where=where,
        submitting=submitting,
        remedy=CREDENTIALS if verdict is V.DENIED else None,
        retry_after_seconds=_retry_after(response),
    )


def verdict_of(error: Exception) -> Verdict:
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    if not response:
        return BY_KIND.get(type(error).__name__, V.UNKNOWN)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return BY_CODE.get(response.get("Error", {}).get("Code", ""), _by_status(status))


def _by_status(status: int) -> Verdict:
    if status in (401, 403):
        return V.DENIED
    if status == 404:
        return V.MISSING
    if status in (408, 429):
        return V.REFUSED
    return V.REJECTED if 400 <= status < 500 else V.UNKNOWN


def _retry_after(response: Mapping[str, Any]) -> float | None:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
