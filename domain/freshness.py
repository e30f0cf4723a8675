"""How long what was asked is taken to be still so."""

from __future__ import annotations

BELIEVED_SECONDS = 5.0
"""Of what changes when a person changes it: a block, a QPU's limits, a deployment. Asking for it
each time would be a part of every job's latency; whether a QPU accepts jobs is asked each time."""
