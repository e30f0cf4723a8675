"""Certificates that end: said while there is time, and named when it was too late."""

from __future__ import annotations

from datetime import datetime

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.domain.expiry import ends_soon
from qpuflow.drivers.qblox.link.certificates import Keys

RENEW = (
    "run `qpuflow rack keys --renew` there, have the other side trust the next one, "
    "then run `qpuflow rack rotate` there"
)


def certificate_warning(keys: Keys, owner: str, now: datetime) -> str | None:
    """About the certificate that this side shows. None while there is time.

    `OperatorNeeded` where it cannot be read.
    """
    expires_at = keys.expires_at
    if not ends_soon(expires_at, now):
        return None
    ends = "expired" if expires_at <= now else "expires"
    place = keys.folder / "certificate.pem"
    return f"The certificate of the {owner}, {place}, {ends} on {_moment(expires_at)}: {RENEW}"


def expired(keys: Keys, now: datetime) -> str | None:
    """Why the two sides do not talk, if it is because a certificate has ended; else None."""
    try:
        mine, trusted = keys.expires_at, keys.trusted_until()
    except OperatorNeeded:
        return None
    if mine <= now:
        return f"this side's certificate expired on {_moment(mine)}"
    if trusted and (latest := max(trusted.values())) <= now:
        return f"the certificate that the other side shows expired on {_moment(latest)}"
    return None


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
