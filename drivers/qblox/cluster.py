"""The instruments themselves: connecting, and reading what the sequencers acquired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qpuflow.domain.errors import OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.config import HardwareFile
from qpuflow.drivers.qblox.executors.base import Bins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qblox_instruments import Cluster

STATUS_MINUTES = 1
MOST_SAMPLES = 16_384
"""Of a module's scope, from when a sequencer begins to acquire; one sample a ns."""


def connect(hardware: HardwareFile, *, dummy: bool) -> Cluster:
    """The cluster that the file names, its modules checked, everything on it stopped."""
    cluster = find(hardware, dummy=dummy)
    if not dummy:
        cluster.stop_sequencer()
    return cluster


def find(hardware: HardwareFile, *, dummy: bool) -> Cluster:
    """The same, and what plays on it plays on."""
    from qblox_instruments import Cluster, ClusterType

    name, description = hardware.cluster_name, hardware.cluster
    kinds = {slot: module.instrument_type for slot, module in description.modules.items()}
    if dummy:
        types = {slot: ClusterType[f"CLUSTER_{kind}"] for slot, kind in kinds.items()}
        return Cluster(name, dummy_cfg=types)
    if description.ip is None:
        raise OperatorNeeded(
            f"The hardware file gives no address for {name}",
            remedy=f"Add hardware_description.{name}.ip, or make the rack a dummy.",
        )
    try:
        cluster = Cluster(name, description.ip)
    except (OSError, ConnectionError, RuntimeError) as error:
        raise Unavailable(
            f"The cluster at {description.ip} does not answer: {error}",
            remedy="Is it on, and is that its address? `qblox-pnp list` tells, on its network.",
        ) from error
    check_modules(cluster, kinds)
    return cluster


def check_modules(cluster: Cluster, wanted: dict[int, str]) -> None:
    """`OperatorNeeded` where the slots do not hold what the hardware file says."""
    for slot, kind in wanted.items():
        module: Any = cluster.modules[slot - 1]
        if not module.present():
            raise OperatorNeeded(
                f"Slot {slot} of {cluster.name} is empty, and the hardware file has a {kind} there"
            )
        found = f"{module.module_type.name}{'_RF' if module.is_rf_type else ''}"
        if found != kind and found.removesuffix("_RF") != "QRC":
            raise OperatorNeeded(
                f"Slot {slot} of {cluster.name} has a {found}, the hardware file a {kind}"
            )


def read(cluster: Cluster, bins: Bins) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Integrated points in full scales of the input, and what the sequencer made of them.

    Both have the shape (bin,). A bin that was never filled is NaN in both.
    """
    import numpy as np

    sequencer: Any = cluster.modules[bins.slot - 1].sequencers[bins.sequencer]
    sequencer.get_acquisition_status(timeout=STATUS_MINUTES)
    data = sequencer.get_acquisitions()[bins.acquisition]["acquisition"]["bins"]
    integration = data["integration"]
    points = np.empty(len(integration["path0"]), dtype=np.complex128)
    points.real, points.imag = integration["path0"], integration["path1"]
    return points / bins.integration_ns, np.asarray(data["threshold"], dtype=np.float64)


def point_scope(cluster: Cluster, bins: Bins) -> None:
    """Have the module's scope record what its input sees whenever this sequencer acquires."""
    cluster.modules[bins.slot - 1].scope_acq_sequencer_select(bins.sequencer)


def read_scope(cluster: Cluster, bins: Bins, shots: int) -> NDArray[np.complex128]:
    """What the input saw, in full scales, averaged over the shots; shape (sample,), one a ns.

    `Unavailable` where the scope was triggered less often, or saw more than its full scale.
    """
    import numpy as np

    module: Any = cluster.modules[bins.slot - 1]
    module.get_acquisition_status(bins.sequencer, timeout=STATUS_MINUTES)
    module.store_scope_acquisition(bins.sequencer, bins.acquisition)
    acquisitions = module.get_acquisitions(bins.sequencer)
    scope = acquisitions[bins.acquisition]["acquisition"]["scope"]
    paths = (scope["path0"], scope["path1"])
    samples = min(bins.integration_ns, MOST_SAMPLES)
    if any(path["avg_cnt"] < shots or len(path["data"]) < samples for path in paths):
        raise Unavailable(
            f"The scope of slot {bins.slot} has {paths[0]['avg_cnt']} of {shots} traces",
            remedy="Check the trigger and the readout line; the cluster may need a restart.",
        )
    if any(path["out-of-range"] for path in paths):
        raise Unavailable(
            f"The input of slot {bins.slot} saw more than its full scale",
            remedy="Raise input_att, or lower the readout's amplitude.",
        )
    first, second = (np.asarray(path["data"][:samples], dtype=np.float64) for path in paths)
    return first + 1j * second


def temperatures(cluster: Cluster) -> Iterator[tuple[str, float | None]]:
    """Of every module, in degrees Celsius; None where it cannot tell. A dummy's are 0."""
    for slot, module in enumerate(cluster.modules, start=1):
        if not module.present():
            continue
        for place in ("carrier", "fpga"):
            read = getattr(cluster, f"get_current_{place}_temperature")
            try:
                value: float | None = float(read(slot))
            except (NotImplementedError, RuntimeError, TypeError, ValueError):
                value = None
            yield f"module{slot}_{place}_celsius", value
