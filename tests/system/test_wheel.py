"""The wheel in an environment of its own, beside a user's own folder `flows/`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("domain", "ledger", "drivers", "blocks", "tasks", "flows", "client", "deployments"),
    "gateway",
)


def tracked(*paths: str) -> Iterator[str]:
    """Files of the repository, with those that are about to be added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return (name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@dataclass
class Installed:
    wheel: Path
    python: Path
    work: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """In the user's folder, without anything of the checkout on the path."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "QPUFLOW", "VIRTUAL_ENV"))
        }
        return subprocess.run(
            [str(self.python), *command],
            cwd=self.work,
            env={**environment, "QPUFLOW_HOME": str(self.work / "home")},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = _built(folder)
    python = _environment(folder / "venv", wheel)
    work = folder / "work"
    (work / "flows").mkdir(parents=True)
    (work / "flows" / "__init__.py").write_text("WHOSE = 'the user'\n")
    (work / "flows" / "run_circuits.py").write_text("WHOSE = 'the user'\n")
    return Installed(wheel, python, work)


def _built(folder: Path) -> Path:
    """From the files that git knows, so that nothing left over in the checkout helps."""
    source = folder / "source"
    for name in tracked("."):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    done = subprocess.run([*build, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def _environment(venv: Path, wheel: Path) -> Path:
    """An empty environment that borrows our dependencies, and not the links to the checkout.

    A path that PYTHONPATH or a .pth adds is not searched for further .pth files.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, wheel], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_every_module_and_data_file_is_in_it(installed: Installed) -> None:
    with ZipFile(installed.wheel) as archive:
        packed = set(archive.namelist())
    here = [folder for folder in PACKAGES if (ROOT / folder).is_dir()]
    expected = {f"qpuflow/{name}" for name in tracked(*here)}
    assert len(expected) > 80
    assert expected - packed == set()
    extra = {name for name in packed if ".dist-info/" not in name} - expected
    assert extra == set(), "more than the repository has"


def test_prefects_file_and_the_migrations_are_usable_from_it(installed: Installed) -> None:
    code = (
        "from qpuflow.deployments import prefect_file as f;"
        "print(len(f.declared(['aer'])));"
        "from importlib.resources import files;"
        "versions = files('qpuflow.ledger.migrations.versions');"
        "print(sum(one.name[:4].isdigit() for one in versions.iterdir()))"
    )
    done = installed.run("-c", code)
    assert done.returncode == 0, done.stderr
    deployments, migrations = map(int, done.stdout.split())
    assert deployments >= 6
    assert migrations >= 2


def test_import_flows_is_the_users_own(installed: Installed) -> None:
    code = (
        "import flows, flows.run_circuits, qpuflow.flows.run_circuits as ours;"
        "print(flows.WHOSE, flows.run_circuits.WHOSE, ours.run_circuits.name, ours.__file__)"
    )
    done = installed.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the user the user run-circuits ")
    assert str(installed.python.parents[1]) in done.stdout
    assert str(ROOT) not in done.stdout.replace(str(installed.python.parents[1]), "")


def test_the_command_line_and_the_worker_type_come_with_it(installed: Installed) -> None:
    done = installed.run(str(installed.python.with_name("qpuflow")), "--help")
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout
    code = (
        "from importlib.metadata import distribution as d;"
        "print(*sorted({e.group for e in d('qpuflow').entry_points}))"
    )
    groups = installed.run("-c", code).stdout.split()
    assert {"console_scripts", "prefect.collections", "qpuflow.drivers"} <= set(groups)


def test_no_package_but_qpuflow_is_installed(installed: Installed) -> None:
    with ZipFile(installed.wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"qpuflow"}
