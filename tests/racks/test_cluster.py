"""What a cluster really holds is compared with what the hardware file says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qblox_instruments import Cluster, ClusterType

from qpuflow.domain.errors import OperatorNeeded
from qpuflow.drivers.qblox.cluster import check_modules, connect
from qpuflow.drivers.qblox.config import Configuration


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(
        "of_two", dummy_cfg={2: ClusterType.CLUSTER_QCM_RF, 8: ClusterType.CLUSTER_QRM_RF}
    )
    yield made
    made.close()


def test_modules_that_are_there_are_found(cluster: Cluster) -> None:
    check_modules(cluster, {2: "QCM_RF", 8: "QRM_RF"})


@pytest.mark.parametrize(
    ("slot", "kind", "words"),
    [
        (4, "QCM_RF", "Slot 4 of of_two is empty, and the hardware file has a QCM_RF there"),
        (8, "QRM", "Slot 8 of of_two has a QRM_RF, the hardware file a QRM"),
        (2, "QRM_RF", "Slot 2 of of_two has a QCM_RF, the hardware file a QRM_RF"),
    ],
)
def test_a_module_that_is_not_there_is_named(
    cluster: Cluster, slot: int, kind: str, words: str
) -> None:
    with pytest.raises(OperatorNeeded, match=words):
        check_modules(cluster, {slot: kind})


def test_a_cluster_without_an_address_is_not_looked_for(configuration: Configuration) -> None:
    with pytest.raises(OperatorNeeded, match="gives no address for cluster0") as caught:
        connect(configuration.hardware, dummy=False)
    assert "hardware_description.cluster0.ip" in (caught.value.remedy or "")
