"""Fixtures for tests of flows and drivers; pytest finds them wherever qpuflow is installed.

    async def test_my_flow(fake_braket):
        block = BraketQpu(settings=fake_braket.settings(), credentials=...)
        ...
        assert not fake_braket.cloud.books.executed_twice

Nothing heavy is imported until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qpuflow.drivers.fake_clouds.braket.served import BraketAt
    from qpuflow.drivers.fake_clouds.ibm.served import IbmAt
    from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt


@pytest.fixture
def fake_braket() -> Iterator[BraketAt]:
    """A fake Amazon Braket on a free port, in fine weather."""
    from qpuflow.drivers.fake_clouds.braket.served import braket_served

    with braket_served() as braket:
        yield braket


@pytest.fixture
def fake_ibm() -> Iterator[IbmAt]:
    """A fake IBM Quantum on a free port, in fine weather."""
    from qpuflow.drivers.fake_clouds.ibm.served import ibm_served

    with ibm_served() as ibm:
        yield ibm


@pytest.fixture
def fake_quantinuum() -> Iterator[QuantinuumAt]:
    """A fake Quantinuum on a free port, in fine weather."""
    from qpuflow.drivers.fake_clouds.quantinuum.served import quantinuum_served

    with quantinuum_served() as quantinuum:
        yield quantinuum
