"""How long a flow run keeps its seat in the engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from qpuflow.flows.resources import Resources

KEPT_SECONDS = 10.0
"""What a run works for while others wait; the rest of its batch travels on in another."""


@dataclass(frozen=True)
class Seat:
    """That of one run. What it leaves without having begun it is begun later."""

    shared: Resources
    flow_run_id: UUID
    taken_at: float = field(default_factory=time.monotonic)

    def is_wanted(self) -> bool:
        """Somebody waits for it: whoever has nothing to do now leaves."""
        return self.shared.crowded

    def is_outranked(self, batch_id: UUID) -> bool:
        """By somebody who has none: whoever cannot run it soon leaves."""
        return batch_id in self.shared.outranked

    def is_over(self, *, has_worked: bool) -> bool:
        """To begin nothing more.

        A process that is about to end leaves what it has not begun to the next carrier; so does a
        run that was cancelled, and one that has had its time.
        """
        if self.flow_run_id in self.shared.ending:
            return True
        has_had_its_time = self.is_wanted() and time.monotonic() - self.taken_at > KEPT_SECONDS
        return has_worked and (self.shared.draining.is_set() or has_had_its_time)
