"""What a caller's submissions need not find out twice."""

from __future__ import annotations

import pytest

from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.parsing import ParsedProgram, parse
from qpuflow.domain.request import JobRequest, Program
from qpuflow.ledger.database import Ledger
from qpuflow.tasks import known as module
from qpuflow.tasks.admission import Journey, admit
from qpuflow.tasks.known import Known
from tests.tasks.journalled import NAME, JournalledQpu
from tests.tasks.pipeline import USER, register

ANSATZ = 'OPENQASM 3.0; include "stdgates.inc"; input float a; qubit q; rx(a) q;'


def request(**values: float) -> JobRequest:
    return JobRequest(programs=[Program(source=ANSATZ, parameters=[values])], shots=10)


async def test_a_program_is_parsed_once_whatever_its_values(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def counting(program: Program) -> ParsedProgram:
        parsed.append(program.source)
        return parse(program)

    monkeypatch.setattr(module, "parse", counting)
    known = Known(ledger)
    for step in range(3):
        await admit(ledger, USER, request(a=0.1 * step), Journey(NAME), known)
    assert parsed == [ANSATZ]


async def test_its_values_are_checked_each_time(ledger: Ledger) -> None:
    known = Known(ledger)
    await admit(ledger, USER, request(a=0.1), Journey(NAME), known)
    with pytest.raises(InputError, match="Unknown parameters: b"):
        await admit(ledger, USER, request(a=0.1, b=1.0), Journey(NAME), known)


async def test_what_a_qpu_is_like_is_asked_again_after_a_while(
    ledger: Ledger, qpu: JournalledQpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(ledger)
    with pytest.raises(NotFound, match=NAME):
        await known.qpu("other")
    before = await known.qpu(NAME)
    assert await known.qpu(NAME) is before
    monkeypatch.setattr(module, "BELIEVED_SECONDS", 0.0)
    await register(ledger, qpu)
    assert (await known.qpu(NAME)).synced_at > before.synced_at
