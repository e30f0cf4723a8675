"""Programs on Quantinuum's own local emulator, PECOS, as its client runs those for H1-1LE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytket.circuit import Bit, Circuit


def run(source: str, shots: int, seed: int | None = None) -> Mapping[str, list[str]]:
    """For each classical register the bits of each shot; the highest bit is leftmost."""
    from pytket.qasm.qasm import circuit_from_qasm_str
    from pytket_pecos import Emulator  # pyright: ignore[reportMissingImports]  an extra

    circuit = circuit_from_qasm_str(source, maxwidth=64)
    # Else they are missing: https://github.com/CQCL/pytket-quantinuum/issues/473
    for bit in _unused(circuit):
        circuit.add_c_setbits([False], [bit])
    emulator: Any = Emulator(circuit, qsim="state-vector", seed=seed)
    return _by_register(circuit, emulator.run(shots).to_readouts().tolist())


def _unused(circuit: Circuit) -> set[Bit]:
    used = {unit for command in circuit.get_commands() for unit in command.args}
    return {bit for bit in circuit.bits if bit not in used}


def _by_register(circuit: Circuit, readouts: Sequence[Sequence[int]]) -> dict[str, list[str]]:
    """Of readouts with all registers in the order of their names, each with bit 0 first."""
    registers = sorted(circuit.c_registers, key=lambda register: register.name)
    ends = list(accumulate(register.size for register in registers))
    return {
        register.name: [
            "".join(map(str, reversed(shot[end - register.size : end]))) for shot in readouts
        ]
        for register, end in zip(registers, ends, strict=True)
    }
