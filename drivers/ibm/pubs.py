"""Jobs as IBM's sampler takes them, and its results: all that needs IBM's SDK.

Runs in processes of their own: the SDK takes seconds and 200 MB to import.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import Unavailable
from qpuflow.domain.executable import Executable
from qpuflow.drivers.outline import Outline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

PRELOAD = ("qiskit.qpy", "qiskit_ibm_runtime")

OUTLINE = "qpuflow"
"""Key in a circuit's metadata: what it takes to read its result travels with the job."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Of one executable: for each point the bits, of the shape (shot, clbit), clbit 0 first."""

    outline: Outline
    bits: list[NDArray[np.uint8]]


def encoded(executables: Sequence[Executable], shots: int) -> str:
    """The parameters of a sampler job, as JSON text."""
    from qiskit_ibm_runtime import RuntimeEncoder

    params = {
        "pubs": [pub(executable, shots) for executable in executables],
        "version": 2,
        "support_qiskit": True,
        "options": {},
    }
    return json.dumps(params, cls=RuntimeEncoder)


def decoded(params: str, results: str) -> list[Sampled]:
    """Raises `Unavailable` for half an answer: the next may be whole."""
    from qiskit_ibm_runtime import RuntimeDecoder

    try:
        pubs = json.loads(params, cls=RuntimeDecoder)["params"]["pubs"]
        answers = json.loads(results, cls=RuntimeDecoder)
        outlines = [Outline.model_validate(pub[0].metadata[OUTLINE]) for pub in pubs]
        return [bits_of(one, data) for one, data in zip(outlines, answers, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"The result is not whole, or none that is known: {error!r}") from error


def pub(executable: Executable, shots: int) -> tuple[QuantumCircuit, Any, int]:
    """Circuit, a row of values for each point, shots."""
    import numpy as np
    from qiskit import qpy

    circuit = with_plain_registers(qpy.load(io.BytesIO(executable.qpy))[0], executable)
    names = [parameter.name for parameter in circuit.parameters]
    # A parameter that cannot matter may have been compiled away; its points remain.
    values = [[point[name] for name in names] for point in executable.points]
    return circuit, np.array(values, dtype=float).reshape(len(values), len(names)), shots


def with_plain_registers(circuit: QuantumCircuit, executable: Executable) -> QuantumCircuit:
    """Results come by the registers' names, which must be identifiers there and may be anything
    here; so registers are called r0, r1, ... in their order. One bit at least is measured."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    plain = QuantumCircuit(QuantumRegister(bits=circuit.qubits, name="q"), name=executable.name)
    rest = list(circuit.clbits)
    for index, register in enumerate(executable.registers):
        plain.add_register(ClassicalRegister(bits=rest[: register.size], name=f"r{index}"))
        del rest[: register.size]
    plain.compose(circuit, circuit.qubits, circuit.clbits, inplace=True, copy=False)
    if not circuit.clbits:
        plain.add_register(ClassicalRegister(1, "nothing"))
        plain.measure(0, 0)
    plain.metadata = {OUTLINE: Outline.of(executable).model_dump(mode="json")}
    return plain


def bits_of(outline: Outline, answer: Any) -> Sampled:
    """Of a `SamplerPubResult`."""
    import numpy as np

    arrays = [_register(answer.data, f"r{index}") for index in range(len(outline.registers))]
    points = len(outline.points)
    if not arrays:
        shots = _register(answer.data, "nothing").shape[-2]
        return Sampled(outline, [np.zeros((shots, 0), dtype=np.uint8)] * points)
    joined = np.concatenate([array.reshape(points, *array.shape[-2:]) for array in arrays], axis=-1)
    return Sampled(outline, list(joined.astype(np.uint8)))


def _register(data: Any, name: str) -> Any:
    """Shape (point, shot, bit), bit 0 first."""
    return getattr(data, name).to_bool_array(order="little")
