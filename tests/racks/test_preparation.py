"""What a job needs before it has the instruments is made while the one before it plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.executable import Executable
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.lookahead import Lookahead
from qpuflow.drivers.qblox.executors import Schedule
from qpuflow.drivers.qblox.link import messages
from qpuflow.drivers.qblox.preparation import Preparation, Work
from qpuflow.drivers.qblox.programs import Upload
from qpuflow.drivers.qblox.settings import RackSettings
from tests.racks.circuits import bell, compiled


class Compiler:
    """Notes how often it is asked; refuses what a rack would refuse here."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuses = False

    def __call__(self, upload: Upload) -> Schedule:
        self.asked += 1
        if self.refuses:
            raise InputError("More than the sequencers' memory")
        return cast("Any", object())


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def preparation(
    settings: RackSettings, configuration: Configuration, compiler: Compiler
) -> Preparation:
    return Preparation(settings, configuration, compiler)


@pytest.fixture
def program(device: Device) -> Executable:
    return compiled(bell(), device)


def test_what_was_prepared_ahead_is_not_prepared_again(
    preparation: Preparation, compiler: Compiler, program: Executable
) -> None:
    preparation.look_ahead(Work([program], 100))
    preparation.look_ahead(Work([program], 100))
    assert compiler.asked == 1
    preparation.take(Work([program], 100))
    assert compiler.asked == 1


def test_it_is_played_once(
    preparation: Preparation, compiler: Compiler, program: Executable
) -> None:
    preparation.look_ahead(Work([program], 100))
    first, second = (preparation.take(Work([program], 100)) for _ in range(2))
    assert compiler.asked == 2
    assert first.points[0][0].seed != second.points[0][0].seed


def test_another_job_than_the_expected_one_gets_its_own(
    preparation: Preparation, program: Executable
) -> None:
    preparation.look_ahead(Work([program], 100))
    prepared = preparation.take(Work([program], 200))
    assert [run.upload.repetitions for run, _ in prepared.runs] == [200]


def test_what_is_wrong_with_the_next_job_is_told_in_its_turn(
    preparation: Preparation, compiler: Compiler, program: Executable
) -> None:
    compiler.refuses = True
    preparation.look_ahead(Work([program], 100))
    with pytest.raises(InputError, match="memory"):
        preparation.take(Work([program], 100))


def test_the_oldest_that_waits_is_looked_at_and_begins_next(
    tmp_path: Path, execute: Callable[[str], bytes], program: Executable
) -> None:
    journal = Journal(tmp_path / "roomy.sqlite")
    lookahead = Lookahead(journal)
    assert lookahead.upcoming() is None
    for token in ("first", "second"):
        journal.accept(token, 1, execute(token))
    assert lookahead.upcoming() == Work([program], 5)
    entry = journal.begin_next()
    assert entry is not None
    assert entry.token == "first"
    assert lookahead.work_of(entry) == Work([program], 5)
    journal.close()


def test_what_cannot_be_read_does_not_disturb_the_one_that_plays(journal: Journal) -> None:
    journal.accept("old", 1, b'{"of": "another version"}')
    lookahead = Lookahead(journal)
    assert lookahead.upcoming() is None
    entry = journal.begin_next()
    assert entry is not None
    with pytest.raises(ValueError, match="validation error"):
        lookahead.work_of(entry)


@pytest.fixture
def execute(program: Executable) -> Callable[[str], bytes]:
    def request(token: str) -> bytes:
        circuit = messages.Circuit.of(replace(program, seed=None))
        asked = messages.Execute(token=token, fencing_token=1, shots=5, circuits=(circuit,))
        return asked.model_dump_json().encode()

    return request
