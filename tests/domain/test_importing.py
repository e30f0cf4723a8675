"""What importing Qiskit costs, and when."""

import subprocess
import sys

import pytest

LOOKED_THROUGH_ALL = """
import contextlib, gc
from qpuflow.domain.importing import collected_once

times = []
gc.callbacks.append(
    lambda phase, about: phase == "stop" and about["generation"] == 2 and times.append(1)
)
{before}
times.clear()
with contextlib.suppress(ImportError), collected_once():
    {inside}
print(len(times), gc.isenabled())
"""


@pytest.mark.parametrize(
    ("before", "inside", "said"),
    [
        ("", "import qiskit", "1 True"),
        ("", "pass", "0 True"),
        ("", "import there_is_none", "0 True"),
        ("import qiskit", "from qiskit import QuantumCircuit", "0 True"),
        ("gc.disable()", "import qiskit", "0 False"),
    ],
    ids=["first", "not-at-all", "failed", "there-already", "collector-off"],
)
def test_the_collector_looks_through_it_once(before: str, inside: str, said: str) -> None:
    code = LOOKED_THROUGH_ALL.format(before=before, inside=inside)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == said
