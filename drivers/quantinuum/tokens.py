"""The refresh token, kept over restarts: a month without a full login, and its second factor."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt


class TokenStore(Protocol):
    def load(self) -> str | None: ...
    def save(self, refresh_token: str | None) -> None:
        """None: forget it."""
        ...


class MemoryTokens:
    """Kept as long as the process lives."""

    def __init__(self) -> None:
        self._token: str | None = None

    def load(self) -> str | None:
        return self._token

    def save(self, refresh_token: str | None) -> None:
        self._token = refresh_token


class EncryptedTokens:
    """A file that only its user may read, and only who has the block's secret can decrypt: the
    password or, where there is none, the first refresh token.

    What cannot be decrypted, for the secret was changed, counts as no token.
    """

    def __init__(self, folder: Path, url: str, user: str, secret: str) -> None:
        # Of users without a name each has a file of their own all the same.
        name = sha256(f"{url} {user or secret}".encode()).hexdigest()[:16]
        self._path = folder.expanduser() / f"quantinuum-{name}"
        self._user, self._secret = user, secret
        self._key: Fernet | None = None

    def load(self) -> str | None:
        try:
            text = self._fernet().decrypt(self._path.read_bytes())
        except (FileNotFoundError, InvalidToken):
            return None
        return json.loads(text)["refresh-token"]

    def save(self, refresh_token: str | None) -> None:
        if refresh_token is None:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = self._fernet().encrypt(json.dumps({"refresh-token": refresh_token}).encode())
        # Only its user may read it from the beginning, and no two writers share a draft.
        with NamedTemporaryFile(dir=self._path.parent, delete=False) as draft:
            draft.write(text)
        Path(draft.name).replace(self._path)

    def _fernet(self) -> Fernet:
        """Deriving the key takes some 50 ms on purpose, so it is done once."""
        if self._key is None:
            kdf = Scrypt(salt=self._user.encode(), length=32, n=2**14, r=8, p=1)
            key = kdf.derive(self._secret.encode())
            self._key = Fernet(base64.urlsafe_b64encode(key))
        return self._key
