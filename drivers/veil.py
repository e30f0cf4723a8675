"""Secrets that must not get into a message.

Vendors' error pages repeat what they were sent, and proxies' even more: a message that is raised
ends in the ledger, in logs and on pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote_plus

STARS = "********"
SHORTEST = 6
"""What is shorter stands in any text by chance, and is no secret worth the name."""


class Veil:
    """Replaces the secrets that it knows. More may become known: tokens, say."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._secrets: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """As it is, and as it stands in a form and in JSON."""
        if secret and len(secret) >= SHORTEST and secret not in self._secrets:
            forms = {secret, quote_plus(secret), json.dumps(secret)[1:-1], *self._secrets}
            # The longest first, so that none leaves a rest of another.
            self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, STARS)
        return text
