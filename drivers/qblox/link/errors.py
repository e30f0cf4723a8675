"""Errors that cross the link as what they were."""

from __future__ import annotations

from qpuflow.domain import errors
from qpuflow.domain.errors import QpuflowError, Refused
from qpuflow.drivers.qblox.link.messages import Failure


class StaleLease(Refused):
    """A newer lease has been seen: whoever sent this lost the rack to another."""


_KINDS: dict[str, type[QpuflowError]] = {
    kind.__name__: kind
    for kind in (
        errors.InputError,
        errors.NotFound,
        errors.Conflict,
        errors.Unavailable,
        errors.Refused,
        errors.OperatorNeeded,
        StaleLease,
    )
}


def failure_of(error: Exception) -> Failure:
    if isinstance(error, QpuflowError):
        kind = next(k.__name__ for k in type(error).__mro__ if k.__name__ in {*_KINDS, "object"})
        kind = kind if kind in _KINDS else errors.OperatorNeeded.__name__
        return Failure(error=kind, what=error.what, where=error.where, remedy=error.remedy)
    return Failure(
        error=errors.OperatorNeeded.__name__,
        what=f"The rack met what it did not expect: {error!r}",
        remedy="Its log has more.",
    )


def error_of(failure: Failure) -> QpuflowError:
    kind = _KINDS.get(failure.error, errors.OperatorNeeded)
    return kind(failure.what, where=failure.where, remedy=failure.remedy)
