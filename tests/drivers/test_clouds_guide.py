"""What docs/clouds.md says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import httpx
import pytest

from qpuflow import client
from qpuflow.blocks import QpuBlock
from qpuflow.drivers.braket.settings import BraketSettings
from qpuflow.drivers.fake_clouds import Fault
from qpuflow.drivers.ibm.settings import IbmSettings
from qpuflow.drivers.quantinuum.settings import QuantinuumSettings

GUIDE = (Path(__file__).parents[2] / "docs/clouds.md").read_text(encoding="utf-8")

SETTINGS = (BraketSettings, IbmSettings, QuantinuumSettings)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_every_setting_of_the_guide_exists_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", GUIDE, re.MULTILINE)
    assert len(rows) >= 5
    for name, default in rows:
        known = [model.model_fields.get(name) for model in SETTINGS]
        assert float(default) in [field.default for field in known if field is not None], name


@pytest.mark.parametrize(
    "block", [one for one in blocks("python") if "Qpu(" in one and ".save(" in one], ids=range(6)
)
def test_the_way_from_block_to_result_is_short_and_its_blocks_are_good(
    block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    monkeypatch.setattr(QpuBlock, "save", lambda _self, name: saved.append(name))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setattr(client, "submit", MagicMock())
    assert len([line for line in block.splitlines() if line and line[0] != "#"]) < 10
    exec(compile(block, "clouds.md", "exec"), {})
    assert len(saved) == 1


def test_every_fault_of_the_guide_exists() -> None:
    listed = GUIDE.split("Faults: ")[1].split("The fake Amazon Braket")[0]
    assert set(re.findall(r"`([a-z_]+)`", listed)) <= {fault.value for fault in Fault}


def test_the_fixture_is_found_without_being_imported(tmp_path: Path) -> None:
    (test,) = [block for block in blocks("python") if "def test" in block]
    (tmp_path / "test_mine.py").write_text(test)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_mine.py"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_command_of_the_guide_serves_a_cloud(tmp_path: Path) -> None:
    (line,) = [block.removeprefix("$ ").strip() for block in blocks("console")]
    program = Path(sys.executable).with_name("qpuflow")
    command = [str(program), *line.split()[1:]]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as cloud:
        try:
            assert cloud.stdout is not None
            url = cloud.stdout.readline().strip()
            answer = httpx.get(f"{url}/device/nothing")
            assert answer.status_code in (404, 429) or answer.is_error
        finally:
            cloud.kill()
