"""What jobs of the journal ask for, read once: when they play, or while the one before does."""

from __future__ import annotations

from qpuflow.drivers.qblox.daemon.journal import Entry, Journal
from qpuflow.drivers.qblox.link import messages
from qpuflow.drivers.qblox.preparation import Work


class Lookahead:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read: tuple[str, Work] | None = None

    def work_of(self, entry: Entry) -> Work:
        """`ValueError` where it cannot be read, as of a daemon of another version."""
        read, self._read = self._read, None
        return read[1] if read and read[0] == entry.token else _work_of(entry)

    def upcoming(self) -> Work | None:
        """Of the oldest that waits; None where it cannot be read, which is told in its turn."""
        entry = self._journal.next_waiting()
        if entry is None:
            return None
        try:
            work = _work_of(entry)
        except ValueError:
            return None
        self._read = (entry.token, work)
        return work


def _work_of(entry: Entry) -> Work:
    request = messages.Execute.model_validate_json(entry.request)
    return Work([circuit.executable() for circuit in request.circuits], request.shots)
