from __future__ import annotations

import pickle

import pytest

from qpuflow.domain import errors
from qpuflow.domain.source import ProgramError


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = errors.InputError("Too many shots", where="bell", remedy="Use fewer.")
    assert str(error) == "Too many shots (in bell). Use fewer."
    assert str(errors.InputError("Too many shots")) == "Too many shots"


@pytest.mark.parametrize(
    "kind",
    [
        errors.InputError,
        errors.NotFound,
        errors.AccessDenied,
        errors.Conflict,
        errors.Unavailable,
        errors.Refused,
        errors.OutcomeUnknown,
        errors.OperatorNeeded,
    ],
)
def test_errors_cross_process_borders_whole(kind: type[errors.QpuflowError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what", where="where", remedy="remedy")))
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.remedy) == ("what", "where", "remedy")


def test_a_program_error_keeps_its_place_across_processes() -> None:
    error = ProgramError("what", where="where", remedy="remedy", line=3, column=7)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.line, copy.column, str(copy)) == (3, 7, str(error))


def test_exit_codes_tell_mending_waiting_and_operating_apart() -> None:
    assert errors.Conflict("x").exit_code == 2
    assert errors.OutcomeUnknown("x").exit_code == 3
    assert errors.OperatorNeeded("x").exit_code == 4
