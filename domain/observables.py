"""Pauli expectation values: which circuits to run for them, and what their counts say.

Paulis that differ on no qubit, other than by identity, are measured together. Each such setting
is a circuit of its own with the full number of shots, so settings are independent; within one,
an observable is evaluated shot by shot, which accounts for the covariances of its terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qpuflow.domain.errors import InputError
from qpuflow.domain.parsing import ParsedProgram
from qpuflow.domain.result import counts_of, diagonal_expectation

if TYPE_CHECKING:
    import xarray as xr
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import PauliList

Terms = Mapping[str, float]
MEASURED = "measured"
"""The register that is added to a circuit without measurements; the last one, leftmost in keys."""


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """The circuits to run, in order, and what is read from the counts of each.

    `terms[i][name]` holds the I/Z strings that circuit i contributes to the observable `name`;
    `constants[name]` the coefficient of the identity, which is no measurement and has no error.
    """

    circuits: tuple[QuantumCircuit, ...]
    terms: tuple[dict[str, dict[str, float]], ...] = ({},)
    constants: Mapping[str, float] | None = None


def plan(circuit: QuantumCircuit, observables: Mapping[str, Terms]) -> MeasurementPlan:
    """A circuit that measures runs as it is; any other once for each group of Paulis."""
    if not observables:
        return MeasurementPlan((circuit,))
    _check_labels(circuit, observables)
    constants = {name: _constant(terms) for name, terms in observables.items()}
    varying = {name: _varying(terms) for name, terms in observables.items()}
    if _measures(circuit):
        return MeasurementPlan((circuit,), (varying,), constants)
    settings = _settings(observables)
    return MeasurementPlan(
        tuple(_measured_in(circuit, basis) for basis in settings),
        tuple(_share(varying, group) for group in settings.values()),
        constants,
    )


def count_settings(program: ParsedProgram, observables: Mapping[str, Terms]) -> int:
    """How many circuits the plan would have; raises what `plan` would raise."""
    if observables:
        _check_labels(program.circuit, observables, where=program.name)
    if not observables or _measures(program.circuit):
        return 1
    return len(_settings(observables))


def evaluate(plan: MeasurementPlan, datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """The first circuit's dataset, with the observables' values and standard errors added."""
    import numpy as np

    first = datasets[0]
    if plan.constants is None:
        return first
    names = list(plan.constants)
    values = np.zeros((first.sizes["point"], len(names)))
    variances = np.zeros_like(values)
    for dataset, terms in zip(datasets, plan.terms, strict=True):
        for point in range(first.sizes["point"]):
            counts = read_bits(counts_of(dataset, point), terms)
            for column, name in enumerate(names):
                if own := terms.get(name):
                    value, error = diagonal_expectation(counts, own)
                    values[point, column] += value
                    variances[point, column] += error**2
    dims = ("point", "observable")
    constants = np.array([plan.constants[name] for name in names])
    return first.assign_coords(observable=np.array(names, dtype=np.str_)).assign(
        expectation=(dims, values + constants), expectation_error=(dims, np.sqrt(variances))
    )


def read_bits(counts: Mapping[str, int], terms: Mapping[str, Terms]) -> dict[str, int]:
    """Counts of the bits that the terms speak of: the leftmost ones."""
    width = next((len(label) for own in terms.values() for label in own), 0)
    total: dict[str, int] = {}
    for outcome, count in counts.items():
        bits = outcome.replace(" ", "")[:width]
        total[bits] = total.get(bits, 0) + count
    return total


def _measures(circuit: QuantumCircuit) -> bool:
    return circuit.num_clbits > 0 and any(instruction.clbits for instruction in circuit.data)


def _check_labels(
    circuit: QuantumCircuit, observables: Mapping[str, Terms], where: str | None = None
) -> None:
    measures = _measures(circuit)
    size, unit = (
        (circuit.num_clbits, "classical bits") if measures else (circuit.num_qubits, "qubits")
    )
    for name, terms in observables.items():
        for label in terms:
            if len(label) != size:
                raise InputError(
                    f"{label!r} in observable {name!r} has {len(label)} letters, but the program "
                    f"has {size} {unit}",
                    where=where,
                    remedy=f"Write one letter for each of the {unit}, number 0 rightmost.",
                )
            if measures and set(label) - set("IZ"):
                raise InputError(
                    f"{label!r} in observable {name!r} needs another basis than the one that the "
                    "program measures in",
                    where=where,
                    remedy="Remove the program's measurements, or use I and Z only.",
                )


def _constant(terms: Terms) -> float:
    return sum(coefficient for label, coefficient in terms.items() if not label.strip("I"))


def _varying(terms: Terms) -> dict[str, float]:
    return {label: coefficient for label, coefficient in terms.items() if label.strip("I")}


def _settings(observables: Mapping[str, Terms]) -> dict[str, list[str]]:
    """Paulis that can be measured together, by their common basis; computational ones first."""
    from qiskit.quantum_info import PauliList

    labels = sorted({label for terms in observables.values() for label in terms})
    if not (varying := [label for label in labels if label.strip("I")]):
        return {labels[0].replace("I", "Z"): []}
    groups = PauliList(varying).group_commuting(qubit_wise=True)
    by_basis = {_basis(labels): labels for labels in map(_labels_of, groups)}
    return dict(sorted(by_basis.items(), key=lambda item: (_rotations(item[0]), item[0])))


def _labels_of(group: PauliList) -> list[str]:
    return [str(label) for label in group.to_labels()]


def _basis(labels: Sequence[str]) -> str:
    columns = zip(*labels, strict=True)
    return "".join(next((letter for letter in column if letter != "I"), "Z") for column in columns)


def _rotations(basis: str) -> int:
    return len(basis) - basis.count("Z")


def _share(varying: Mapping[str, Terms], group: Sequence[str]) -> dict[str, dict[str, float]]:
    """What one group contributes to each observable, as I/Z strings."""
    own = set(group)
    return {
        name: {_diagonal(label): terms[label] for label in terms if label in own}
        for name, terms in varying.items()
    }


def _diagonal(label: str) -> str:
    return label.replace("X", "Z").replace("Y", "Z")


def _measured_in(circuit: QuantumCircuit, basis: str) -> QuantumCircuit:
    """The circuit followed by a measurement of every qubit, the rightmost letter for qubit 0."""
    from qiskit import ClassicalRegister

    measured = circuit.copy()
    taken = {register.name for register in circuit.cregs}
    name = next(
        n for n in (MEASURED, *(f"{MEASURED}{i}" for i in range(len(taken)))) if n not in taken
    )
    register = ClassicalRegister(circuit.num_qubits, name)
    measured.add_register(register)
    measured.barrier()
    for qubit, letter in enumerate(reversed(basis)):
        if letter == "Y":
            measured.sdg(qubit)
        if letter in "XY":
            measured.h(qubit)
    measured.measure(range(circuit.num_qubits), register)
    return measured
