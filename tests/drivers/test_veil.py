"""What vendors and proxies repeat of a request gets into no message of ours."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stamina
from botocore.exceptions import ClientError

from qpuflow.domain.errors import QpuflowError
from qpuflow.drivers.base import Driver, Ticket
from qpuflow.drivers.braket import BraketDriver
from qpuflow.drivers.braket.errors import classified
from qpuflow.drivers.fake_clouds import Fault
from qpuflow.drivers.fake_clouds.braket.served import BraketAt
from qpuflow.drivers.fake_clouds.ibm.served import IbmAt
from qpuflow.drivers.fake_clouds.quantinuum.served import QuantinuumAt
from qpuflow.drivers.ibm import IbmDriver
from qpuflow.drivers.quantinuum import QuantinuumDriver
from qpuflow.drivers.veil import STARS, Veil

SECRET = "s3cr3t/with+signs&such"
TICKET = Ticket("nobody", "token")


def test_a_secret_is_veiled_in_each_of_its_forms() -> None:
    veil = Veil([SECRET, None, "", "no"])
    for text in (f"key={SECRET}", 'a "s3cr3t/with+signs&such"', "k=s3cr3t%2Fwith%2Bsigns%26such"):
        assert STARS in veil(text)
        assert "s3cr3t" not in veil(text)
    assert veil("no secret") == "no secret", "two letters are in any text"


def test_of_two_secrets_the_longer_one_leaves_no_rest() -> None:
    assert Veil(["abcdefgh", "abcdefghij"])("abcdefghij abcdefgh") == f"{STARS} {STARS}"


def test_amazon_repeats_the_session_token_of_a_wrong_signature() -> None:
    told = {"Error": {"Code": "InvalidSignatureException", "Message": f"token:{SECRET}"}}
    error = classified(ClientError(told, "GetDevice"), "q", Veil([SECRET]))  # type: ignore[arg-type]
    assert SECRET not in str(error)
    assert STARS in str(error)


async def message_of(work: Any) -> str:
    """With the traceback, as a log has it."""
    with stamina.set_testing(True, attempts=1), pytest.raises(QpuflowError) as raised:
        await work
    error = raised.value
    return f"{error!r} {error}" + "".join(traceback.format_exception(error))


@pytest.fixture
async def ibm(fake_ibm: IbmAt) -> AsyncIterator[Driver]:
    driver = IbmDriver("q", fake_ibm.settings(), {"token": SECRET})
    yield driver
    await driver.close()


@pytest.fixture
async def quantinuum(fake_quantinuum: QuantinuumAt) -> AsyncIterator[Driver]:
    secrets = {"user": "ada", "password": SECRET, "mfa_secret": f"{SECRET}-2"}
    driver = QuantinuumDriver("q", fake_quantinuum.settings(), secrets)
    yield driver
    await driver.close()


async def test_ibm_repeats_the_key_and_the_token(fake_ibm: IbmAt, ibm: Driver) -> None:
    fake_ibm.cloud.weather.next("log_in", Fault.ECHOED)
    login = await message_of(ibm.cancel(TICKET))
    await ibm.describe()
    fake_ibm.cloud.weather.next("cancel", Fault.ECHOED)
    require_veiled([login, await message_of(ibm.cancel(TICKET))], fake_ibm.cloud.issued)


async def test_quantinuum_repeats_the_password_and_the_tokens(
    fake_quantinuum: QuantinuumAt, quantinuum: Driver
) -> None:
    weather = fake_quantinuum.cloud.weather
    weather.next("log_in", Fault.ECHOED)
    login = await message_of(quantinuum.cancel(TICKET))
    await quantinuum.describe()
    weather.next("cancel", Fault.ECHOED)
    require_veiled(
        [login, await message_of(quantinuum.cancel(TICKET))], fake_quantinuum.cloud.accounts.issued
    )


async def test_amazon_repeats_credentials_that_boto3_found_itself(
    fake_braket: BraketAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"ACCESS_KEY_ID": "AKIAFOUNDOUTSIDE", "SECRET_ACCESS_KEY": SECRET}
    for name, value in {**found, "SESSION_TOKEN": f"{SECRET}-session"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    fake_braket.cloud.weather.next("get_device", Fault.ECHOED)
    message = await message_of(BraketDriver("q", fake_braket.settings(), {}).describe())
    require_veiled([message], ["AKIAFOUNDOUTSIDE"])


def require_veiled(messages: list[str], issued: list[str]) -> None:
    assert issued, "the test is of tokens, too"
    for message in messages:
        assert STARS in message, "the page did repeat it"
        for secret in (SECRET, "s3cr3t", *issued):
            assert secret not in message
