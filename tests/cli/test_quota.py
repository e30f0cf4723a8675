"""Quotas from a terminal, and for runs that are started in Prefect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.installation import Installation

ROOT = Path(__file__).parents[2]
BELL = ROOT / "examples/bell.qasm"
SOURCE = BELL.read_text()


async def operator(stack: Installation, *words: str) -> str:
    answer = await stack.run("--operator", "quota", *words)
    assert answer.code == 0, answer
    return answer.stdout


async def member(stack: Installation, project: str, user: str = "alice") -> None:
    added = await stack.run("--operator", "members", project, "--add", user)
    assert added.code == 0, added


async def test_a_project_without_an_allowance_has_no_limit(stack: Installation) -> None:
    assert (await stack.run("quota", "show")).stdout.strip() == "No limit"
    assert (await stack.run("quota", "show", "--json")).json == []
    assert (await stack.run("quota", "first", "--json")).json == {"first": None}


async def test_a_job_that_is_too_long_is_refused_with_the_numbers(stack: Installation) -> None:
    await member(stack, "optics")
    await operator(stack, "grant", "optics", "0.001")
    refused = await stack.run("--project", "optics", "submit", BELL, "--qpu", "aer")
    assert refused.code == 2
    assert "Project 'optics' has 0.001 s left on all QPUs, and the job asks for" in refused.message
    assert "0.001 s granted, 0 s used, 0 s reserved" in refused.message
    assert "`qpuflow --project optics quota request" in refused.message


async def test_more_time_is_asked_for_granted_in_part_and_the_answer_is_seen(
    stack: Installation,
) -> None:
    await member(stack, "phonons")
    ask = ("--project", "phonons", "quota", "request", "1m30s", "--reason", "a paper", "--json")
    asked = (await stack.run(*ask)).json
    assert (asked["amount"], asked["state"], asked["project"]) == (
        "90.000000",
        "pending",
        "phonons",
    )
    await operator(stack, "approve", asked["id"][:8], "--amount", "60", "--answer", "for now")
    found = (await stack.run("quota", "requests", "--json")).json
    (answered,) = [one for one in found if one["id"] == asked["id"]]
    assert (answered["state"], answered["granted"]) == ("approved", "60.000000")
    assert (answered["answer"], answered["decided_by"]) == ("for now", "alice")
    assert "approved" in (await stack.run("quota", "requests")).stdout
    (left,) = (await stack.run("quota", "show", "phonons", "--json")).json
    assert left["available"] == "60.000000"


async def test_what_a_job_used_is_in_the_statement(stack: Installation) -> None:
    await member(stack, "squids")
    await operator(stack, "grant", "squids", "60.001", "--note", "a taste")
    submit = ("--project", "squids", "submit", BELL, "--qpu", "aer", "--wait")
    assert (await stack.run(*submit)).code == 0
    (left,) = (await stack.run("quota", "show", "squids", "--json")).json
    assert (left["granted"], left["reserved"]) == ("60.001000", "0.000000")
    assert float(left["charged"]) > 0
    made = (await stack.run("quota", "statement", "squids", "--json")).json
    (line,) = made["allowances"]
    assert line["charged"] == made["seconds"] == left["charged"]
    assert [grant["note"] for grant in line["grants"]] == ["a taste"]
    assert [(use["user"], use["qpu"], use["jobs"]) for use in made["usage"]] == [
        ("alice", "aer", 1)
    ]
    shown = (await stack.run("quota", "statement", "squids")).stdout
    assert "60.001" in shown
    assert "a taste" in shown


async def test_a_run_started_in_prefect_is_refused_with_the_same_message(
    stack: Installation,
) -> None:
    await member(stack, "vacuum")
    await operator(stack, "grant", "vacuum", "0.0005")
    request = {"programs": [{"source": SOURCE}], "project": "vacuum", "user": "alice"}
    run = await stack.ended(await stack.start("run-circuits/aer", {"request": request}))
    assert run["state"]["type"] == "FAILED"
    assert "Project 'vacuum' has 0.0005 s left on all QPUs" in run["state"]["message"]
    assert "quota request" in run["state"]["message"]
    assert await stack.value("SELECT count(*) FROM jobs WHERE project = $1", "vacuum") == 0


async def test_an_operator_takes_back_and_says_no(stack: Installation) -> None:
    await member(stack, "cryo")
    await operator(stack, "grant", "cryo", "1h", "--qpu", "aer")
    await operator(stack, "revoke", "cryo", "30m", "--qpu", "aer", "--note", "lent")
    (left,) = (await stack.run("quota", "show", "cryo", "--json")).json
    assert (left["qpu"], left["available"]) == ("aer", "1800.000000")
    ask = ("--project", "cryo", "quota", "request", "1w", "--reason", "more", "--json")
    asked = (await stack.run(*ask)).json
    await operator(stack, "reject", asked["id"], "--answer", "book a slot")
    again = await stack.run("--operator", "quota", "approve", asked["id"])
    assert (again.code, "was rejected by alice already" in again.message) == (2, True)
    assert "cryo" in await operator(stack, "show", "--all")


@pytest.mark.parametrize(
    "words",
    [
        ("grant", "alice", "1h"),
        ("revoke", "alice", "1h"),
        ("first", "1h"),
        ("show", "--all"),
    ],
)
async def test_others_change_nothing(stack: Installation, words: tuple[str, ...]) -> None:
    refused = await stack.run("quota", *words)
    assert (refused.code, "Ask an operator" in refused.message) == (2, True)


@pytest.mark.parametrize("amount", ["0", "-5", "a lot", "1e400", "9999999w"])
async def test_what_is_no_amount_says_what_is(stack: Installation, amount: str) -> None:
    refused = await stack.run("quota", "request", "--reason", "why not", "--", amount)
    assert refused.code == 2
    assert "2h30m" in refused.message or "1d12h" in refused.message


async def test_python_says_the_same(stack: Installation) -> None:
    await member(stack, "plasma")
    await operator(stack, "grant", "plasma", "2m")
    code = (
        "from qpuflow import client\n"
        "(left,) = client.quota.show('plasma')\n"
        "print(left.available, client.quota.statement('plasma').allowances[0].closing)\n"
        "print(client.quota.request('1h', reason='figures').state)\n"
    )
    answer = await stack.python(code)
    assert answer.stdout.split() == ["120.000000", "120.000000", "pending"], answer.stderr
