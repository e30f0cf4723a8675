"""rack: new, serve, check, reload, versions, keys, rotate, pair, unpair, import."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from qpuflow.deployments.cli.context import console, settings_of
from qpuflow.domain.errors import InputError, NotFound

Config = Annotated[Path, typer.Option("--config", help="The rack's rack.toml.")]
Keys = Annotated[Path, typer.Argument(help="Folder of this side's keys.")]

racks = typer.Typer(help="A Qblox rack: its daemon, its files, its keys.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(racks, name="rack")


@racks.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Where; its name becomes the rack's.")],
) -> None:
    """Write the three files of a rack to start from: a dummy's, which works as it is."""
    from qpuflow.drivers.qblox.rack_file import write_example

    file = write_example(folder)
    console.print(f"{file}: make its files your chip's, and run `qpuflow rack check`", markup=False)


@racks.command()
def serve(
    config: Config,
    listen: Annotated[
        list[str] | None, typer.Option(help="In place of what rack.toml says; may be repeated.")
    ] = None,
) -> None:
    """Own the rack's instruments and answer its workers, until stopped by SIGTERM or Ctrl-C."""
    import uvloop

    from qpuflow.drivers.extras import require
    from qpuflow.drivers.fork_servers import prefork

    require("qblox", "pynng", "qblox_instruments")
    from qpuflow.drivers.qblox.daemon.serve import serve as serve_rack
    from qpuflow.drivers.qblox.engine import preload_of
    from qpuflow.drivers.qblox.rack_file import load_rack

    settings = load_rack(config)
    if listen:
        settings = settings.model_copy(update={"listen": tuple(listen)})
    prefork(preload_of(settings))
    logging.basicConfig(format=f"%(asctime)s %(levelname)s {settings.name}: %(message)s")
    logging.getLogger("qpuflow").setLevel(logging.INFO)
    uvloop.run(serve_rack(settings))


@racks.command()
def check(
    config: Config,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Ask the cluster for its modules, too.")
    ] = False,
) -> None:
    """Read a rack's files as its daemon would, and say what is wrong with them."""
    from qpuflow.drivers.extras import require
    from qpuflow.drivers.qblox.rack_file import configuration_of, load_rack

    settings = load_rack(config)
    both = configuration_of(settings)
    chip, modules = both.device, both.hardware.cluster.modules
    console.print(f"{settings.name}: {len(chip.qubits)} qubits, {len(chip.couplings)} couplings")
    if cluster:
        require("qblox", "qblox_instruments")
        from qpuflow.drivers.qblox.cluster import find

        find(both.hardware, dummy=settings.dummy is not None).close()
        console.print(f"{both.hardware.cluster_name}: has all {len(modules)} modules")


@racks.command()
def reload(context: typer.Context, config: Config) -> None:
    """Have the running daemon read the device file again, for the next job; nothing else stops."""
    from qpuflow.drivers.qblox.daemon.addresses import addresses_of, require_listener
    from qpuflow.drivers.qblox.driver import QbloxDriver
    from qpuflow.drivers.qblox.rack_file import load_rack

    settings = load_rack(config)
    addresses = addresses_of(settings.state_directory) or settings.listen
    local = [address for address in addresses if address.startswith("ipc://")]
    if not local:
        raise InputError(
            f"{settings.name} listens at no socket of this host",
            where=str(config),
            remedy='Add "ipc://rack.sock" to listen, or --listen ipc://PATH to its daemon.',
        )

    require_listener(local[0])

    async def ask() -> str:
        driver = QbloxDriver(settings.name, {"address": local[0]})
        try:
            return await driver.reload(settings_of(context).user)
        finally:
            await driver.close()

    console.print(f"In force from the next job on: {asyncio.run(ask())}", markup=False)


