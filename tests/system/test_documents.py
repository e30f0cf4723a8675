"""What the documents tell people to do works as they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from qpuflow.domain.settings import Settings
from tests.system.installation import Installation

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STARTS_OR_STOPS = {"up", "down", "doctor"}
"""Of the running stack: tested in tests/stack and tests/cli."""


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [found["text"] for found in BLOCK.finditer(text) if found["language"] == language]


def commands(document: str) -> list[list[str]]:
    """Lines such as ``$ qpuflow jobs --json``."""
    lines = [line for block in blocks(document, "console") for line in block.splitlines()]
    words = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("$ qpuflow")]
    return [one[1:] for one in words if one[1] not in STARTS_OR_STOPS]


async def test_the_commands_of_the_readme_run_in_their_order(stack: Installation) -> None:
    shown = commands("README.md")
    assert len(shown) >= 5
    for command in shown:
        answer = await stack.run(*command, cwd=ROOT)
        assert answer.code == 0, (command, answer)


@pytest.mark.parametrize("number", range(len(blocks("README.md", "python"))))
async def test_the_python_of_the_readme_runs(stack: Installation, number: int) -> None:
    await check_python(stack, "README.md", number)


@pytest.mark.parametrize("number", range(len(blocks("docs/python.md", "python"))))
async def test_the_python_of_the_guide_runs(stack: Installation, number: int) -> None:
    await check_python(stack, "docs/python.md", number)


async def check_python(stack: Installation, document: str, number: int, **more: str) -> None:
    code = blocks(document, "python")[number]
    code = code.replace("http://127.0.0.1:4200/api", stack.endpoints.prefect_api_url)
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url, **more}
    answer = await stack.python(code, cwd=ROOT, environment=environment)
    assert answer.code == 0, answer.stderr


async def test_the_python_of_the_results_guide_runs(stack: Installation) -> None:
    demodulation, code = blocks("docs/results.md", "python")
    traced = (
        "from qpuflow import client; from qpuflow.domain.request import JobOptions\n"
        "options = JobOptions(measurement_level=0, average=True)\n"
        "job = client.submit(Path('examples/bell.qasm'), qpu='qblox-dummy', options=options)\n"
        "(dataset,) = job.datasets()\n"
    )
    answer = await stack.python("from pathlib import Path;" + traced + demodulation, cwd=ROOT)
    assert answer.code == 0, answer.stderr
    before = (
        "from pathlib import Path; from qpuflow import client\n"
        "job = client.submit(Path('examples/bell.qasm'), qpu='aer')\n"
    )
    code = code.replace('"syndrome"', '"c"')
    answer = await stack.python(before + code, cwd=ROOT)
    assert answer.code == 0, answer.stderr


async def test_time_is_booked_as_the_guide_says(stack: Installation) -> None:
    for command in commands("docs/bookings.md"):
        answer = await stack.run(*command, cwd=ROOT)
        assert answer.code == 0, answer
    await check_python(stack, "docs/bookings.md", 0)


async def test_quotas_are_shown_asked_for_and_granted_as_the_guide_says(
    stack: Installation,
) -> None:
    for command in commands("docs/quotas.md"):
        answer = await stack.run(*command)
        assert answer.code == 0, answer
    await check_python(stack, "docs/quotas.md", 0)


async def test_costs_are_limited_and_shown_as_the_guide_says(stack: Installation) -> None:
    for command in commands("docs/costs.md"):
        answer = await stack.run(*command, cwd=ROOT)
        assert answer.code == 0, answer
    await check_python(stack, "docs/costs.md", 0, QPUFLOW_OPERATOR="1")
    for unit in ("HQC", "credits"):
        removed = await stack.run("--operator", "cost", "limit", unit)
        assert removed.code == 0, removed


async def test_a_compiler_is_chosen_as_the_guide_says(stack: Installation) -> None:
    (command,) = commands("docs/compilers.md")
    answer = await stack.run(*command, "--json", cwd=ROOT)
    assert answer.code == 0, answer
    told = answer.json["programs"][0]["metadata"]
    assert told["compiler"] in ("qiskit", "pytket")
    assert '"pytket"' in told["compared"]
    shown = await stack.run("result", answer.json["job_id"])
    assert "compiled by" in shown.stdout


async def test_another_simulator_is_added_as_the_guide_says(stack: Installation) -> None:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    saved = await stack.python(blocks("docs/qpus.md", "python")[0], environment=environment)
    assert saved.code == 0, saved.stderr
    for command in commands("docs/qpus.md")[:1]:
        answer = await stack.run(*command)
        assert answer.code == 0, answer
    known = await stack.run("qpus", "--json")
    assert "aer-noisy" in [qpu["name"] for qpu in known.json]


async def test_a_braket_simulator_is_added_as_the_guide_says(stack: Installation) -> None:
    environment = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
    saved = await stack.python(blocks("docs/clouds.md", "python")[1], environment=environment)
    assert saved.code == 0, saved.stderr
    registered = await stack.run("register", "braket-qpu/braket-local")
    assert registered.code == 0, registered
    known = await stack.run("qpus", "--json")
    assert "braket-local" in [qpu["name"] for qpu in known.json]


def test_every_setting_is_in_the_operations_guide() -> None:
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    missing = [name for name in Settings.model_fields if f"`{name}`" not in guide]
    assert missing == []


def test_every_command_is_in_the_guide_of_the_command_line() -> None:
    from typer.main import get_command

    from qpuflow.deployments.cli.app import app

    guide = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    known = getattr(get_command(app), "commands")  # noqa: B009  a group, typed as a command
    assert [name for name in known if f"`{name}" not in guide and f" `{name}" not in guide] == []


def test_every_link_of_the_documents_leads_somewhere() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    dead = [
        (document.name, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
        if "://" not in link and not (document.parent / link).exists()
    ]
    assert dead == []
