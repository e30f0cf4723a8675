"""From Braket's results.json to bits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESULT_SCHEMA = "braket.task_result.gate_model_task_result"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """`bits` has the shape (shot, clbit). `seconds`: of execution, where the device tells."""

    bits: NDArray[np.uint8]
    seconds: float | None


def read(content: bytes, clbits: Sequence[Sequence[int]], num_clbits: int) -> TaskResult:
    """Raises `Unavailable` for half a file: the next try may find all of it."""
    try:
        result = json.loads(content)
        assert result["braketSchemaHeader"]["name"] == RESULT_SCHEMA
        measured = _measured(result, len(clbits))
    except (ValueError, KeyError, AssertionError) as error:
        raise Unavailable(f"The result is not whole, or none that is known: {error!r}") from error
    return TaskResult(_spread(measured, clbits, num_clbits), _seconds(result))


def _measured(result: Mapping[str, Any], width: int) -> NDArray[np.uint8]:
    """Columns in the order of the program's measured bits."""
    import numpy as np

    labels: list[int] = result["measuredQubits"]
    if rows := result.get("measurements"):
        table = np.array(rows, dtype=np.uint8)
    else:
        table = _shots(result["measurementProbabilities"], result["taskMetadata"]["shots"])
    if sorted(labels) == list(range(width)):
        table = table[:, np.argsort(labels)]
    if table.shape[1] != width:
        raise ValueError(f"{table.shape[1]} measured bits instead of {width}")
    return table


def _shots(probabilities: Mapping[str, float], shots: int) -> NDArray[np.uint8]:
    """Some devices tell frequencies only."""
    import numpy as np

    counts = {outcome: round(p * shots) for outcome, p in probabilities.items()}
    rows = [list(map(int, outcome)) for outcome, n in counts.items() for _ in range(n)]
    return np.array(rows, dtype=np.uint8)


def _spread(
    measured: NDArray[np.uint8], clbits: Sequence[Sequence[int]], num_clbits: int
) -> NDArray[np.uint8]:
    """What no measurement wrote is 0."""
    import numpy as np

    bits = np.zeros((len(measured), num_clbits), dtype=np.uint8)
    for column, targets in enumerate(clbits):
        bits[:, list(targets)] = measured[:, [column]]
    return bits


def _seconds(result: Mapping[str, Any]) -> float | None:
    extra = result.get("additionalMetadata", {})
    milliseconds = (extra.get("simulatorMetadata") or {}).get("executionDuration")
    return None if milliseconds is None else milliseconds / 1000
