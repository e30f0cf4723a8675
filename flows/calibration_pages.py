"""What a person sees of a calibration in the Prefect UI: a table and a picture."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import Sequence

from prefect.artifacts import acreate_image_artifact, acreate_table_artifact

from qpuflow.domain.calibration import Band, Measured
from qpuflow.domain.quantity import Quantity

_log = logging.getLogger("prefect.qpuflow")
AXES = {
    Quantity.T1: ("delay (s)", "P(1)"),
    Quantity.T2_ECHO: ("delay (s)", "P(1)"),
    Quantity.GATE: ("Clifford gates", "P(1)"),
}


async def show(
    qpu: str, quantity: Quantity, measured: Sequence[Measured], band: Band | None
) -> None:
    """The values are in the ledger: what cannot be shown is only not shown."""
    key = f"calibration-{qpu}-{quantity.value}".replace("_", "-")
    description = f"{quantity.value} of {qpu}" + (f", which should be in {band}" if band else "")
    try:
        await acreate_table_artifact([_row(one) for one in measured], key, description)
        picture = await asyncio.to_thread(_picture, qpu, quantity, measured)
        await acreate_image_artifact(image_url=picture, key=f"{key}-plot", description=description)
    except Exception as error:  # noqa: BLE001  decoration
        _log.warning("Not shown in the UI: %s", error)


def _row(one: Measured) -> dict[str, object]:
    said = {None: "", True: "yes", False: "NO"}[one.in_band]
    value = f"{one.value:.4g} ± {one.error:.2g} {one.quantity.unit}".strip()
    return {"qubit": one.qubit, one.quantity.value: value, "in its band": said}


def _picture(qpu: str, quantity: Quantity, measured: Sequence[Measured]) -> str:
    """As SVG in a data URL: it is kept where the artifact is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{quantity.value} of {qpu}, {measured[0].measured_at:%Y-%m-%d %H:%M} UTC")
    if quantity is Quantity.READOUT:
        _draw_readout(axes, measured)
    else:
        _draw_decays(axes, quantity, measured)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _draw_readout(axes: object, measured: Sequence[Measured]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    places = range(len(measured))
    for offset, (measured_as, prepared) in ((-0.2, (1, 0)), (0.2, (0, 1))):
        heights = [one.details["confusion"][measured_as][prepared] for one in measured]
        label = f"P({measured_as}|{prepared})"
        axes.bar([place + offset for place in places], heights, width=0.4, label=label)
    axes.set_xticks(list(places), [f"q{one.qubit}" for one in measured])
    axes.set_ylabel("wrong")


def _draw_decays(axes: object, quantity: Quantity, measured: Sequence[Measured]) -> None:
    import numpy as np
    from matplotlib.axes import Axes

    from qpuflow.domain.fits import curve

    assert isinstance(axes, Axes)
    for one in measured:
        about = one.details
        x = np.array(about["x"])
        colour = f"C{one.qubit % 10}"
        axes.errorbar(x, about["y"], about["sigma"], fmt=".", color=colour, label=f"q{one.qubit}")
        offset, amplitude, scale = about["fit"]
        fine = np.linspace(x.min(), x.max(), 200)
        axes.plot(fine, curve(offset, fine, amplitude, scale), color=colour)
    axes.set_xlabel(AXES[quantity][0])
    axes.set_ylabel(AXES[quantity][1])
