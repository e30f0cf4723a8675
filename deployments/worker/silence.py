"""A Prefect server that does not answer, because it or its database is being restarted."""

from __future__ import annotations

import httpx
from prefect.exceptions import PrefectHTTPStatusError

SILENCE = (httpx.TransportError, PrefectHTTPStatusError)
"""What its client raises, after asking for about a minute."""


def is_silence(error: Exception) -> bool:
    """Whether it may answer later: one that refuses (4xx) has heard us."""
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.is_server_error
    return isinstance(error, httpx.TransportError)
