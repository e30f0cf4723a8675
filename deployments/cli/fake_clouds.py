"""fake-cloud."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qpuflow.deployments.cli.context import console
from qpuflow.domain.errors import InputError

if TYPE_CHECKING:
    from qpuflow.drivers.fake_clouds import Fault


class Vendor(StrEnum):
    BRAKET = "braket"
    IBM = "ibm"
    QUANTINUUM = "quantinuum"


def add_to(app: typer.Typer) -> None:
    app.command("fake-cloud")(fake_cloud)


def fake_cloud(
    vendor: Annotated[Vendor, typer.Argument(help="Whose cloud.")],
    port: Annotated[int, typer.Option(help="0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="FAULT=PROBABILITY, as reply_lost=0.05; may be repeated."),
    ] = None,
    queue_seconds: Annotated[float, typer.Option(help="How long a job waits.")] = 0.0,
    journal: Annotated[
        Path | None, typer.Option(help="Where it writes down what it accepted and ran.")
    ] = None,
) -> None:
    """Serve a vendor's cloud on this machine until Ctrl-C: it runs circuits and costs nothing."""
    from threading import Event

    from qpuflow.drivers.fake_clouds import Weather
    from qpuflow.drivers.fake_clouds.vendors import CLOUDS

    weather = Weather(seed, _rates(fault or []))
    with CLOUDS[vendor.value](weather, queue_seconds, journal, port) as (url, how):
        console.print(f"{url}", markup=False, highlight=False)
        console.print(how, markup=False, highlight=False)
        Event().wait()


def _rates(given: list[str]) -> dict[Fault, float]:
    from qpuflow.drivers.fake_clouds import Fault

    rates: dict[Fault, float] = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            rates[Fault(name)] = float(value)
        except ValueError as error:
            known = ", ".join(fault.value for fault in Fault)
            raise InputError(
                f"{one!r} is no fault with a probability", remedy=f"Faults are {known}."
            ) from error
    return rates
