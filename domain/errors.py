"""Every error qpuflow raises on purpose, sorted by what the caller can do about it."""

from __future__ import annotations


class QpuflowError(Exception):
    """What went wrong, where, and what to do next.

    The cause, if any, is kept with ``raise ... from``.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f" (in {self.where})" if self.where else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}.{remedy}" if remedy else f"{self.what}{place}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


class InputError(QpuflowError):
    """The caller can mend it by sending something else."""

    exit_code = 2


class NotFound(InputError):
    """Nothing by that name is known, or it is not the caller's."""


class AccessDenied(InputError):
    """The principal may not do this."""


class Conflict(InputError):
    """It contradicts what is already recorded."""


class Unavailable(QpuflowError):
    """A part does not answer now; the same call may work later, and nothing was lost.

    `retry_after_seconds`: how long it asked to be left alone, if it did.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class Silent(Unavailable):
    """The ledger's database did not answer, or rolled the transaction back: repeat it."""


class Refused(Unavailable):
    """The QPU certainly did not accept the work."""


class OutcomeUnknown(Unavailable):
    """Whether the QPU accepted the work is not known; ask it before anything else."""


class PartlyAccepted(OutcomeUnknown):
    """The QPU has some parts of the work; submitting under the same token hands over the rest."""


class OperatorNeeded(QpuflowError):
    """Neither other input nor patience helps: somebody has to look at the installation."""

    exit_code = 4


class NoResult(QpuflowError):
    """The job has failed or was cancelled; the message says why."""


def _rebuild(
    kind: type[QpuflowError], what: str, where: str | None, remedy: str | None
) -> QpuflowError:
    return kind(what, where=where, remedy=remedy)
