"""What each program in ``examples/`` must give, worked out apart from the system under test.

`EXPECTATIONS[name](dataset)` raises AssertionError when the dataset is wrong; its layout is told
in `qpuflow.domain.result`. Everything random is tested at a false-alarm rate of `ALPHA` for each
comparison; there are about 150, so a right system fails the whole collection less than once in
50,000 runs. Distributions come from closed forms or from the little simulators below, which share
no code with Qiskit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from qpuflow.domain.result import counts_of

ALPHA = 1e-7
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Expectation = Callable[[xr.Dataset], None]


def expect_distribution(dataset: xr.Dataset, expected: Mapping[str, float]) -> None:
    """Pearson's chi-square test; an outcome of probability 0 fails at once."""
    counts, shots = counts_of(dataset), _shots(dataset)
    impossible = set(counts) - {outcome for outcome, p in expected.items() if p > 0}
    assert not impossible, f"impossible outcomes: {sorted(impossible)[:5]}"
    assert math.isclose(sum(expected.values()), 1, abs_tol=1e-6)
    outcomes = [outcome for outcome, p in expected.items() if p * shots >= 5]
    seen = [counts.get(outcome, 0) for outcome in outcomes]
    wanted = [expected[outcome] * shots for outcome in outcomes]
    seen, wanted = [*seen, shots - sum(seen)], [*wanted, shots - sum(wanted)]
    if wanted[-1] < 1e-6:
        seen, wanted = seen[:-1], wanted[:-1]
    if len(wanted) > 1:
        statistic = sum((s - w) ** 2 / w for s, w in zip(seen, wanted, strict=True))
        assert stats.chi2.sf(statistic, len(wanted) - 1) > ALPHA, (counts, expected)


def expect_probability(seen: int, shots: int, probability: float) -> None:
    """An exact binomial test."""
    assert stats.binomtest(seen, shots, probability).pvalue > ALPHA, (seen, shots, probability)


def expect_value(dataset: xr.Dataset, observable: str, point: int, truth: float) -> None:
    """The estimate is as far from the truth as its error bar allows."""
    own = dataset.sel(observable=observable).isel(point=point)
    value, error = float(own["expectation"]), float(own["expectation_error"])
    slack = stats.norm.isf(ALPHA / 2) * error + 1e-9
    assert abs(value - truth) <= slack, f"{observable}[{point}] = {value} +- {error}, not {truth}"


def _shots(dataset: xr.Dataset) -> int:
    shots = int(dataset.attrs["shots"])
    assert int(dataset["counts"].sum("outcome")[0]) == shots, "counts do not add up to the shots"
    return shots


def distribution(expected: Mapping[str, float]) -> Expectation:
    return lambda dataset: expect_distribution(dataset, expected)


def _equally(*outcomes: str) -> Expectation:
    return distribution({outcome: 1 / len(outcomes) for outcome in outcomes})


def _fourier(amplitude_phase: float, bits: int) -> dict[str, float]:
    """Phase estimation's distribution for the phase `amplitude_phase`, in closed form."""
    size = 2**bits
    waves = np.exp(2j * np.pi * np.outer(np.arange(size), np.arange(size)) / size)
    state = np.exp(2j * np.pi * amplitude_phase * np.arange(size)) / math.sqrt(size)
    chances = np.abs(waves.conj() @ state / math.sqrt(size)) ** 2
    return {format(k, f"0{bits}b"): float(p) for k, p in enumerate(chances) if p > 1e-12}


def _grover() -> dict[str, float]:
    found = math.sin(5 * math.asin(1 / math.sqrt(8))) ** 2
    rest = (1 - found) / 7
    return {format(k, "03b"): found if k == 0b101 else rest for k in range(8)}


PRISM = ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (0, 3), (1, 4), (2, 5))
QAOA_GAMMA = (0.4085, 0.8575, 1.0448)
QAOA_BETA = (0.5067, 1.9138, 0.1692)


def _cuts() -> NDArray[np.int64]:
    index = np.arange(64)
    return sum((index >> a & 1) ^ (index >> b & 1) for a, b in PRISM)  # type: ignore[return-value]


def _qaoa_probabilities() -> NDArray[np.float64]:
    """The QAOA state from its definition: phases by the cut, then a rotation of every qubit."""
    index, cuts = np.arange(64), _cuts()
    state = np.full(64, 1 / 8, dtype=complex)
    for gamma, beta in zip(QAOA_GAMMA, QAOA_BETA, strict=True):
        state = state * np.exp(-1j * gamma * cuts)
        for qubit in range(6):
            state = math.cos(beta) * state - 1j * math.sin(beta) * state[index ^ (1 << qubit)]
    return np.abs(state) ** 2


def _maxcut(dataset: xr.Dataset) -> None:
    chances, cuts = _qaoa_probabilities(), _cuts()
    expect_distribution(dataset, {format(k, "06b"): float(p) for k, p in enumerate(chances)})
    best = [counts for key, counts in counts_of(dataset).items() if cuts[int(key, 2)] == 7]
    expect_probability(sum(best), _shots(dataset), float(chances[cuts == 7].sum()))
    assert sum(best) > 0.8 * _shots(dataset)


