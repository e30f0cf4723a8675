"""Prefect's engine for one of the many flow runs that share a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import stamina
from prefect._flow_run_suspension import register_flow_run_suspension_request
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.schemas.events import RelatedResource
from prefect.flow_engine import AsyncFlowRunEngine, run_flow
from prefect.flows import Flow
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

from qpuflow.deployments.worker.silence import is_silence

LONGEST_SILENCE_SECONDS = 1800.0
"""How long a run that has ended waits for a server to tell it to."""


class SeatedEngine(AsyncFlowRunEngine[..., Any]):
    """Is told of suspensions by the worker, which hears of those of all its runs.

    Prefect's own gives every run a thread with an event loop, a client and a websocket to listen
    for its one, and starts nothing before that is connected: about 40 ms of each run, during which
    all others in the process stand still.
    """

    is_cancelled: Callable[[], bool]
    """Whether the worker is ending the run because somebody cancelled it."""
    is_draining: Callable[[], bool]
    """Whether the process ends, too: then the worker says how the run did."""
    has_begun: bool = False
    """Whether its first heartbeat is over."""

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[Any]:
        assert self.flow_run is not None
        request = self._get_flow_run_suspension_request()
        with register_flow_run_suspension_request(self.flow_run.id, request):
            request.raise_if_requested()
            yield request

    def _emit_flow_run_heartbeat(
        self,
        resource: dict[str, str] | None = None,
        related: list[RelatedResource] | None = None,
    ) -> None:
        """That it runs is the first: the beat that Prefect sends beside it says nothing new."""
        if self.has_begun:
            super()._emit_flow_run_heartbeat(resource, related)
        self.has_begun = True

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """How a cancelled run ends only the worker says: else it were Crashed for a moment.

        How another ends is said until it is heard. Prefect's client gives up after a minute, and
        what completed were Crashed.
        """
        if not state.is_final():
            return await super().set_state(state, force)
        if self.is_cancelled():
            assert self.flow_run is not None
            self.flow_run.state = state
            return state
        async for attempt in stamina.retry_context(
            on=self._is_worth_waiting, attempts=None, timeout=LONGEST_SILENCE_SECONDS, wait_max=10.0
        ):
            with attempt:
                return await super().set_state(state, force)
        raise AssertionError("stamina ends with a result or an error")

    def _is_worth_waiting(self, error: Exception) -> bool:
        return is_silence(error) and not self.is_draining()


async def run_seated(
    flow: Flow[..., Any],
    flow_run: FlowRun,
    *,
    is_cancelled: Callable[[], bool],
    is_draining: Callable[[], bool],
) -> None:
    """Execute the run; whatever becomes of it, Prefect knows its state."""
    if flow.isasync and not flow.isgenerator:
        args, kwargs = parameters_to_args_kwargs(flow.fn, flow_run.parameters)
        parameters = get_call_parameters(flow.fn, args, kwargs)
        engine = SeatedEngine(flow=flow, flow_run=flow_run, parameters=parameters)
        engine.is_cancelled, engine.is_draining = is_cancelled, is_draining
        async with engine.start():
            while engine.is_running():
                async with engine.run_context():
                    await engine.call_flow_fn()
    else:
        await asyncio.to_thread(run_flow, flow, flow_run=flow_run, return_type="state")
