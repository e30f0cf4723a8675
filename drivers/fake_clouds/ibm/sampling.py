"""IBM's sampler program, on Aer."""

from __future__ import annotations

import json
from typing import Any


def sampled(params: str) -> str:
    """IBM's result document for the parameters of a sampler job."""
    from qiskit.primitives import BackendSamplerV2
    from qiskit_aer import AerSimulator
    from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

    wanted: Any = json.loads(params, cls=RuntimeDecoder)
    sampler = BackendSamplerV2(backend=AerSimulator())
    result = sampler.run([tuple(pub) for pub in wanted["pubs"]]).result()
    return json.dumps(result, cls=RuntimeEncoder)
