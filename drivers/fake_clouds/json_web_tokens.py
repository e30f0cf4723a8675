"""Tokens that vendors' clients read: when they end, and no signature that anybody checks."""

from __future__ import annotations

import base64
import json
import secrets
import time


def json_web_token(until: float, **more: str) -> str:
    """`more`: claims about whoever it is given to."""
    claims = {"iat": int(time.time()), "exp": int(until), "jti": secrets.token_urlsafe(), **more}
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + ".c2ln"
