"""The commands of docs/racks.md, in a folder of their own."""

from __future__ import annotations

import contextlib
import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qpuflow.deployments.cli.app import app
from qpuflow.domain.errors import InputError, OperatorNeeded, Unavailable
from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.daemon.addresses import noted
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.link.certificates import Keys, make_keys
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack
from tests.racks.test_configuration import QUANTIFY_FILE

GUIDE = (Path(__file__).parents[2] / "docs" / "racks.md").read_text()
COMMANDS = re.findall(r"^\$ qpuflow (rack .*)$", GUIDE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in SHIPPED.parent.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "quantify.device.yml").write_text(QUANTIFY_FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_guide_work(folder: Path) -> None:
    worker = make_keys(folder / "workers")
    (folder / "worker.pem").write_text(worker.certificate)
    tried, trusted = 0, False
    for line in COMMANDS:
        words = shlex.split(line.replace("FINGERPRINT", worker.fingerprint).partition(">")[0])
        if words[1] in {"serve", "reload", "versions"}:
            continue  # test_link has a daemon for them
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (line, result.output, result.exception)
        tried += 1
        if words[1] == "pair":
            trusted = worker.certificate in Keys(folder / "keys").trusted()
    assert tried == 11
    assert trusted
    assert not list((folder / "keys" / "trusted").iterdir()), "and unpaired in the end"
    assert not (folder / "keys" / "next").exists()


def test_what_import_prints_is_a_device_file(folder: Path) -> None:
    printed = CliRunner().invoke(app, ["rack", "import", "quantify.device.yml"]).stdout
    settings = load_rack(folder / "rack.toml")
    settings.device_file.write_text(printed)
    hardware = settings.hardware_file.read_text()
    for line in hardware.splitlines():
        if re.search(r"q[234]:", line):
            hardware = hardware.replace(line + "\n", "")
    hardware = hardware.replace("lo_freq: 7.26e+9", "lo_freq: 7.35e+9")
    settings.hardware_file.write_text(hardware)
    chip = load_configuration(settings.device_file, settings.hardware_file).device
    assert list(chip.qubits) == ["q0", "q1"]


def test_where_no_daemon_runs_reload_says_so_at_once(folder: Path) -> None:
    (folder / "state").mkdir()
    with noted(folder / "state", [f"ipc://{folder}/rack.sock"]):
        result = CliRunner().invoke(app, ["rack", "reload", "--config", "rack.toml"])
    assert isinstance(result.exception, Unavailable)
    assert "No daemon of the rack listens at" in result.exception.what


def test_versions_only_reads_the_journal(folder: Path) -> None:
    settings = load_rack(folder / "rack.toml")
    settings.state_directory.mkdir()
    file = settings.state_directory / "journal.sqlite"
    words = ["rack", "versions", "--config", "rack.toml"]
    with contextlib.closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE closed (token TEXT PRIMARY KEY)")
    before = file.read_bytes()
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, OperatorNeeded)
    assert "state/journal.sqlite" in str(result.exception)
    assert file.read_bytes() == before, "an older daemon may run there"
    file.unlink()
    with contextlib.closing(Journal(file)) as journal:
        chip = load_configuration(settings.device_file, settings.hardware_file)
        journal.note_device_file(chip, "olga")
    before = file.read_bytes()
    assert "olga" in CliRunner().invoke(app, words).stdout
    assert file.read_bytes() == before


def test_another_fingerprint_is_not_trusted(folder: Path) -> None:
    worker = make_keys(folder / "workers")
    (folder / "worker.pem").write_text(worker.certificate)
    words = ["rack", "pair", "keys", "--certificate", "worker.pem", "--fingerprint", "ab" * 32]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, InputError)
    assert worker.fingerprint in str(result.exception)
    words[words.index("worker.pem")] = "missing.pem"
    missing = CliRunner().invoke(app, words).exception
    assert isinstance(missing, InputError)
    assert missing.where == "missing.pem"
    assert not (folder / "keys" / "trusted").exists()
