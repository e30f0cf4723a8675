"""As much of Microsoft's identity platform as a login by a code takes."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qpuflow.drivers.fake_clouds.json_web_tokens import json_web_token


@dataclass
class _Login:
    user_code: str
    is_confirmed: bool = False


class Microsoft:
    """Codes are good for `code_seconds`; who asks is told to do so every `interval_seconds`."""

    def __init__(self) -> None:
        self.code_seconds, self.interval_seconds = 900.0, 0.05
        self._logins: dict[str, _Login] = {}
        self._ended_at: dict[str, float] = {}
        self.confirms_at_once = False
        """Somebody enters every code as soon as it is there."""
        self.issued: list[str] = []
        """Tokens that say who somebody is."""

    def confirm(self, user_code: str) -> None:
        """A person has entered the code and their password."""
        for login in self._logins.values():
            login.is_confirmed |= login.user_code == user_code

    async def device_code(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        if "client_id" not in form or "scope" not in form:
            return _error("invalid_request", "client_id and scope are needed")
        code, user_code = secrets.token_urlsafe(32), secrets.token_hex(4).upper()
        self._logins[code] = _Login(user_code, self.confirms_at_once)
        self._ended_at[code] = time.monotonic() + self.code_seconds
        return JSONResponse(
            {
                "device_code": code,
                "user_code": user_code,
                "verification_uri": "https://microsoft.com/devicelogin",
                "expires_in": self.code_seconds,
                "interval": self.interval_seconds,
            }
        )

    async def token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        code = form.get("device_code", [""])[0]
        login = self._logins.get(code)
        if login is None:
            return _error("bad_verification_code", "There is no such code")
        if time.monotonic() > self._ended_at[code]:
            return _error("expired_token", "The code has expired")
        if not login.is_confirmed:
            return _error("authorization_pending", "Nobody has entered the code yet")
        del self._logins[code]
        known = {"aud": form["client_id"][0], "preferred_username": "ada@example.org"}
        token = json_web_token(time.time() + 3600, **known)
        self.issued.append(token)
        return JSONResponse({"token_type": "Bearer", "id_token": token})


def _error(word: str, description: str) -> Response:
    return JSONResponse({"error": word, "error_description": description}, 400)
