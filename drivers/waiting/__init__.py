"""Waiting for work that a QPU has accepted: small parts that drivers compose.

A *source* is an async iterator of `RemoteStatus`. `polled` asks again and again; `pushed` reads a
websocket; `pushed_else_polled` does the one while it can and the other while it must; `forward`
keeps of any source what is news. None of them holds a thread, and a wait costs one timer, or one
socket.
"""

from qpuflow.drivers.waiting.forward import forward
from qpuflow.drivers.waiting.pace import Pace
from qpuflow.drivers.waiting.poll import Ask, Polling, polled
from qpuflow.drivers.waiting.push import Opening, Pushing, pushed, pushed_else_polled
from qpuflow.drivers.waiting.rate import RateLimit

__all__ = [
    "Ask",
    "Opening",
    "Pace",
    "Polling",
    "Pushing",
    "RateLimit",
    "forward",
    "polled",
    "pushed",
    "pushed_else_polled",
]
