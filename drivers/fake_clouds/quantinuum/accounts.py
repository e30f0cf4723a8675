"""Who may use a fake Quantinuum: logins, tokens and what takes a second factor."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qpuflow.drivers.fake_clouds.json_web_tokens import json_web_token
from qpuflow.drivers.fake_clouds.quantinuum.microsoft import Microsoft
from qpuflow.drivers.fake_clouds.weather import Fault, Weather

TOKEN_SECONDS = 3600.0
MFA_REQUIRED = 73


class Accounts:
    """Any e-mail address is good with any password but ``wrong`` and those that were revoked.

    Where `mfa_codes` are set, one of them is asked for at a full login. Refresh tokens change with
    every use.
    """

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self.microsoft = Microsoft()
        self.token_seconds = TOKEN_SECONDS
        self.mfa_codes: set[str] = set()
        self.full_logins = 0
        self._tokens: dict[str, float] = {}
        self._refresh_tokens: set[str] = set()
        self._revoked = {None, "", "wrong"}
        self.issued: list[str] = []
        """Every token that it gave."""

    def knows(self, request: Request) -> bool:
        token = request.headers.get("Authorization", "")
        return self._tokens.get(token, 0.0) > self._weather.now().timestamp()

    def revoke(self, password: str) -> None:
        """From now on the password is not good any more, and no token that was given."""
        self._revoked.add(password)
        self._tokens.clear()
        self.forget_refresh_tokens()

    def forget_refresh_tokens(self) -> None:
        self._refresh_tokens.clear()

    async def log_in(self, request: Request) -> Response:
        given: Mapping[str, Any] = await request.json()
        if "refresh-token" in given:
            refused = request.state.fault is Fault.REFRESH_REFUSED
            if refused or given["refresh-token"] not in self._refresh_tokens:
                return error(400, 61, "Invalid Refresh Token")
            self._refresh_tokens.discard(given["refresh-token"])
            return self._tokens_for_an_hour()
        if "provider-token" in given:
            if given["provider-token"] not in self.microsoft.issued:
                return error(401, 13, "The provider does not know this user")
            return self._tokens_for_an_hour()
        if (refusal := self._refusal(given)) is not None:
            return refusal
        self.full_logins += 1
        return self._tokens_for_an_hour()

    def _refusal(self, given: Mapping[str, Any]) -> Response | None:
        if given.get("password") in self._revoked:
            return error(401, 13, "Incorrect username or password")
        if self.mfa_codes and given.get("code") is None:
            return error(401, MFA_REQUIRED, "Verification code is required")
        if self.mfa_codes and given["code"] not in self.mfa_codes:
            return error(401, 74, "Verification code is wrong")
        return None

    def _tokens_for_an_hour(self) -> Response:
        until = self._weather.now().timestamp() + self.token_seconds
        token, refresh_token = json_web_token(until), secrets.token_urlsafe(32)
        self._tokens[token] = until
        self._refresh_tokens.add(refresh_token)
        self.issued += [token, refresh_token]
        return JSONResponse({"id-token": token, "refresh-token": refresh_token})


def error(status: int, code: int, text: str) -> Response:
    return JSONResponse({"error": {"code": code, "text": text}}, status)
