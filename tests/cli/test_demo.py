"""`qpuflow demo`, which is `make run`, on a stack that runs already."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.examples.expectations import EXAMPLES
from tests.system.installation import Installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("bell.qasm", "vqe-ansatz.qasm", "vqe-ansatz.json", "vqe_session.py"):
        shutil.copyfile(EXAMPLES / name, tmp_path / name)
    return tmp_path


async def test_it_prints_a_line_for_each_program_and_where_to_look(
    stack: Installation, folder: Path
) -> None:
    shown = await stack.run("demo", folder, "--shots", 400, environment={"COLUMNS": "200"})
    assert shown.code == 0, shown
    for word in ("bell", "vqe-ansatz", "energy", "±", stack.endpoints.ui_url):
        assert word in shown.stdout, word
    for qpu in ("aer", "qblox-dummy"):
        assert any("bell" in line and qpu in line for line in shown.stdout.splitlines()), qpu
    assert "vqe_session" not in shown.stdout, "a script is no program"
    assert stack.record.is_alive, "a stack that was there before is stopped"


async def test_a_program_that_cannot_be_read_is_named(stack: Installation, folder: Path) -> None:
    (folder / "broken.qasm").write_text("OPENQASM 3.0;\nqubit q\nh q;")
    shown = await stack.run("--user", "dora", "demo", folder)
    assert shown.code == 2, shown
    assert "broken" in shown.message


async def test_a_folder_without_programs_is_said_to_be_one(
    stack: Installation, tmp_path: Path
) -> None:
    shown = await stack.run("demo", tmp_path)
    assert shown.code == 2, shown
    assert ".qasm" in shown.message
    missing = await stack.run("demo", tmp_path / "nowhere")
    assert missing.code == 2, missing
    assert "nowhere" in missing.message
