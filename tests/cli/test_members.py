"""Who belongs to a project, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.system.installation import Installation


async def test_an_operator_adds_and_removes_members(stack: Installation) -> None:
    added = await stack.run("--operator", "members", "lab", "--add", "alice", "--add", "bob")
    assert added.code == 0, added
    assert (await stack.run("members", "lab", "--json")).json == ["alice", "bob"]
    removed = await stack.run("--operator", "members", "lab", "--remove", "bob", "--json")
    assert removed.json == ["alice"]
    missing = await stack.run("--operator", "members", "lab", "--remove", "bob")
    assert (missing.code, "not a member" in missing.message) == (2, True)


async def test_others_change_nothing(stack: Installation) -> None:
    refused = await stack.run("members", "lab", "--add", "mallory")
    assert (refused.code, "operator" in refused.message) == (2, True)


async def test_a_user_named_like_a_project_of_others_is_no_member(stack: Installation) -> None:
    assert (await stack.run("--operator", "members", "physics", "--add", "alice")).code == 0
    bell = Path(__file__).parents[2] / "examples/bell.qasm"
    refused = await stack.run("--user", "physics", "submit", bell, "--qpu", "aer")
    assert refused.code == 2
    assert "not a member of project 'physics'" in refused.message
