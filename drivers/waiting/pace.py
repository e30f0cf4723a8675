"""How long to pause between two questions: a pure choice."""

from __future__ import annotations

from dataclasses import dataclass

from qpuflow.drivers.base import RemoteState


@dataclass(frozen=True, slots=True)
class Pace:
    """Pauses that grow while nothing happens, and begin anew when something does."""

    first_seconds: float = 0.5
    """A simulator in a cloud takes a second or two: its user should not wait for our next look."""
    growth: float = 1.5
    """So a result is noticed late by at most half of what the job has taken already."""
    queued_cap_seconds: float = 60.0
    """Queues last hours, so a minute is nothing; 1,000 jobs that wait are 17 questions a second,
    an eighth of the slowest general limit that vendors publish (140/s, Amazon Braket)."""
    running_cap_seconds: float = 10.0
    """Few jobs run at once, and somebody waits for each."""
    jitter: float = 0.2
    """The pause varies by up to this fraction either way, so that waits begun together drift
    apart."""

    def pause_seconds(self, unchanged: int, state: RemoteState | None, chance: float) -> float:
        """After `unchanged` answers that brought nothing new; `chance` is uniform in [0, 1)."""
        running = state is RemoteState.RUNNING
        cap = self.running_cap_seconds if running else self.queued_cap_seconds
        # The exponent is bounded, for a float overflows after some thousand answers.
        grown = self.first_seconds * self.growth ** min(unchanged, 64)
        return min(grown, cap) * (1 + self.jitter * (2 * chance - 1))
