"""The ground state of the hydrogen molecule, by an optimiser that may be killed at any moment.

    python examples/vqe_session.py h2-monday

Every evaluation of the energy is a job of one session. The session's key numbers them, so the
ledger is the optimiser's checkpoint: started again under the same key, the script gets the results
that are there at once, takes the same steps, and goes on where it was. Nothing runs twice.

Expect about -1.85 hartree (without the nuclear repulsion of 0.720); the exact value is -1.857.
"""

from __future__ import annotations

import argparse
from itertools import count

import numpy as np
from scipy.optimize import minimize

from qpuflow import client
from qpuflow.client import Program

HYDROGEN = {"II": -1.05237, "IZ": 0.39794, "ZI": -0.39794, "ZZ": -0.01128, "XX": 0.18093}
"""At 0.735 angstrom in two qubits (parity mapping), in hartree."""
ANSATZ = """
OPENQASM 3.0;
include "stdgates.inc";
input float a; input float b; input float c; input float d;
qubit[2] q;
ry(a) q[0]; ry(b) q[1];
cx q[0], q[1];
ry(c) q[0]; ry(d) q[1];
"""


def prepared(angles: np.ndarray) -> Program:
    point = dict(zip("abcd", map(float, angles), strict=True))
    return Program(name="h2", source=ANSATZ, parameters=[point], observables={"energy": HYDROGEN})


def main() -> None:
    options = argparse.ArgumentParser(description="Ground state of H2. See the file's first lines.")
    options.add_argument("key", help="names the optimisation; the same key resumes it")
    options.add_argument("--qpu", default="aer")
    options.add_argument("--evaluations", type=int, default=80, help="at most (default: 80)")
    given = options.parse_args()
    numbers = count(1)

    with client.session(given.qpu, shots=4000, key=given.key) as session:

        def energy(angles: np.ndarray) -> float:
            found = session.run(prepared(angles)).points[0].expectations["energy"]
            print(f"{next(numbers):3}  {found.value:.4f} ± {found.error:.4f}", flush=True)
            return found.value

        start = np.array([1.0, 1.0, 1.0, 1.0])
        best = minimize(energy, start, method="COBYLA", options={"maxiter": given.evaluations})
    print(f"Lowest: {best.fun:.4f} hartree after {best.nfev} evaluations")


if __name__ == "__main__":
    main()
