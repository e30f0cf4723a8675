"""A program means the same in every form that it may come in, and goes out to vendors in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3

from qpuflow.domain.compilers import Compiler
from qpuflow.domain.device import Device
from qpuflow.domain.parsing import parse
from qpuflow.domain.request import Program, ProgramFormat
from qpuflow.drivers.aer import AerDriver
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.forked import ForkedPool
from qpuflow.drivers.ibm import IbmDriver
from qpuflow.drivers.quantinuum import QuantinuumDriver
from qpuflow.drivers.tket import PRELOAD, compile_circuit
from tests.domain.programs import in_base64
from tests.drivers.equivalence import compiled, difference, distribution, dumped, worst

EXACT = 1e-6
FEW = settings(max_examples=8, deadline=None, derandomize=True)
LEVELS = range(4)

ROTATIONS = ("rx", "ry", "rz")
ONE = ("h", "t", "sdg", "x", "sx")
TWO = ("cx", "cz", "swap")


@dataclass(frozen=True)
class Given:
    """Gates as (name, angle, qubits); clbit `into[q]` takes what is measured of qubit q."""

    gates: tuple[tuple[str, float, tuple[int, ...]], ...]
    into: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.into)

    def circuit(self) -> QuantumCircuit:
        circuit = QuantumCircuit(self.size, self.size)
        for name, angle, qubits in self.gates:
            getattr(circuit, name)(*([angle] if name in ROTATIONS else []), *qubits)
        circuit.measure(range(self.size), list(self.into))
        return circuit

    def in_pytket(self) -> str:
        from pytket.circuit import Circuit

        names = {"h": "H", "t": "T", "sdg": "Sdg", "x": "X", "sx": "SX", "swap": "SWAP"}
        names |= {"rx": "Rx", "ry": "Ry", "rz": "Rz", "cx": "CX", "cz": "CZ"}
        circuit: Any = Circuit(self.size, self.size)
        for name, angle, qubits in self.gates:
            angles = [angle / pi] if name in ROTATIONS else []
            getattr(circuit, names[name])(*angles, *qubits)
        for qubit, clbit in enumerate(self.into):
            circuit.Measure(qubit, clbit)
        return json.dumps(circuit.to_dict())

    def in_braket(self) -> str:
        from braket.circuits import Circuit
        from braket.circuits.serialization import IRType

        names = {"sdg": "si", "sx": "v", "cx": "cnot"}
        circuit: Any = Circuit()
        for name, angle, qubits in self.gates:
            angles = [angle] if name in ROTATIONS else []
            getattr(circuit, names.get(name, name))(*qubits, *angles)
        circuit.measure([self.into.index(clbit) for clbit in range(self.size)])
        return circuit.to_ir(ir_type=IRType.OPENQASM).json()


def _gates(size: int) -> st.SearchStrategy[Any]:
    qubit = st.integers(0, size - 1)
    angle = st.integers(1, 62).map(lambda step: step / 10)
    one = st.tuples(st.sampled_from((*ONE, *ROTATIONS)), angle, st.tuples(qubit))
    pairs = st.lists(qubit, min_size=2, max_size=2, unique=True).map(tuple)
    two = st.tuples(st.sampled_from(TWO), angle, pairs)
    return st.lists(st.one_of(one, two) if size > 1 else one, min_size=1, max_size=14)


@st.composite
def programs(draw: st.DrawFn) -> Given:
    """Every qubit is turned first, so that no order of qubits or bits looks like another."""
    size = draw(st.integers(1, 4))
    turned = [("ry", 0.3 + 0.5 * qubit, (qubit,)) for qubit in range(size)]
    gates = draw(_gates(size))
    return Given((*turned, *gates), tuple(draw(st.permutations(range(size)))))


def twelve() -> Given:
    """On 12 qubits, with couplings that no device has all of, measured in another order."""
    turned = [("ry", 0.2 + 0.21 * qubit, (qubit,)) for qubit in range(12)]
    gates: list[tuple[str, float, tuple[int, ...]]] = []
    for step in (1, 5):
        gates += [("cx", 0.0, (qubit, (qubit + step) % 12)) for qubit in range(0, 12, 2)]
        gates += [("rx", 0.3 * qubit, (qubit,)) for qubit in range(12)]
        gates += [("rz", 0.1 + 0.2 * qubit, (qubit,)) for qubit in range(12)]
    gates += [("swap", 0.0, (0, 7)), ("cz", 0.0, (3, 11)), ("h", 0.0, (4,))]
    return Given((*turned, *gates), tuple(5 * qubit % 12 for qubit in range(12)))


def _qpy(program: Given) -> Program:
    return Program(source=in_base64(dumped(program.circuit())), format=ProgramFormat.QPY)


IN: dict[str, Callable[[Given], Program]] = {
    "OpenQASM 2": lambda program: Program(source=qasm2.dumps(program.circuit())),
    "OpenQASM 3": lambda program: Program(source=qasm3.dumps(program.circuit())),
    "QPY": _qpy,
    "pytket JSON": lambda program: Program(source=program.in_pytket()),
    "Braket IR": lambda program: Program(source=program.in_braket()),
}


def distance(form: str, program: Given) -> float:
    """Of what was read from what was meant. The trial of a QPY file has tests of its own."""
    read = parse(IN[form](program), vetted=True).circuit
    return difference(distribution(program.circuit()), distribution(read))


@pytest.mark.parametrize("form", IN)
@FEW
@given(program=programs())
def test_what_comes_in_is_what_was_meant(form: str, program: Given) -> None:
    assert distance(form, program) < EXACT


@pytest.mark.parametrize("form", IN)
def test_twelve_qubits_come_in_as_they_were_meant(form: str) -> None:
    assert distance(form, twelve()) < EXACT


def test_the_comparison_sees_two_bits_exchanged() -> None:
    meant = Given((("ry", 0.3, (0,)), ("ry", 0.8, (1,))), (0, 1))
    other = Given(meant.gates, (1, 0))
    assert difference(*(distribution(one.circuit()) for one in (meant, other))) > 0.05


DRIVERS: dict[str, Callable[[], Any]] = {
    "aer": lambda: AerDriver("aer", {}, {}),
    "ibm": lambda: IbmDriver("ibm", {"backend": "local:fake_guadalupe"}),
    "quantinuum": lambda: QuantinuumDriver("h1", {"machine": "local:H1-1"}),
    "braket": lambda: BraketDriver("sv", {"device": "local:braket_sv"}),
}
FURTHER = {"quantinuum": (Compiler.VENDOR,), "braket": (Compiler.VENDOR,)}

MODULES = (
    *PRELOAD,
    *("pytket.extensions.quantinuum.backends.quantinuum", "pytket.qasm.qasm"),
    *("qiskit_ibm_runtime", "braket.default_simulator", "braket.ir.openqasm"),
)


class Processes:
    """Children with the SDKs, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = ForkedPool(MODULES, size=1)
        self._devices: dict[str, Device] = {}

    def worst(self, vendor: str, program: Given, choices: Sequence[tuple[Compiler, int]]) -> float:
        content = dumped(program.circuit())
        return self._run(self._pool.run(worst, vendor, content, self.device(vendor), choices))

    def device(self, vendor: str) -> Device:
        if vendor not in self._devices:
            self._devices[vendor] = self._run(_described(vendor))
        return self._devices[vendor]

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self._pool.close()
        self._loop.close()


