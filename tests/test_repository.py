"""What holds for the whole repository: layers, sizes, nothing of one machine, light imports."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("domain", "ledger", "drivers", "blocks", "tasks", "flows", "client", "deployments")
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, stdin: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, linked as an editable install links it."""
    folder = tmp_path_factory.mktemp("copy")
    for layer in LAYERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / layer, folder / "qpuflow" / layer, ignore=ignored)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


def contracts(folder: Path) -> tuple[int, str]:
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command"
    return run(sys.executable, "-c", f"{code}; lint_imports_command(['--no-cache'])", cwd=folder)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("ledger/jobs.py", "import qpuflow.flows.reap", "Layers go one way"),
        ("tasks/wait.py", "import qpuflow.client.connection", "Layers go one way"),
        ("domain/job.py", "import sqlalchemy", "The domain knows no Prefect"),
        ("flows/reap.py", "import qiskit_aer", "SDKs stay in their drivers"),
    ],
)
def test_a_violation_of_the_layers_is_seen(
    copy: Path, module: str, line: str, contract: str
) -> None:
    file = copy / "qpuflow" / module
    before = file.read_text()
    file.write_text(before + f"\n\ndef _seeded() -> None:\n    {line}\n")
    try:
        code, said = contracts(copy)
    finally:
        file.write_text(before)
    assert code == 1, said
    assert re.search(rf"{contract}.* BROKEN", said), said


def test_the_layers_hold(copy: Path) -> None:
    code, said = contracts(copy)
    assert code == 0, said


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("line", ["import {}", "import {}.x", "from {} import x"])
def test_an_import_by_root_name_is_banned(layer: str, line: str) -> None:
    name = ROOT / "tests" / "seeded.py"
    snippet = line.format(layer) + "\n"
    ruff = (BIN / "ruff", "check", "--no-cache", "--select", "TID", "--stdin-filename", name, "-")
    code, said = run(*ruff, stdin=snippet)
    assert code == 1, said
    assert "import it from qpuflow" in said


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert {str(path): n for path, n in lengths.items() if n > 400} == {}
    assert statistics.median(lengths.values()) < 100


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "managers"}
    assert [path for path in MODULES if names & {path.stem, path.parent.name}] == []


FOREIGN = {
    "a path of one machine": r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+|mnt|tmp/\w+)/",
    "an index or a proxy of one place": r"(?i)--(?:extra-)?index-url|\bpypi\.(?!org)\w+\.|"
    r"artifactory|nexus\.|trusted-host|\bproxy\b.*://",
    "an address of a private network": r"\b(?:10\.\d{1,3}|192\.168)(?:\.\d{1,3}){2}\b",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_tracked_names(what: str) -> None:
    code, listed = run("git", "ls-files")
    assert code == 0
    seen: list[str] = []
    for name in listed.splitlines():
        file = ROOT / name
        if name == "tests/test_repository.py" or not file.is_file():
            continue
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        seen += [f"{name}: {match.group()}" for match in re.finditer(FOREIGN[what], text)]
    assert seen == []


def test_the_lock_has_names_and_versions_only_and_satisfies_the_bounds() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[^ ;]+", line)] == []
    locked = {_plain(name): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(one for extra in extras for one in extra)]
    for requirement in map(Requirement, wanted):
        if requirement.name == "qpuflow":
            continue
        version = locked.get(_plain(requirement.name))
        assert version is not None, f"{requirement} is not locked"
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


MEASURE = """
import gc, json, sys, time
gc.disable()  # its pauses hit one import or the other by chance
began = time.process_time()
import {module}
print(json.dumps([time.process_time() - began, sorted(sys.modules)]))
"""


def imported(module: str, times: int = 5) -> tuple[float, set[str]]:
    """The least CPU seconds of importing it, and what is there afterwards."""
    found: list[Any] = []
    for _ in range(times):
        code, said = run(sys.executable, "-W", "ignore", "-c", MEASURE.format(module=module))
        assert code == 0, said
        found.append(json.loads(said.splitlines()[-1]))
    return min(seconds for seconds, _ in found), set(found[-1][1])


def test_the_flows_are_hardly_heavier_to_import_than_prefect() -> None:
    prefect, its_modules = imported("prefect")
    ours, modules = imported("qpuflow.flows.run_circuits")
    assert ours < 1.5 * prefect, f"{ours:.2f} s and {prefect:.2f} s"
    assert len(modules) < 1.5 * len(its_modules)
    heavy = {"qiskit", "qiskit_aer", "xarray", "scipy", "matplotlib", "h5netcdf", "sqlalchemy"}
    assert heavy & modules == set()


HELP = """
import json, sys
from qpuflow.deployments.cli import main
sys.argv = ["qpuflow", "--help"]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def test_who_asks_for_help_waits_for_nothing_that_only_work_needs() -> None:
    code, said = run(sys.executable, "-W", "ignore", "-c", HELP)
    assert code == 0, said
    work = {"prefect", "qiskit", "xarray", "sqlalchemy", "numpy", "pydantic", "psutil", "httpx"}
    assert work & set(json.loads(said.splitlines()[-1])) == set()


def test_who_asks_the_ledger_waits_for_neither_prefect_nor_circuits_nor_payloads() -> None:
    _, modules = imported("qpuflow.client.connection", times=1)
    others = {"prefect", "qiskit", "xarray", "numpy", "fsspec", "stamina", "icalendar", "httpx"}
    assert others & modules == set()
