"""Quantinuum's users at Microsoft: a person enters a code once, and it goes on without one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from qpuflow.blocks import QuantinuumCredentials
from qpuflow.domain.errors import Unavailable
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt
from qpuflow.drivers.quantinuum import QuantinuumDriver


def logged_in(at: QuantinuumAt) -> QuantinuumCredentials:
    microsoft = at.cloud.accounts.microsoft

    def person(shown: str) -> None:
        assert "https://microsoft.com/devicelogin" in shown
        microsoft.confirm(re.findall(r"code ([0-9A-F]{8})$", shown)[0])

    return QuantinuumCredentials.by_microsoft(at.settings(), person)


async def test_a_person_enters_a_code_and_the_driver_needs_none(
    fake_quantinuum: QuantinuumAt,
) -> None:
    credentials = await asyncio.to_thread(logged_in, fake_quantinuum)
    (token,) = fake_quantinuum.cloud.accounts.microsoft.issued
    assert token not in repr(credentials)
    assert credentials.get_client()["refresh_token"] not in repr(credentials)
    driver = QuantinuumDriver("h1", fake_quantinuum.settings(), credentials.get_client())
    assert (await driver.describe()).status == "online"
    await driver.close()
    assert fake_quantinuum.cloud.accounts.full_logins == 0


async def test_a_restart_needs_nobody_though_refresh_tokens_change(
    fake_quantinuum: QuantinuumAt, tmp_path: Path
) -> None:
    credentials = await asyncio.to_thread(logged_in, fake_quantinuum)
    settings = fake_quantinuum.settings(token_folder=str(tmp_path / "tokens"))
    for _ in range(3):
        driver = QuantinuumDriver("h1", settings, credentials.get_client())
        await driver.describe()
        await driver.close()
    (kept,) = (tmp_path / "tokens").iterdir()
    tokens = fake_quantinuum.cloud.accounts.issued
    assert not [one for one in tokens if one.encode() in kept.read_bytes()]


def test_a_code_that_nobody_enters_ends_the_wait(fake_quantinuum: QuantinuumAt) -> None:
    fake_quantinuum.cloud.accounts.microsoft.code_seconds = 0.3
    shown: list[str] = []
    with pytest.raises(Unavailable, match=r"Nobody entered the code|has expired"):
        QuantinuumCredentials.by_microsoft(fake_quantinuum.settings(), shown.append)
    assert len(shown) == 1


async def test_who_microsoft_does_not_know_is_not_let_in(fake_quantinuum: QuantinuumAt) -> None:
    """And when the refresh token is refused the person is told what to do."""
    credentials = await asyncio.to_thread(logged_in, fake_quantinuum)
    fake_quantinuum.cloud.accounts.forget_refresh_tokens()
    driver = QuantinuumDriver("h1", fake_quantinuum.settings(), credentials.get_client())
    with pytest.raises(Unavailable, match="by_microsoft"):
        await driver.describe()
    await driver.close()
    fake_quantinuum.cloud.accounts.microsoft.issued = _Forgetful()
    with pytest.raises(Unavailable, match="does not know this user"):
        await asyncio.to_thread(logged_in, fake_quantinuum)


class _Forgetful(list[str]):
    def append(self, _token: str, /) -> None:
        """What was issued is not known."""
