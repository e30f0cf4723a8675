from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from qpuflow.domain.digest import digest
from qpuflow.domain.request import MAX_SOURCE_BYTES, JobOptions, JobRequest, Program

BELL = "OPENQASM 2.0; qreg q[1];"


def _request(**changes: object) -> JobRequest:
    return JobRequest.model_validate({"programs": [{"source": BELL}], **changes})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": "  \n"}, "empty"),
        ({"source": "x" * (MAX_SOURCE_BYTES + 1)}, "4,000,000"),
        ({"source": BELL, "parameters": [{"a": 1.0}, {"a": math.nan}]}, "'a' of point 1"),
        ({"source": BELL, "parameters": [{"a": math.inf}]}, "inf"),
        ({"source": BELL, "observables": {"e": {}}}, "no terms"),
        ({"source": BELL, "observables": {"e": {"ZQ": 1.0}}}, "'ZQ'"),
        ({"source": BELL, "observables": {"e": {"Z": math.nan}}}, "not a number"),
        ({"source": BELL, "name": ""}, "name"),
        ({"source": BELL, "format": "quil"}, "openqasm2"),
        ({"source": BELL, "colour": "red"}, "colour"),
    ],
)
def test_a_program_that_cannot_be_meant_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Program.model_validate(fields)


@pytest.mark.parametrize("shots", [0, -1, 1.5, "many", None])
def test_shots_are_a_positive_number(shots: object) -> None:
    with pytest.raises(ValidationError, match="shots"):
        _request(shots=shots)


def test_a_request_needs_a_program() -> None:
    with pytest.raises(ValidationError, match="programs"):
        JobRequest(programs=[])


def test_nameless_programs_are_numbered_and_equal_names_refused() -> None:
    request = _request(programs=[{"source": BELL}, {"source": BELL}])
    assert [program.name for program in request.programs] == ["program-0", "program-1"]
    with pytest.raises(ValidationError, match="'a'"):
        _request(programs=[{"source": BELL, "name": "a"}, {"source": BELL, "name": "a"}])


def test_the_content_hash_ignores_who_asks_under_which_key_and_for_when() -> None:
    other = _request(key="a", user="u", project="p", not_before="2028-02-29T12:00:00Z")
    assert other.content_hash("aer") == _request().content_hash("aer")


def test_start_times_are_kept_in_utc() -> None:
    request = _request(not_before="2028-02-29T12:00:00+05:30", start_by="2028-02-29T12:00:00Z")
    assert request.not_before == datetime(2028, 2, 29, 6, 30, tzinfo=UTC)
    assert str(request.not_before) == "2028-02-29 06:30:00+00:00"
    assert JobRequest.model_validate(request.model_dump(mode="json")) == request


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"not_before": "2028-02-29T12:00:00"}, "timezone"),
        ({"not_before": "9999-12-31T23:59:59-10:00"}, "no such moment"),
        ({"start_by": "soon"}, "datetime"),
        (
            {"not_before": "2028-02-29T12:00:00Z", "start_by": "2028-02-29T13:00:00+01:00"},
            "start_by, 2028-02-29 12:00:00 UTC, is not after not_before, 2028-02-29 12:00:00 UTC",
        ),
    ],
)
def test_start_times_that_cannot_be_meant_are_refused(times: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _request(**times)


@pytest.mark.parametrize(
    "changes",
    [
        {"shots": 7},
        {"options": JobOptions(seed=1).model_dump()},
        {"programs": [{"source": BELL, "parameters": [{"a": 1.0}]}]},
        {"programs": [{"source": BELL, "name": "other"}]},
    ],
)
def test_the_content_hash_sees_all_that_decides_the_outcome(changes: dict[str, object]) -> None:
    assert _request(**changes).content_hash("aer") != _request().content_hash("aer")
    assert _request().content_hash("aer") != _request().content_hash("other")


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": math.nan})


def test_requests_survive_json() -> None:
    request = _request(shots=5, options={"seed": 3, "memory": True})
    assert JobRequest.model_validate_json(request.model_dump_json()) == request
