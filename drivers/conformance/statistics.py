"""Whether counts can come from a distribution, with rigorous rates of false alarm."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import TYPE_CHECKING

from qpuflow.domain.device import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

FALSE_ALARM = 1e-6
"""Probability that one comparison fails a driver that is right."""


def mismatch(
    counts: Mapping[str, int], expected: Mapping[str, float], noise: float = 0.0
) -> str | None:
    """Why the counts do not fit, or None.

    Without noise: an outcome outside `expected` never fits; each count inside is binomial, tested
    exactly and two-sided at FALSE_ALARM divided by the number of outcomes (Bonferroni).

    With noise, a bound on the total variation distance between what the QPU should sample and
    what it does: the observed distance, all impossible outcomes taken as one, may exceed it by
    the Bretagnolle-Huber-Carol term sqrt((k log 2 + log(1 / FALSE_ALARM)) / (2 shots)), k bins.
    """
    return _noisy(counts, expected, noise) if noise else _exact(counts, expected)


def _exact(counts: Mapping[str, int], expected: Mapping[str, float]) -> str | None:
    from scipy.stats import binomtest

    if impossible := sorted(set(counts) - set(expected)):
        return f"impossible outcomes {impossible}; possible are {sorted(expected)}"
    shots = sum(counts.values())
    for outcome, probability in expected.items():
        seen = counts.get(outcome, 0)
        chance = float(binomtest(seen, shots, min(probability, 1.0)).pvalue)
        if chance < FALSE_ALARM / len(expected):
            return (
                f"{outcome!r} came {seen} times in {shots} shots, not about "
                f"{probability * shots:.0f} (chance {chance:.1e})"
            )
    return None


def _noisy(counts: Mapping[str, int], expected: Mapping[str, float], noise: float) -> str | None:
    shots = sum(counts.values())
    stray = sum(count for outcome, count in counts.items() if outcome not in expected) / shots
    inside = sum(abs(counts.get(o, 0) / shots - p) for o, p in expected.items())
    distance = (inside + stray) / 2
    bins = len(expected) + 1
    allowed = noise + sqrt((bins * log(2) + log(1 / FALSE_ALARM)) / (2 * shots))
    if distance <= allowed:
        return None
    return f"total variation distance {distance:.3f} from {dict(expected)}, allowed {allowed:.3f}"


def noise_bound(circuit: QuantumCircuit, device: Device) -> float:
    """The most that the device's admitted errors can move the outcomes, in total variation.

    Each operation goes wrong with at most the worst error of its gate on any site, so the sum of
    these bounds the probability that anything went wrong. Branches not taken are counted too.
    """
    worst = {
        gate.name: max((site.error or 0.0 for site in gate.sites), default=0.0)
        for gate in device.gates
        if gate.sites
    }
    return _sum(circuit, worst)


def _sum(circuit: QuantumCircuit, worst: Mapping[str, float]) -> float:
    total = 0.0
    for step in circuit.data:
        total += worst.get(step.operation.name, 0.0)
        total += sum(_sum(block, worst) for block in getattr(step.operation, "blocks", ()))
    return total