def _u3(theta: float, phi: float, lam: float) -> NDArray[Any]:
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    return np.array(
        [[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    )


def _angle(text: str) -> float:
    """A number, or a multiple of pi such as ``-3*pi/4``."""
    above, _, below = text.strip().removeprefix("-").replace("pi", str(math.pi)).partition("/")
    size = math.prod(map(float, above.split("*"))) / float(below or 1)
    return -size if text.strip().startswith("-") else size


def _simulate_u3_cx(text: str, qubits: int) -> NDArray[np.float64]:
    """Probabilities of a program of u3 and cx only, by the textbook. Axis i is qubit i."""
    state = np.zeros((2,) * qubits, dtype=complex)
    state[(0,) * qubits] = 1
    for gate, angles, operands in re.findall(r"^(u3|cx)(?:\((.*)\))? (.*);$", text, re.MULTILINE):
        places = [int(place) for place in re.findall(r"\[(\d+)\]", operands)]
        if gate == "u3":
            matrix = _u3(*map(_angle, angles.split(",")))
            state = np.moveaxis(np.tensordot(matrix, state, (1, places[0])), 0, places[0])
        else:
            control, target = places
            on: list[Any] = [slice(None)] * qubits
            on[control] = 1
            state[tuple(on)] = np.flip(state[tuple(on)], target - (target > control))
    return np.abs(state.transpose(tuple(reversed(range(qubits)))).reshape(-1)) ** 2


def _quantum_volume(dataset: xr.Dataset) -> None:
    text = (EXAMPLES / "quantum-volume.qasm").read_text()
    chances = _simulate_u3_cx(text, 5)
    expect_distribution(dataset, {format(k, "05b"): float(p) for k, p in enumerate(chances)})
    heavy = {format(k, "05b") for k in np.flatnonzero(chances > np.median(chances))}
    share = sum(n for key, n in counts_of(dataset).items() if key in heavy) / _shots(dataset)
    assert share > 2 / 3, f"heavy outputs in only {share:.1%} of the shots"


def _cluster_state(dataset: xr.Dataset) -> None:
    counts, shots = counts_of(dataset), _shots(dataset)
    ones = np.zeros(100, dtype=int)
    for outcome, count in counts.items():
        bits = np.array([int(bit) for bit in reversed(outcome)])
        ones += count * bits
        padded = np.pad(bits, 1)
        parities = (padded[:-2] + bits + padded[2:])[::2] % 2
        flipped = (np.arange(0, 100, 2) % 14 == 0).astype(int)
        assert (parities == flipped).all(), f"a stabilizer is violated in {outcome}"
    for qubit in range(100):
        expect_probability(int(ones[qubit]), shots, 0.5)
    assert len(counts) > 0.99 * shots


X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1.0, -1.0]).astype(complex)
PAULIS = {"I": np.eye(2), "X": X, "Y": Y, "Z": Z}
HYDROGEN = {
    "II": -1.05237325,
    "IZ": 0.39793742,
    "ZI": -0.39793742,
    "ZZ": -0.0112801,
    "XX": 0.1809312,
}


def _matrix(terms: Mapping[str, float]) -> NDArray[Any]:
    return sum(
        coefficient * np.kron(PAULIS[label[0]], PAULIS[label[1]])
        for label, coefficient in terms.items()
    )  # type: ignore[return-value]


def _vqe(dataset: xr.Dataset) -> None:
    """Energies by matrix algebra, and the lowest one by exact diagonalisation."""
    energy = _matrix(HYDROGEN)
    generator = np.kron(Y, X)
    thetas = dataset["parameter_theta"].values
    assert len(thetas) == 9
    truths = list[float]()
    for point, theta in enumerate(thetas):
        start = np.array([0, 1, 0, 0], dtype=complex)
        state = math.cos(theta / 2) * start - 1j * math.sin(theta / 2) * (generator @ start)
        truths.append(float((state.conj() @ energy @ state).real))
        expect_value(dataset, "energy", point, truths[-1])
        expect_value(dataset, "parity", point, -1.0)
    ground = float(np.linalg.eigvalsh(energy)[0])
    assert int(np.argmin(truths)) == 4
    assert abs(truths[4] - ground) < 1e-6
    assert float(dataset["expectation_error"].sel(observable="energy").max()) < 0.05


def _chsh(dataset: xr.Dataset) -> None:
    for observable, truth in {"S": 2 * math.sqrt(2), "ZZ": 1.0, "XX": 1.0, "YY": -1.0}.items():
        expect_value(dataset, observable, 0, truth)


EXPECTATIONS: dict[str, Expectation] = {
    "bell": _equally("00", "11"),
    "bernstein-vazirani": _equally("1011001"),
    "chsh": _chsh,
    "clifford-100": _cluster_state,
    "deutsch-jozsa": _equally("1001", "1011", "1101", "1111"),
    "ghz-20": _equally("0" * 20, "1" * 20),
    "grover": distribution(_grover()),
    "phase-estimation": distribution(_fourier(1 / 3, 4)),
    "qaoa-maxcut": _maxcut,
    "qft": distribution(_fourier(11 / 32, 5)),
    "quantum-volume": _quantum_volume,
    "repetition-code": _equally("010 11 01 01"),
    "teleportation": _equally("0 0 0", "0 0 1", "0 1 0", "0 1 1"),
    "two-registers": _equally("10 001"),
    "vqe-ansatz": _vqe,
    "w-state": _equally("00001", "00010", "00100", "01000", "10000"),
}
"""By the program's file name without its ending. Made for at least 1,000 shots."""