async def _described(vendor: str) -> Device:
    driver = DRIVERS[vendor]()
    try:
        return await driver.describe()
    finally:
        await driver.close()


@pytest.fixture(scope="module")
def processes() -> Generator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


def choices_of(vendor: str) -> tuple[Compiler, ...]:
    return (Compiler.QISKIT, Compiler.PYTKET, *FURTHER.get(vendor, ()))


@pytest.mark.parametrize("vendor", DRIVERS)
def test_what_goes_out_is_what_was_meant_whoever_compiled_it(
    processes: Processes, vendor: str
) -> None:
    @FEW
    @given(program=programs(), level=st.sampled_from(LEVELS))
    def check(program: Given, level: int) -> None:
        choices = [(compiler, level) for compiler in choices_of(vendor)]
        assert processes.worst(vendor, program, choices) < EXACT

    check()


@pytest.mark.parametrize("vendor", DRIVERS)
def test_twelve_qubits_go_out_as_they_were_meant(processes: Processes, vendor: str) -> None:
    choices = [(Compiler.QISKIT, level) for level in LEVELS]
    choices += [(compiler, 2) for compiler in choices_of(vendor)[1:]]
    assert processes.worst(vendor, twelve(), choices) < EXACT


@pytest.mark.parametrize("compiler", [Compiler.QISKIT, Compiler.PYTKET])
@pytest.mark.parametrize("level", LEVELS)
def test_the_layout_says_where_each_qubit_begins(
    processes: Processes, compiler: Compiler, level: int
) -> None:
    """Qubits that never meet stay where they began, so each is measured there."""
    circuit = QuantumCircuit(4, 4)
    for qubit in range(4):
        circuit.rx(0.2 + 0.3 * qubit, qubit)
    circuit.measure(range(4), [2, 0, 3, 1])
    made = compiled(circuit, processes.device("ibm"), compiler, level)
    isa = made.circuit()
    at = {
        isa.find_bit(step.clbits[0]).index: isa.find_bit(step.qubits[0]).index
        for step in isa.data
        if step.operation.name == "measure"
    }
    assert made.layout == tuple(at[clbit] for clbit in (2, 0, 3, 1))


def test_gates_of_the_devices_own_are_all_that_pytket_leaves(processes: Processes) -> None:
    for vendor in DRIVERS:
        device = processes.device(vendor)
        made = compile_circuit(twelve().circuit(), device, 2)
        assert set(made.operations) <= {gate.name for gate in device.gates} | {"barrier"}
