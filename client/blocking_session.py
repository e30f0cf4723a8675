"""A session for ordinary code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, overload

from qpuflow.client.blocking import block_on, connection
from qpuflow.client.sessions import Session
from qpuflow.domain.report import ProgramReport
from qpuflow.domain.request import JobOptions

if TYPE_CHECKING:
    from qpuflow.client.programs import OneProgram


class BlockingSession:
    """What `session` gives."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        block_on(self._session.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        block_on(self._session.close())

    @overload
    def run(
        self,
        programs: OneProgram,
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ProgramReport: ...

    @overload
    def run(
        self,
        programs: Sequence[OneProgram],
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[ProgramReport]: ...

    def run(
        self,
        programs: OneProgram | Sequence[OneProgram],
        *,
        shots: int | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ProgramReport | list[ProgramReport]:
        """One job: the result of its program, or of each where a list was given.

        See `Session.run` for keys and errors.
        """
        return block_on(
            self._session.run(
                programs, shots=shots, options=options, key=key, timeout_seconds=timeout_seconds
            )
        )


def session(
    qpu: str,
    shots: int = 1024,
    *,
    options: JobOptions | None = None,
    key: str | None = None,
    project: str | None = None,
) -> BlockingSession:
    """One job after the other, each with its result; at the end the QPU is left at once.

        with client.session("aer") as session:
            counts = session.run(circuit).counts

    With a key the jobs have keys of their own, numbered: the same session again is answered with
    the results that are there. Raises `NotFound` for a QPU that there is not.
    """
    opened = connection().session(qpu, shots, options=options, key=key, project=project)
    return BlockingSession(opened)
