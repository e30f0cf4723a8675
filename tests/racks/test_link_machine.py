"""The link on its real sockets, whatever happens to it: nothing accepted is lost, nothing runs
twice, and a lease that is over is obeyed no more."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qpuflow.domain.errors import Refused, Unavailable
from qpuflow.domain.executable import Executable
from qpuflow.drivers.base import RemoteState
from qpuflow.drivers.qblox.config import load_configuration
from qpuflow.drivers.qblox.daemon.journal import Journal
from qpuflow.drivers.qblox.daemon.rack import Rack
from qpuflow.drivers.qblox.link.errors import StaleLease, error_of
from qpuflow.drivers.qblox.link.messages import (
    Circuit,
    Envelope,
    Execute,
    Failure,
    Fetch,
    Reply,
    Request,
    Results,
    State,
    Status,
    replies,
)
from qpuflow.drivers.qblox.link.sockets import Asker, answer_all
from qpuflow.drivers.qblox.rack_file import SHIPPED, load_rack
from qpuflow.drivers.qblox.session import Ran
from tests.racks.hostile_link import HostileLink

T = TypeVar("T")
SETTINGS = load_rack(SHIPPED)
CONFIGURATION = load_configuration(SETTINGS.device_file, SETTINGS.hardware_file)
PATIENCE_SECONDS = 0.3
JOBS = st.integers(0, 5)
FEW = st.integers(1, 3)


class Instruments:
    """They only count what they play. What is cut off has been played, too."""

    def __init__(self) -> None:
        self.played: Counter[str] = Counter()

    async def execute(self, executables: Sequence[Executable], shots: int) -> Ran:
        del shots
        (one,) = executables
        self.played[one.name] += 1
        await asyncio.sleep(0.003)
        return Ran((xr.Dataset({"x": ("shot", np.zeros(1))}),), 0.003)

    def configure(self, _: object) -> None: ...
    def close(self) -> None: ...


class LinkMachine(RuleBasedStateMachine):
    """What a worker knows, against the rack's journal and what its instruments counted."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        self._instruments = Instruments()
        self._accepted: dict[str, str] = {}
        self._asked_for: set[str] = set()
        """Before they came, perhaps: the rack may have closed these."""
        self._refused_for_ever: set[str] = set()
        """Those of which it said so."""
        self._lease = 1
        self._now(self._begin())

    def _now(self, action: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(action)

    async def _begin(self) -> None:
        self._link = HostileLink(self._folder / "front", self._folder / "back")
        await self._link.open()
        await self._start_rack()
        self._start_worker()

    async def _start_rack(self) -> None:
        self._journal = Journal(self._folder / "journal")
        rack = Rack(SETTINGS, CONFIGURATION, self._journal, cast("Any", self._instruments))
        rack.recover()
        address = f"ipc://{self._folder}/back"
        self._serving = [
            asyncio.create_task(rack.work()),
            asyncio.create_task(answer_all(address, None, rack.answer)),
        ]
        await asyncio.sleep(0)

    def _start_worker(self) -> None:
        self._asker = Asker(f"ipc://{self._folder}/front", None)

    async def _ask(self, request: Request, seconds: float = PATIENCE_SECONDS) -> Reply:
        """Raises what the rack answered, or `Unavailable`."""
        message = Envelope(body=request).model_dump_json().encode()
        reply = replies.validate_json(await self._asker.ask(message, seconds))
        if isinstance(reply, Failure):
            raise error_of(reply)
        return reply

    async def _submit(self, token: str, lease: int, seconds: float = PATIENCE_SECONDS) -> None:
        circuit = Circuit(
            name=token,
            qpy=b"",
            registers=(),
            points=({},),
            seed=None,
            memory=False,
            measurement_level=2,
            average=False,
        )
        request = Execute(token=token, fencing_token=lease, shots=1, circuits=(circuit,))
        try:
            reply = await self._ask(request, seconds)
        except StaleLease:
            assert lease < self._highest_obeyed()
        except Refused:
            assert token in self._asked_for
        except Unavailable:
            return  # it may have been accepted
        else:
            assert isinstance(reply, State)
            assert reply.ticket is not None
            assert token not in self._refused_for_ever
            assert self._accepted.setdefault(token, reply.ticket) == reply.ticket

    def _highest_obeyed(self) -> int:
        return max((lease for _, lease in self._journal.leases()), default=0)

    @rule(job=JOBS)
    def submit(self, job: int) -> None:
        self._now(self._submit(f"job-{job}", self._lease))

    @rule(job=JOBS)
    def submit_by_a_lease_that_is_over(self, job: int) -> None:
        self._now(self._submit(f"job-{job}", self._lease - 1))

    @rule()
    def grant_the_next_lease(self) -> None:
        self._lease += 1

    @rule(job=JOBS)
    def ask_for_a_job_and_believe_the_answer(self, job: int) -> None:
        async def ask() -> None:
            self._asked_for.add(f"job-{job}")
            with contextlib.suppress(Unavailable):
                state = await self._ask(Status(token=f"job-{job}", close=True))
                assert isinstance(state, State)
                if state.ticket is None:
                    assert f"job-{job}" not in self._accepted
                    self._refused_for_ever.add(f"job-{job}")

        self._now(ask())

    @rule(requests=st.integers(0, 2), answers=st.integers(0, 2), held=st.integers(0, 2))
    def lose_and_hold_messages(self, requests: int, answers: int, held: int) -> None:
        self._link.requests_to_lose = requests
        self._link.replies_to_lose = answers
        self._link.requests_to_hold = held

    @rule(doubles=st.booleans())
    def double_every_request(self, doubles: bool) -> None:
        self._link.doubles = doubles

    @rule(newest=FEW)
    def replay_late_and_out_of_order(self, newest: int) -> None:
        self._now(self._link.replay(newest))

    @rule()
    def cut_the_link(self) -> None:
        self._link.cut()

    @rule()
    def kill_the_rack(self) -> None:
        async def kill() -> None:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self._journal.close()
            await self._start_rack()

        self._now(kill())

    @rule(job=JOBS)
    def kill_the_worker_while_it_submits(self, job: int) -> None:
        async def kill() -> None:
            sending = asyncio.create_task(self._submit(f"job-{job}", self._lease))
            await asyncio.sleep(0.002)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._asker.close()
            self._start_worker()

        self._now(kill())

    @rule()
    def let_it_play(self) -> None:
        self._now(asyncio.sleep(0.01))

    @invariant()
    def nothing_plays_twice(self) -> None:
        assert all(count == 1 for count in self._instruments.played.values())
        assert set(self._instruments.played).isdisjoint(self._refused_for_ever)

    @invariant()
    def leases_that_are_obeyed_only_grow(self) -> None:
        obeyed = [lease for _, lease in self._journal.leases()]
        assert obeyed == sorted(obeyed)

    def teardown(self) -> None:
        try:
            self._now(self._nothing_accepted_is_lost())
        finally:
            self._now(self._end())
            self._loop.close()
            self._temporary.cleanup()

    async def _nothing_accepted_is_lost(self) -> None:
        self._link.heal()
        for token, ticket in self._accepted.items():
            state: RemoteState | None = None
            while state is None or not state.is_final:
                reply = await self._ask(Status(token=token, known=state, wait_seconds=1), 30)
                assert isinstance(reply, State)
                assert reply.ticket == ticket
                state = reply.state
            if state is RemoteState.COMPLETED:
                assert isinstance(await self._ask(Fetch(token=token), 30), Results)
                assert self._instruments.played[token] == 1
            else:
                assert state is RemoteState.FAILED

    async def _end(self) -> None:
        self._asker.close()
        await self._link.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._journal.close()


TestLink = LinkMachine.TestCase
TestLink.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
