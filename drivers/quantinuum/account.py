"""Who we are to Quantinuum: logins, their second factor, and tokens that are renewed in time."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from qpuflow.domain.errors import InputError, OperatorNeeded, Unavailable
from qpuflow.drivers import http
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings
from qpuflow.drivers.quantinuum.tokens import EncryptedTokens, MemoryTokens, TokenStore
from qpuflow.drivers.veil import Veil
from qpuflow.drivers.verdicts import Verdict

EARLIER_SECONDS = 60.0
"""A token is renewed so long before it expires, for requests take time."""

MFA_REQUIRED = 73
LOGIN_VERDICTS: Mapping[int, Verdict] = {**http.BY_STATUS, 400: Verdict.DENIED}


class Account:
    """One user. Tokens are had by the refresh token if there is one, else by a full login."""

    def __init__(
        self,
        name: str,
        settings: QuantinuumSettings,
        secrets: Mapping[str, str],
        client: httpx.AsyncClient,
    ) -> None:
        self._user, self._password = secrets.get("user", ""), secrets.get("password", "")
        if not secrets.get("refresh_token") and not (self._user and self._password):
            raise OperatorNeeded(
                "There is no user with a password",
                where=name,
                remedy="Put them into the block's credentials.",
            )
        self.veil = Veil(secret for key, secret in secrets.items() if key != "user")
        self._name, self._url, self._client = name, f"{settings.url}login", client
        self._mfa_secret = secrets.get("mfa_secret")
        self._given = secrets.get("refresh_token")
        self._store = _store(settings, self._user, self._password or self._given or "")
        self._refused: set[str] = set()
        self._token, self._expires = "", float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def token(self) -> str:
        """Good for a minute at least. Raises `Unavailable`."""
        async with self._one_at_a_time:
            if time.monotonic() > self._expires - EARLIER_SECONDS:
                await self._renew()
        return self._token

    def expire(self) -> None:
        """Quantinuum does not accept the token any more."""
        self._expires = float("-inf")

    async def _renew(self) -> None:
        while (refresh_token := await self._untried()) is not None:
            try:
                return await self._log_in({"refresh-token": refresh_token})
            except Unavailable as error:
                if "Invalid Refresh Token" not in error.what:
                    raise
            self._refused.add(refresh_token)
        if not self._password:
            raise Unavailable(
                "The refresh token is no longer good, and there is no password",
                where=self._name,
                remedy="Log in again (by Microsoft: QuantinuumCredentials.by_microsoft) and save "
                "the block's credentials with the new refresh token.",
            )
        return await self._log_in_fully()

    async def _untried(self) -> str | None:
        """The one that is kept, which another process may have renewed; else the block's."""
        kept = await asyncio.to_thread(self._store.load)
        good = (one for one in (kept, self._given) if one and one not in self._refused)
        found = next(good, None)
        self.veil.add(found)
        return found

    async def _log_in_fully(self) -> None:
        body = {"email": self._user, "password": self._password}
        try:
            await self._log_in(body)
        except Unavailable as error:
            if f"code {MFA_REQUIRED}" not in error.what:
                raise
            if self._mfa_secret is None:
                raise Unavailable(
                    "Quantinuum asks for a verification code",
                    where=self._name,
                    remedy="Put the secret of your authenticator (mfa_secret), or a refresh_token, "
                    "into the block's credentials.",
                ) from error
            await self._log_in({**body, "code": one_time_code(self._mfa_secret, time.time())})

    async def _log_in(self, body: Mapping[str, str]) -> None:
        try:
            answer = await http.answer(
                self._client,
                "POST",
                self._url,
                where=self._name,
                words=words,
                veil=self.veil,
                verdicts=LOGIN_VERDICTS,
                content=json.dumps(body),
            )
        except InputError as error:
            # No fault of the job for which a login is wanted just now.
            raise Unavailable(error.what, where=self._name, remedy=error.remedy) from error
        tokens = answer.json()
        self._token = tokens["id-token"]
        for token in (self._token, tokens["refresh-token"]):
            self.veil.add(token)
        # By how long it is good, and not until when: clocks differ.
        told_at = http.server_time(answer.headers).timestamp()
        self._expires = time.monotonic() + expiry(self._token) - told_at
        await asyncio.to_thread(self._store.save, tokens["refresh-token"])


def one_time_code(secret: str, now: float) -> str:
    """By RFC 6238, as authenticator apps make it from the same secret in base 32."""
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    text = secret.replace(" ", "").upper()
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise OperatorNeeded("mfa_secret is not in base 32") from error
    return TOTP(key, 6, SHA1(), 30, enforce_key_length=False).generate(int(now)).decode()  # noqa: S303  as the RFC has it


def expiry(token: str) -> float:
    """Seconds since the epoch, of a JSON web token."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"])


def words(response: httpx.Response) -> str:
    """Quantinuum's own: ``{"error": {"code", "text"}}``."""
    try:
        told: Any = response.json()
        error = told["error"]
        return f"{error.get('text', '')} (code {error['code']})".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.text or response.reason_phrase


def _store(settings: QuantinuumSettings, user: str, secret: str) -> TokenStore:
    if settings.token_folder is None:
        return MemoryTokens()
    return EncryptedTokens(Path(settings.token_folder), settings.url, user, secret)
