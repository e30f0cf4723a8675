"""Who may compile a program, and which of two compiled programs is the better one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qpuflow.domain.errors import InputError
from qpuflow.domain.figures import Figures


class Compiler(StrEnum):
    QISKIT = "qiskit"
    PYTKET = "pytket"
    VENDOR = "vendor"
    """Qiskit only rewrites gates; the vendor's own compiler, which comes after, does the rest."""
    BEST = "best"
    """Qiskit and pytket at the same time; the better one is kept."""


CONTENDERS = (Compiler.QISKIT, Compiler.PYTKET)
"""Of `BEST`. Where they are equal, the first is kept."""


def check_compiler(
    asked: Compiler | None, has: Collection[Compiler], qpu: str, *, parameters: bool
) -> None:
    """Raises `InputError` where the QPU does not have it, or it cannot do without values."""
    if asked is None:
        return
    if asked not in has:
        known = ", ".join(sorted(has))
        raise InputError(
            f"{qpu} has no compiler {asked.value!r}",
            where="options.compiler",
            remedy=f"It has {known}." + _HINTS.get(asked, ""),
        )
    if asked is Compiler.PYTKET and parameters:
        raise InputError(
            "pytket compiles programs whose angles are numbers, and this one has parameters",
            where="options.compiler",
            remedy="Choose qiskit or best, or make a program for each point.",
        )


_HINTS: Mapping[Compiler, str] = {
    Compiler.PYTKET: " pytket takes the extra qpuflow[pytket] where its worker runs.",
    Compiler.BEST: " best takes the extra qpuflow[pytket] where its worker runs.",
}


def vendor_level(asked: Compiler | None, optimization_level: int) -> int | None:
    """How hard the vendor's own compiler works afterwards; None: as the QPU's owner says.

    Whoever chose another compiler wants to have its circuit run, not what is made of it. Where the
    vendor compiles on its own side, as Amazon does, nobody is asked.
    """
    match asked:
        case None:
            return None
        case Compiler.VENDOR:
            return optimization_level
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one compiler made: `figures`, or why there are none."""

    compiler: Compiler
    seconds: float
    figures: Figures | None = None
    failure: str | None = None

    def about(self) -> dict[str, Any]:
        """As JSON."""
        told: dict[str, Any] = {"compiler": self.compiler.value, "seconds": round(self.seconds, 4)}
        if self.figures is None:
            return {**told, "failure": self.failure}
        figures = self.figures
        return {
            **told,
            "two_qubit_gates": figures.two_qubit_gates,
            "depth": figures.depth,
            "fidelity": figures.fidelity,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Which compiler made what runs, and what it was compared with, as `Candidate.about` says."""

    compiler: str
    reason: str | None = None
    compared: Sequence[Mapping[str, Any]] = ()

    def about(self) -> dict[str, Any]:
        return {
            "compiler": self.compiler,
            "reason": self.reason,
            "compared": [dict(one) for one in self.compared],
        }


ALONE = "only one was there"
BY_FIDELITY = "higher estimated fidelity"
BY_GATES = "fewer two-qubit gates"
BY_DEPTH = "less depth"
ALIKE = "they are alike"


def better(candidates: Sequence[Candidate]) -> tuple[Compiler, str] | None:
    """Which one is kept and by which measure; None if there is none.

    By the estimated fidelity where the device tells its errors, else by the number of two-qubit
    gates, then by depth. Of equals the first.
    """
    made = [(one.compiler, one.figures) for one in candidates if one.figures is not None]
    if len(made) < 2:
        return (made[0][0], ALONE) if made else None
    for measure, scores in _measures([figures for _, figures in made]):
        if min(scores) < max(scores):
            return made[scores.index(min(scores))][0], measure
    return made[0][0], ALIKE


_SAME_FIDELITY = 1e-9


def _measures(every: Sequence[Figures]) -> list[tuple[str, list[float]]]:
    """What is compared, the first that differs decides; lower is better."""
    logs = [-one.log_fidelity for one in every if one.log_fidelity is not None]
    differs = len(logs) == len(every) and max(logs) - min(logs) > _SAME_FIDELITY
    return [
        *([(BY_FIDELITY, logs)] if differs else []),
        (BY_GATES, [float(one.two_qubit_gates) for one in every]),
        (BY_DEPTH, [float(one.depth) for one in every]),
    ]


def compared_text(program: str, metadata: Mapping[str, Any]) -> str:
    """What a result's attributes say of a choice, in words."""
    told = [_candidate_text(one) for one in json.loads(metadata["compared"])]
    kept, why = metadata["compiler"], metadata["compiler_reason"]
    return f"{program}: compiled by {kept} ({why}); {'; '.join(told)}"


def _candidate_text(one: Mapping[str, Any]) -> str:
    if one.get("failure") is not None:
        return f"{one['compiler']}: {one['failure']}"
    fidelity = one["fidelity"]
    likely = "" if fidelity is None else f", fidelity {fidelity:.4f}"
    return (
        f"{one['compiler']}: {one['two_qubit_gates']} two-qubit gates, depth {one['depth']}"
        f"{likely}, {one['seconds']:.2f} s"
    )
