"""Logging in to Quantinuum as a user of Microsoft's: a person types a code into a page (RFC 8628).

`pytket.extensions.quantinuum.backends.federated_login` does the same by msal, and prints. What
Quantinuum gives for it is a refresh token, with which everything goes on without a person.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from qpuflow.domain.errors import Unavailable
from qpuflow.drivers import http

APPLICATION = "4ae73294-a491-45b7-bab4-945c236ee67a"
"""Quantinuum's at Microsoft, as in its own client."""
SCOPE = "openid profile offline_access User.Read"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"

INTERVAL_SECONDS = 5.0
"""Between two questions, where Microsoft names no other; and what is added when it asks for more
time (RFC 8628, 3.5)."""

WHERE = "Microsoft's login"
Show = Callable[[str], object]
"""Tells the person what to do."""


def refresh_token(url: str, show: Show, authority: str) -> str:
    """Quantinuum's, of the API at `url`. Raises `Unavailable`; waits for minutes at most."""
    with httpx.Client(timeout=http.TIMEOUT) as client:
        told = _post(
            client, f"{url}login", json={"provider-token": _token(client, authority, show)}
        )
    if "refresh-token" not in told:
        raise Unavailable(f"Quantinuum does not know this user: {_words(told)}", where=WHERE)
    return told["refresh-token"]


def _token(client: httpx.Client, authority: str, show: Show) -> str:
    base, known = f"{authority}/oauth2/v2.0", {"client_id": APPLICATION}
    flow = _post(client, f"{base}/devicecode", data={**known, "scope": SCOPE})
    if "device_code" not in flow:
        raise Unavailable(f"There is no code to be had: {_words(flow)}", where=WHERE)
    show(f"Open {flow['verification_uri']} in any browser and enter the code {flow['user_code']}")
    interval = float(flow.get("interval", INTERVAL_SECONDS))
    until = time.monotonic() + float(flow["expires_in"])
    while time.monotonic() < until:
        time.sleep(interval)
        wanted = {**known, "grant_type": GRANT, "device_code": flow["device_code"]}
        told = _post(client, f"{base}/token", data=wanted)
        match told.get("error"):
            case None:
                return told["id_token"]
            case "authorization_pending":
                continue
            case "slow_down":
                interval += INTERVAL_SECONDS
            case _:
                raise Unavailable(f"Not logged in: {_words(told)}", where=WHERE)
    raise Unavailable("Nobody entered the code in time", where=WHERE, remedy="Log in again.")


def _post(client: httpx.Client, url: str, **content: Any) -> dict[str, Any]:
    """What it says, be it an error or not."""
    try:
        told = client.post(url, **content).json()
    except (httpx.HTTPError, ValueError) as error:
        # Not from it: a traceback shows what was sent.
        raise Unavailable(f"No answer from {url}: {type(error).__name__}", where=WHERE) from None
    return told if isinstance(told, dict) else {}


def _words(told: Mapping[str, Any]) -> str:
    """Microsoft's, or Quantinuum's. Neither repeats a token in them."""
    error = told.get("error_description") or told.get("error") or "no reason given"
    return json.dumps(error) if isinstance(error, dict) else str(error).splitlines()[0]
