"""What a rack's journal keeps, for how long, and what it knows of the rack's files."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from qpuflow.domain.errors import Refused
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.config import Configuration
from qpuflow.drivers.qblox.daemon import file_history
from qpuflow.drivers.qblox.daemon.file_history import Kind
from qpuflow.drivers.qblox.daemon.journal import FORGOTTEN_DAYS, KEPT_DAYS, Journal
from qpuflow.drivers.qblox.link.errors import StaleLease
from tests.racks.journals import connection_of, done, kept


def test_confirmed_results_make_room_and_others_never_do(journal: Journal) -> None:
    for token in ("one", "two", "three"):
        done(journal, token, 325)
    journal.confirm(["two"])
    done(journal, "four", 300)
    assert [kept(journal, token) for token in ("one", "two", "three", "four")] == [1, 0, 1, 1]
    with pytest.raises(Refused, match="no ledger has confirmed") as caught:
        journal.accept("five", 1, b"r" * 100)
    assert "keep_gigabytes" in (caught.value.remedy or "")
    assert journal.accept("four", 1, b"").state is RemoteState.COMPLETED, "known already"
    journal.confirm(["one"])
    assert journal.accept("five", 1, b"r" * 100).state is RemoteState.QUEUED


def test_what_a_journal_keeps_is_known_after_a_restart(journal: Journal, tmp_path: Path) -> None:
    done(journal, "one", 980)
    again = Journal(tmp_path / "journal.sqlite", most_bytes=1000)
    with contextlib.closing(again), pytest.raises(Refused, match="no ledger has confirmed"):
        again.accept("two", 1, b"r" * 100)


def test_old_jobs_are_forgotten_and_leases_are_not(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.accept("leased", 9, b"r")
    journal.begin_next()
    journal.end("leased", RemoteState.FAILED)
    for token in ("old", "new"):
        journal.accept(token, 9, b"r")
        journal.begin_next()
        journal.end(token, RemoteState.FAILED)
    journal.close_token("never came")
    journal.confirm(["leased", "old", "new"])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + (KEPT_DAYS + 1) * 86400)
    journal.confirm([])
    monkeypatch.setattr(time, "time", lambda: now + (FORGOTTEN_DAYS + 1) * 86400)
    journal.confirm([])
    assert journal.find("new") is not None, "numbers go on behind the newest"
    with pytest.raises(StaleLease, match="has obeyed lease 9"):
        journal.accept("late", 8, b"r")
    assert journal.accept("never came", 9, b"r").number == 4, "a closed token is forgotten, too"


def test_forgetting_reads_no_more_than_it_forgets(journal: Journal) -> None:
    seen: list[str] = []
    connection = connection_of(journal)
    connection.set_trace_callback(seen.append)
    journal.confirm([])
    connection.set_trace_callback(None)
    deletes = [one for one in seen if one.startswith("DELETE")]
    assert len(deletes) == 2
    for statement in deletes:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any(step.startswith("SCAN") for step in plan), plan


def test_each_device_file_that_came_into_force_has_a_number_a_time_and_a_name(
    configuration: Configuration, tmp_path: Path
) -> None:
    chip = configuration.device
    other = Configuration(chip.model_copy(update={"description": "x"}), configuration.hardware)
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        for one, who in ((configuration, "a"), (configuration, "b"), (other, "c")):
            journal.note_device_file(one, who)
        journal.note_device_file(configuration, "d")
        known = connection_of(journal)
        found = file_history.versions(known, Kind.DEVICE)
        assert [(one.number, one.who) for one in found] == [(1, "a"), (2, "c"), (3, "d")]
        assert found[0].hash == found[2].hash == configuration.device_hash
        assert abs(found[0].since.timestamp() - time.time()) < 60
        assert '"description":"x"' in (file_history.content_of(known, Kind.DEVICE, 2) or "")
        assert file_history.content_of(known, Kind.DEVICE, 9) is None
        assert not file_history.versions(known, Kind.HARDWARE)
        journal.note_hardware_file(configuration, "e")
        (cables,) = file_history.versions(known, Kind.HARDWARE)
        assert (cables.number, cables.who, cables.hash) == (1, "e", configuration.hardware_hash)
        assert "connectivity" in (file_history.content_of(known, Kind.HARDWARE, 1) or "")


def test_device_files_of_an_older_journal_are_brought_along(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as old, old:
        old.execute("CREATE TABLE device_files (hash TEXT PRIMARY KEY, content TEXT, since REAL)")
        old.execute("CREATE TABLE closed (token TEXT PRIMARY KEY)")
        old.execute("INSERT INTO device_files VALUES ('abc', '{}', 1.0)")
        old.execute("INSERT INTO closed VALUES ('gone')")
    for _ in range(2):
        with contextlib.closing(Journal(file)) as journal:
            (version,) = file_history.versions(connection_of(journal), Kind.DEVICE)
            assert (version.hash, version.who) == ("abc", "not recorded")
            with pytest.raises(Refused, match="before it came"):
                journal.accept("gone", 1, b"r")