@racks.command()
def versions(
    config: Config,
    show: Annotated[int | None, typer.Option(help="Print the file of that number.")] = None,
    hardware: Annotated[
        bool, typer.Option("--hardware", help="Of the hardware file; else of the device file.")
    ] = False,
) -> None:
    """Every device or hardware file that was ever in force: since when, and who changed it."""
    import json

    import yaml
    from rich.table import Table

    from qpuflow.drivers.qblox.daemon import file_history
    from qpuflow.drivers.qblox.rack_file import load_rack

    file = load_rack(config).state_directory / "journal.sqlite"
    if not file.exists():
        raise NotFound("The rack has no journal yet", where=str(file))
    kind = file_history.Kind.HARDWARE if hardware else file_history.Kind.DEVICE
    with file_history.reading(file) as journal:
        if show is None:
            table = Table("number", "since (UTC)", "who", "hash")
            for one in file_history.versions(journal, kind):
                table.add_row(str(one.number), f"{one.since:%Y-%m-%d %H:%M:%S}", one.who, one.hash)
            console.print(table)
        elif (content := file_history.content_of(journal, kind, show)) is None:
            raise NotFound(f"There is no version {show} of the {kind} file")
        else:
            yaml.safe_dump(json.loads(content), sys.stdout, sort_keys=False)


@racks.command("import")
def import_(
    device_file: Annotated[Path, typer.Argument(help="A quantify.device.yml, as QPI keeps it.")],
) -> None:
    """Print a device file made from one of quantify-scheduler."""
    import yaml

    from qpuflow.drivers.qblox.config.quantify_files import import_device_file
    from qpuflow.drivers.qblox.config.yaml_lines import read

    chip = import_device_file(read(device_file))
    yaml.safe_dump(chip.model_dump(mode="json", exclude_none=True), sys.stdout, sort_keys=False)


@racks.command()
def keys(
    folder: Keys,
    renew: Annotated[
        bool, typer.Option(help="Prepare the next key, for `qpuflow rack rotate`.")
    ] = False,
    valid_days: Annotated[
        int,
        typer.Option(min=1, max=36_500, help="For how long a certificate that is made is good."),
    ] = 730,
) -> None:
    """Make this side's key and certificate, and print its fingerprint."""
    from qpuflow.drivers.qblox.link.certificates import make_keys

    valid = timedelta(days=valid_days)
    made = make_keys(folder, valid)
    if renew:
        made = made.renew(valid)
    console.print(f"{made.folder / 'certificate.pem'}", markup=False)
    console.print(f"good until {made.expires_at:%Y-%m-%d}", markup=False)
    console.print(made.fingerprint, markup=False)


@racks.command()
def rotate(folder: Keys) -> None:
    """Use the next key from now on. Whoever runs with the folder follows within a second."""
    from qpuflow.drivers.qblox.link.certificates import Keys as Folder

    made = Folder(folder)
    made.rotate()
    console.print(f"This side is known by {made.fingerprint}", markup=False)


@racks.command()
def unpair(
    folder: Keys, fingerprint: Annotated[str, typer.Option(help="Of whom to trust no more.")]
) -> None:
    """Trust a certificate of the other side no more; who is connected by it is cut off."""
    from qpuflow.drivers.qblox.link.certificates import Keys as Folder

    Folder(folder).distrust(_plain(fingerprint))
    console.print(f"No longer trusted: {_plain(fingerprint)}", markup=False)


@racks.command()
def pair(
    folder: Keys,
    fingerprint: Annotated[str, typer.Option(help="As `qpuflow rack keys` printed it there.")],
    certificate: Annotated[
        Path | None, typer.Option(help="The other side's certificate.pem, copied here.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="HOST:PORT at which it listens.")] = None,
) -> None:
    """Trust the other side's certificate, if it has the fingerprint that you were told."""
    from qpuflow.drivers.qblox.link.certificates import Keys as Folder
    from qpuflow.drivers.qblox.link.certificates import fingerprint as fingerprint_of

    text = _certificate(certificate, at)
    found = fingerprint_of(text)
    if found != _plain(fingerprint):
        raise InputError(
            f"The certificate has the fingerprint {found}, not the one that you gave",
            remedy="Compare it with what `qpuflow rack keys` prints on the other side.",
        )
    Folder(folder).trust(text)
    console.print(f"Trusted from now on: {found}", markup=False)


def _plain(fingerprint: str) -> str:
    return fingerprint.lower().replace(":", "")


def _certificate(file: Path | None, at: str | None) -> str:
    from qpuflow.drivers.qblox.link.certificates import shown_at

    if file is not None:
        try:
            return file.read_text()
        except (OSError, ValueError) as error:
            raise InputError(f"It cannot be read: {error}", where=str(file)) from error
    host, _, port = (at or "").rpartition(":")
    if not host or not port.isdigit():
        raise InputError("Give --certificate FILE, or --at HOST:PORT")
    return shown_at(host, int(port))
