"""Clouds that are up, and an installation with a QPU in one of them and a worker for it.

The blocks are those of docs/clouds.md, with a fake cloud's settings in the place of the vendor's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qpuflow.drivers.fake_clouds import Books, Weather
from qpuflow.drivers.fake_clouds.jobs import Backlog
from tests.system.installation import Installation, eventually
from tests.system.own_worker import OwnWorker

BELL = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1];
c = measure q;"""

SECRET = "s3cr3t-bm90aGluZy10by1zZWU"
NEXT_SECRET = "s3cr3t-YW5kLW5vdGhpbmctaGVyZQ"
AWS_ID, AWS_SESSION = "AKIAS3CR3TBM90AGLUZW", "s3cr3t-c2Vzc2lvbi10b2tlbg"
ROOT = Path(__file__).parents[2]

QUICK = {
    "QPUFLOW_HEARTBEAT_SECONDS": "1",
    "QPUFLOW_LOST_AFTER_SECONDS": "10",
    "QPUFLOW_SUSPEND_AFTER_SECONDS": "60",
}


@dataclass(frozen=True, slots=True)
class Sky:
    """A cloud that is up, and the program that saves the block of a QPU in it.

    In the program CREDENTIALS stands for what they are made of.
    """

    qpu: str
    block: str
    program: str
    weather: Weather
    books: Books
    backlog: Backlog
    calendar: list[dict[str, str]] | None
    """Where the vendor has one."""
    revoke: Callable[[str], None]
    issued: Callable[[], list[str]]

    def save(self, secret: str, expires_at: datetime | None = None) -> str:
        given = f'"{secret}", expires_at={expires_at and expires_at.isoformat()!r}'
        return self.program.replace("CREDENTIALS", given)


def from_guide(kind: str, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> str:
    """The guide's program down to what is done with commands. `credentials`: written as found."""
    guide = (ROOT / "docs/clouds.md").read_text(encoding="utf-8")
    found = [one for one in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if kind in one]
    program = found[0].split("# qpuflow register")[0]
    program, times = re.subn(r"= \{.*?\}\n", f"= {settings!r}\n", program, flags=re.DOTALL)
    assert times == 1
    for name, value in credentials.items():
        program, times = re.subn(rf'\b{name}="[^"]*"', f"{name}={value}", program)
        assert times == 1, name
    return re.sub(r'\.save\("(\w+)"\)', r'.save("\1", overwrite=True)', program)


def last_line(qpu: str) -> str:
    """Of the guide's program for this QPU."""
    guide = (ROOT / "docs/clouds.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf'^print\(client\.submit\(.*qpu="{qpu}".*$', guide, re.MULTILINE)
    return f"from qpuflow import client\n{line}"


@contextmanager
def ibm() -> Generator[Sky]:
    from qpuflow.drivers.fake_clouds.ibm.served import ibm_served

    with ibm_served() as at:
        settings = at.settings().model_dump(mode="json")
        cloud = at.cloud
        yield Sky(
            *("fez", "ibm-qpu/fez"),
            from_guide("IbmQpu", settings, {"token": "CREDENTIALS"}),
            *(cloud.weather, cloud.books, cloud.backlog),
            None,
            cloud.revoke,
            lambda: cloud.issued,
        )


@contextmanager
def quantinuum() -> Generator[Sky]:
    from qpuflow.drivers.fake_clouds.quantinuum.served import quantinuum_served

    with quantinuum_served() as at:
        settings = at.settings().model_dump(mode="json")
        cloud = at.cloud
        yield Sky(
            *("h2", "quantinuum-qpu/h2"),
            from_guide("QuantinuumQpu", settings, {"password": "CREDENTIALS"}),
            *(cloud.weather, cloud.books, cloud.backlog),
            cloud.calendar,
            cloud.accounts.revoke,
            lambda: cloud.accounts.issued,
        )


@contextmanager
def braket() -> Generator[Sky]:
    from qpuflow.drivers.fake_clouds.braket.served import braket_served

    with braket_served() as at:
        settings = at.settings().model_dump(mode="json")
        keys = {"secret_access_key": "CREDENTIALS", "access_key_id": f'"{AWS_ID}"'}
        program = from_guide("BraketQpu", settings, keys).replace(
            "BraketCredentials(a", f'BraketCredentials(session_token="{AWS_SESSION}", a'
        )
        yield Sky(
            *("garnet", "braket-qpu/garnet", program),
            *(at.cloud.weather, at.cloud.books, at.cloud.backlog),
            None,
            lambda _: None,
            lambda: [AWS_ID, AWS_SESSION],
        )


@dataclass
class Site:
    """The installation with a QPU in a cloud, and its worker."""

    stack: Installation
    sky: Sky
    folder: Path
    said: str
    worker: OwnWorker

    async def submit(self, *options: object) -> Any:
        program = self.folder / "bell.qasm"
        program.write_text(BELL)
        given = ("submit", program, "--qpu", self.sky.qpu, "--shots", 100, *options, "--json")
        return (await self.stack.run(*given, timeout_seconds=240)).json

    async def rotate(self, secret: str, expires_at: datetime) -> None:
        saved = await self.stack.python(
            self.sky.save(secret, expires_at),
            environment={"PREFECT_API_URL": self.stack.endpoints.prefect_api_url},
        )
        assert saved.code == 0, saved.stderr
        self.said += saved.stdout + saved.stderr

    async def leave_soon(self) -> None:
        """From now on a run waits in its process for a second only."""
        impatient = QUICK | {"QPUFLOW_SUSPEND_AFTER_SECONDS": "1"}
        if self.worker.environment != impatient:
            await self.worker.stop()
            self.worker.environment = impatient
            await self.worker.start()

    async def waits(self, job: str) -> None:
        async def waiting() -> bool:
            return (await self.stack.job(job))["state"] == "waiting"

        await eventually(waiting, "the cloud does not get the job", 90)


@asynccontextmanager
async def opened(
    cloud: Callable[[], Any], stack: Installation, folder: Path
) -> AsyncGenerator[Site]:
    with cloud() as sky:
        prefect = {"PREFECT_API_URL": stack.endpoints.prefect_api_url}
        saved = await stack.python(sky.save(SECRET), environment=prefect)
        assert saved.code == 0, saved.stderr
        registered = await stack.run("register", sky.block)
        assert registered.code == 0, registered
        command = ["worker", "start", "--type", "qpu", "--pool", sky.qpu]
        worker = OwnWorker(stack, command, QUICK, folder / "worker.log")
        await worker.start()
        said = "".join((saved.stdout, saved.stderr, registered.stdout, registered.stderr))
        try:
            yield Site(stack, sky, folder, said, worker)
        finally:
            await worker.stop()
