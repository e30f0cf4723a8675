"""The tests that every driver must pass, ours and third parties' alike.

A driver's own test module needs pytest, pytest-asyncio and these lines:

    import pytest_asyncio
    from qpuflow.drivers.conformance import DriverConformance

    @pytest_asyncio.fixture(scope="module", loop_scope="session")
    async def driver():
        driver = MyDriver("my-qpu", settings, secrets)
        yield driver
        await driver.close()

    class TestMyDriver(DriverConformance):
        pass

The battery compiles each program of `CASES` for the device that the driver describes, runs it and
compares with the exact distribution, which was worked out by hand. A perfect QPU (every error in
its description zero or absent) must match within sampling noise and never show an impossible
outcome. A noisy one must stay within the sum of the errors that its description admits.

False alarms: each comparison fails a right driver with probability at most `FALSE_ALARM` (1e-6);
the bounds are rigorous, not asymptotic, so the whole battery stays under 1e-4. See `statistics`.

A case that the QPU cannot run at all is left out by name, with the reason, in `cannot`; cases
that need a gate (reset, if_else) or qubits that the device lacks are left out by themselves.
"""

from qpuflow.drivers.conformance.cases import CASES, Case
from qpuflow.drivers.conformance.kit import DriverConformance
from qpuflow.drivers.conformance.statistics import FALSE_ALARM, mismatch, noise_bound

__all__ = ["CASES", "FALSE_ALARM", "Case", "DriverConformance", "mismatch", "noise_bound"]
