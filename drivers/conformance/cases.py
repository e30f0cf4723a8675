"""Programs whose outcomes tell bits, registers, qubits and times apart.

Every distribution is worked out by hand: most are certain, and the others are products of
sin²(angle / 2). Keys are Qiskit's: clbit 0 rightmost, the last declared register leftmost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi, sin


@dataclass(frozen=True, slots=True)
class Case:
    """A program and, for each point, the exact probability of every possible outcome.

    `needs`: gates without which the device cannot run it.
    """

    name: str
    source: str
    expected: tuple[Mapping[str, float], ...]
    points: tuple[dict[str, float], ...] = ({},)
    needs: frozenset[str] = frozenset()


_HEAD = 'OPENQASM 3.0; include "stdgates.inc";'


def _case(name: str, body: str, *expected: Mapping[str, float], needs: str = "") -> Case:
    return Case(name, f"{_HEAD} {body}", expected, needs=frozenset(needs.split()))


def _one(angle: float) -> float:
    """Probability of 1 after a rotation of |0> by the angle about x or y."""
    return sin(angle / 2) ** 2


def _two_rotations(low: float, high: float) -> dict[str, float]:
    """Of two independent qubits, rotated by `low` (clbit 0) and by `high` (clbit 1)."""
    ones = (_one(low), _one(high))
    return {
        f"{h}{v}": (ones[0] if v else 1 - ones[0]) * (ones[1] if h else 1 - ones[1])
        for h in (0, 1)
        for v in (0, 1)
    }


_ORDER = "x q[0]; x q[4]; a[0] = measure q[0]; a[1] = measure q[1]; a[2] = measure q[2];" + (
    "b[0] = measure q[3]; b[1] = measure q[4];"
)

PLACES = (
    _case("x on qubit 0", "qubit[3] q; bit[3] c; x q[0]; c = measure q;", {"001": 1}),
    Case(
        "x on qubit 0 in OpenQASM 2",
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[3]; x q[0]; measure q -> c;',
        ({"001": 1},),
    ),
    _case("register a before b", f"qubit[5] q; bit[3] a; bit[2] b; {_ORDER}", {"10 001": 1}),
    _case("register b before a", f"qubit[5] q; bit[2] b; bit[3] a; {_ORDER}", {"001 10": 1}),
    _case(
        "measured into another clbit",
        "qubit[3] q; bit[3] c; x q[0];"
        "c[2] = measure q[0]; c[0] = measure q[1]; c[1] = measure q[2];",
        {"100": 1},
    ),
    _case(
        "idle qubits between busy ones",
        "qubit[6] q; bit[2] c; x q[4]; c[1] = measure q[4]; c[0] = measure q[1];",
        {"10": 1},
    ),
    _case("one clbit", "qubit[2] q; bit[1] c; x q[1]; c[0] = measure q[1];", {"1": 1}),
    _case(
        "more than 64 clbits",
        "qubit[2] q; bit[70] c; x q[0]; c[0] = measure q[0]; c[1] = measure q[1];"
        "c[33] = measure q[0]; c[64] = measure q[0]; c[69] = measure q[0];",
        {"".join("1" if bit in (0, 33, 64, 69) else "0" for bit in reversed(range(70))): 1},
    ),
    _case(
        "clbits that nothing measures",
        "qubit[2] q; bit[2] a; bit[3] b; x q[0]; b[1] = measure q[0];",
        {"010 00": 1},
    ),
    _case("no measurement", "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1];", {"00": 1}),
    _case("no clbits", "qubit[2] q; h q[0]; cx q[0], q[1];", {"": 1}),
)

TIMES = (
    _case(
        "measured in the middle",
        "qubit[2] q; bit[2] c; h q[0]; c[0] = measure q[0]; cx q[0], q[1]; c[1] = measure q[1];",
        {"00": 0.5, "11": 0.5},
    ),
    _case(
        "measured twice",
        "qubit[1] q; bit[2] c; ry(1.0) q[0]; c[0] = measure q[0]; x q[0]; c[1] = measure q[0];",
        {"10": 1 - _one(1.0), "01": _one(1.0)},
    ),
    _case(
        "a clbit written twice keeps the last value",
        "qubit[1] q; bit[2] c; x q[0]; c[0] = measure q[0]; c[1] = measure q[0]; x q[0];"
        "c[0] = measure q[0];",
        {"10": 1},
    ),
    _case(
        "reset after a measurement",
        "qubit[1] q; bit[2] c; h q[0]; c[0] = measure q[0]; reset q[0]; c[1] = measure q[0];",
        {"00": 0.5, "01": 0.5},
        needs="reset",
    ),
    _case(
        "reset of one of two entangled qubits",
        "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; reset q[0]; c = measure q;",
        {"00": 0.5, "10": 0.5},
        needs="reset",
    ),
    _case(
        "a gate conditional on a measured bit",
        "qubit[3] q; bit[3] c; h q[0]; c[0] = measure q[0];"
        "if (c[0]) { x q[1]; } else { x q[2]; }"
        "c[1] = measure q[1]; c[2] = measure q[2];",
        {"100": 0.5, "011": 0.5},
        needs="if_else",
    ),
    _case(
        "a gate conditional on a register",
        "qubit[3] q; bit[2] m; bit[1] r; x q[1]; m[0] = measure q[0]; m[1] = measure q[1];"
        "if (m == 2) { x q[2]; } r[0] = measure q[2];",
        {"1 10": 1},
        needs="if_else",
    ),
    _case(
        "teleportation",
        "qubit[3] q; bit[2] m; bit[1] r; ry(1.0) q[0]; h q[1]; cx q[1], q[2]; cx q[0], q[1];"
        "h q[0]; m[0] = measure q[0]; m[1] = measure q[1];"
        "if (m[1]) { x q[2]; } if (m[0]) { z q[2]; } r[0] = measure q[2];",
        {
            f"{r} {m}": p / 4
            for r, p in (("0", 1 - _one(1.0)), ("1", _one(1.0)))
            for m in ("00", "01", "10", "11")
        },
        needs="if_else",
    ),
)

STATES = (
    _case(
        "Bell pair",
        "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;",
        {"00": 0.5, "11": 0.5},
    ),
    _case(
        "GHZ state",
        "qubit[5] q; bit[5] c; h q[0]; cx q[0], q[1]; cx q[1], q[2]; cx q[2], q[3]; cx q[3], q[4];"
        "c = measure q;",
        {"00000": 0.5, "11111": 0.5},
    ),
    _case(
        "two unequal qubits",
        "qubit[2] q; bit[2] c; ry(0.6) q[0]; rx(1.9) q[1]; c = measure q;",
        _two_rotations(0.6, 1.9),
    ),
    _case(
        "interference",
        "qubit[1] q; bit[1] c; h q[0]; t q[0]; h q[0]; c = measure q;",
        {"0": cos(pi / 8) ** 2, "1": sin(pi / 8) ** 2},
    ),
)

_POINTS = ((0.0, 0.0), (pi, 0.0), (0.0, pi), (0.6, 1.9), (1.9, 0.6))

PARAMETERS = (
    Case(
        "parameters at several points",
        f"{_HEAD} input float zeta; input float alpha; qubit[2] q; bit[2] c;"
        "rx(zeta) q[0]; ry(alpha) q[1]; c = measure q;",
        tuple(
            {o: p for o, p in _two_rotations(zeta, alpha).items() if p > 1e-12}
            for zeta, alpha in _POINTS
        ),
        points=tuple({"zeta": zeta, "alpha": alpha} for zeta, alpha in _POINTS),
    ),
)

CASES = (*PLACES, *TIMES, *STATES, *PARAMETERS)


def case(name: str) -> Case:
    return next(one for one in CASES if one.name == name)
