"""The machines of a fake Quantinuum, as its machine list tells of them."""

from __future__ import annotations

from typing import Any

MACHINE = "H1-1"
SYNTAX_CHECKER = "H1-1SC"

_COMMON: dict[str, Any] = {
    "n_qubits": 20,
    "n_classical_registers": 4000,
    "max_classical_register_width": 63,
    "max_n_shots": 10000,
    "gateset": ["RZZ", "Rxxyyzz", "Rz", "U1q", "ZZ"],
    "supported_languages": ["OPENQASM 2.0", "QIR 1.0"],
    "connectivity": "all-to-all",
    "wasm": False,
    "batching": True,
}

MACHINES: list[dict[str, Any]] = [
    {
        **_COMMON,
        "name": MACHINE,
        "system_type": "hardware",
        "emulator": "H1-1E",
        "syntax_checker": SYNTAX_CHECKER,
        "noise_specs": {
            "date": "2025-05-02",
            "spam_error": {"p_meas_0": 1.22e-3, "p_meas_1": 3.43e-3},
            "crosstalk_error": {"p_crosstalk_meas": 4.1e-05},
            "memory_error": {"memory_error": 2.22e-4},
            "1q_gate_error": {"p1": 1.8e-05},
            "2q_gate_error": {"p2": 9.73e-4},
        },
    },
    {**_COMMON, "name": SYNTAX_CHECKER, "system_type": "syntax checker"},
]
