"""Amazon Braket's intermediate representations: OpenQASM 3 with gates of its own, and JAQCD."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HEADER = "braketSchemaHeader"
OPENQASM, JAQCD = "braket.ir.openqasm.program", "braket.ir.jaqcd.program"

GATES: Mapping[str, str] = {
    "i": "gate i a { id a; }",
    "si": "gate si a { sdg a; }",
    "ti": "gate ti a { tdg a; }",
    "v": "gate v a { sx a; }",
    "vi": "gate vi a { s a; h a; s a; }",
    "phaseshift": "gate phaseshift(t) a { p(t) a; }",
    "gpi": "gate gpi(t) a { x a; rz(2 * t) a; }",
    "gpi2": "gate gpi2(t) a { rz(-t) a; rx(pi / 2) a; rz(t) a; }",
    "prx": "gate prx(t, u) a { rz(-u) a; rx(t) a; rz(u) a; }",
    "cnot": "gate cnot a, b { cx a, b; }",
    "ecr": "gate ecr a, b { h b; cx a, b; rz(pi / 2) b; cx a, b; h b; x a; }",
    "cv": "gate cv a, b { h b; cp(pi / 2) a, b; h b; }",
    "cphaseshift": "gate cphaseshift(t) a, b { cp(t) a, b; }",
    "cphaseshift00": "gate cphaseshift00(t) a, b { x a; x b; cp(t) a, b; x a; x b; }",
    "cphaseshift01": "gate cphaseshift01(t) a, b { x a; cp(t) a, b; x a; }",
    "cphaseshift10": "gate cphaseshift10(t) a, b { x b; cp(t) a, b; x b; }",
    "iswap": "gate iswap a, b { s a; s b; h a; cx a, b; cx b, a; h b; }",
    "pswap": "gate pswap(t) a, b { swap a, b; cx a, b; p(t) b; cx a, b; }",
    "xx": "gate xx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }",
    "yy": "gate yy(t) a, b { rx(pi / 2) a; rx(pi / 2) b; cx a, b; rz(t) b; cx a, b; "
    "rx(-pi / 2) a; rx(-pi / 2) b; }",
    "zz": "gate zz(t) a, b { cx a, b; rz(t) b; cx a, b; }",
    "xy": "gate xy(t) a, b { h a; h b; cx a, b; rz(-t / 2) b; cx a, b; h a; h b; "
    "rx(pi / 2) a; rx(pi / 2) b; cx a, b; rz(-t / 2) b; cx a, b; rx(-pi / 2) a; rx(-pi / 2) b; }",
    "ccnot": "gate ccnot a, b, c { ccx a, b, c; }",
}
"""Those that OpenQASM's standard gates do not have, or call otherwise; up to a global phase."""

_VERSION = re.compile(r"\s*OPENQASM\s+[\d.]+\s*;")
_WORD = re.compile(r"\w+")
_PRAGMA = re.compile(r"^\s*#?pragma\s+(.*)$", re.MULTILINE)
_QUBITS = re.compile(r"\bqubit\s*\[\s*(\d+)\s*\]\s*(\w+)\s*;")


def from_braket(program: Mapping[str, Any]) -> str:
    kind = program[HEADER].get("name")
    if kind == OPENQASM:
        if program.get("inputs"):
            raise ValueError("inputs of a Braket program are given as `parameters` here")
        return _with_gates(program["source"])
    if kind == JAQCD:
        return _with_gates(_written(program["instructions"]))
    raise ValueError(f"of Braket's programs {OPENQASM} and {JAQCD} are known, not {kind}")


def _with_gates(source: str) -> str:
    """Result types are dropped, for counts are what there is; all is measured if nothing is."""
    for pragma in _PRAGMA.finditer(source):
        if not pragma[1].startswith("braket result"):
            raise ValueError(f"the pragma {pragma[1]!r} cannot be kept")
    body = _PRAGMA.sub("", _VERSION.sub("", source, count=1))
    used = [text for name, text in GATES.items() if name in set(_WORD.findall(body))]
    if not re.search(r"\bmeasure\b", body):
        body += _measured(body)
    return "\n".join(['OPENQASM 3.0;\ninclude "stdgates.inc";', *used, body.strip()]) + "\n"


def _measured(body: str) -> str:
    found = _QUBITS.findall(body)
    if len(found) != 1:
        raise ValueError("the program measures nothing, and which qubits to measure is unclear")
    size, name = found[0]
    return f"\nbit[{size}] measured;\nmeasured = measure {name};"


def _written(instructions: Sequence[Mapping[str, Any]]) -> str:
    """JAQCD as OpenQASM. Its qubits are numbers, and what is not named is there all the same."""
    lines = [_line(one) for one in instructions]
    qubits = 1 + max(max(_targets(one)) for one in instructions)
    return "\n".join([f"qubit[{qubits}] q;", *lines])


def _targets(one: Mapping[str, Any]) -> list[int]:
    found = [*one.get("controls", []), *([one["control"]] if "control" in one else [])]
    targets = one["targets"] if "targets" in one else [one["target"]]
    return [*found, *targets]


def _line(one: Mapping[str, Any]) -> str:
    if not re.fullmatch(r"[a-z0-9]+", str(one["type"])):
        raise ValueError(f"the instruction {one['type']!r} is no gate")
    values = f"({float(one['angle'])!r})" if "angle" in one else ""
    places = ", ".join(f"q[{int(target)}]" for target in _targets(one))
    return f"{one['type']}{values} {places};"
