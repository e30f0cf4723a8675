"""prefect-qiskit submits one job. For a Python of its own, which has no qpuflow.

``python dispatch_peer.py API IAM CRN BACKEND``. Prints the counts of the one result that it got.
"""

from __future__ import annotations

import asyncio
import json
import sys

from prefect import flow
from prefect_qiskit import QuantumRuntime  # pyright: ignore[reportMissingImports]  not here
from prefect_qiskit.vendors.ibm_quantum import (  # pyright: ignore[reportMissingImports]
    IBMQuantumCredentials,
)
from qiskit import QuantumCircuit


@flow
async def bell(api: str, iam: str, crn: str, backend: str) -> dict[str, int]:
    """As its documentation shows it, with the retries that it has by default, but sooner."""
    credentials = IBMQuantumCredentials(
        api_key="key-of-a-fake-cloud", crn=crn, auth_url=iam, runtime_url=f"{api}/"
    )
    runtime = QuantumRuntime(resource_name=backend, credentials=credentials, retry_delay=1)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    result = await runtime.sampler([(circuit, None, 100)])
    return result[0].data.meas.get_counts()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(bell(*sys.argv[1:]))) + "\n")
