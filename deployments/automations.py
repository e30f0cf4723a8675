"""Prefect's automations for runs that nobody sees to any more, as code.

They run in the Prefect server, so they work when every process of ours is dead. They cannot see
the ledger: which jobs a dead run leaves behind, how often each has lost its carrier, and whether a
run that still beats makes progress is the reaper's to judge (`flows.reap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from qpuflow.domain.settings import Settings
from qpuflow.flows.abandoned import OUR_TAG

STARTED_AGAIN_TAG = "qpuflow-started-again"
"""Runs of deployments with this tag carry no jobs: when one crashes it is started again."""
RUN = "prefect.flow-run"
FINAL = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "DeadLetter")
MANY = 100
"""Starts of one run: somebody may ask for another after it was given up."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How long whose silence is borne, and for runs with which tags."""

    silent: timedelta
    unstarted: timedelta
    endless: timedelta
    starts: int
    tag: str = OUR_TAG
    started_again_tag: str = STARTED_AGAIN_TAG

    @classmethod
    def of(cls, settings: Settings) -> Watch:
        return cls(
            timedelta(seconds=settings.zombie_after_seconds),
            timedelta(seconds=settings.unstarted_after_seconds),
            timedelta(seconds=settings.endless_after_seconds),
            settings.max_attempts,
        )


def declared(watch: Watch, prefix: str = "qpuflow") -> list[Automation]:
    """All of them, named after the prefix."""
    return [
        _silent(watch, f"{prefix}: silent runs crash"),
        _unstarted(watch, f"{prefix}: claimed runs that do not start are offered again"),
        _endless(watch, f"{prefix}: endless runs crash"),
        _requeue(watch, f"{prefix}: crashed runs are started again"),
        _dead_letter(watch, f"{prefix}: runs that crash again and again are given up"),
    ]


async def apply(automations: Sequence[Automation]) -> None:
    """Create each, or bring the one of its name up to date. A person's switch stays as it is."""
    async with get_client() as client:
        for wanted in automations:
            await _apply(client, wanted)


async def _apply(client: PrefectClient, wanted: Automation) -> None:
    known = await client.read_automations_by_name(wanted.name)
    content = AutomationCore.model_validate(wanted.model_dump(exclude={"id", "owner_resource"}))
    if not known:
        await client.create_automation(content)
        return
    first, *doubles = known
    content.enabled = first.enabled
    await client.update_automation(first.id, content)
    for double in doubles:
        await client.delete_automation(double.id)


def _silent(watch: Watch, name: str) -> Automation:
    """Its process beats no more, wherever it ran."""
    trigger = EventTrigger(
        match=_runs(),
        match_related=_tagged(watch.tag),
        for_each={"prefect.resource.id"},
        # Also a process that died before its first beat.
        after={f"{RUN}.heartbeat", f"{RUN}.Running"},
        expect={f"{RUN}.*"},
        posture=Posture.Proactive,
        within=watch.silent,
    )
    words = f"Nothing was heard of it for {watch.silent.total_seconds():g} s: its process is dead"
    return _automation(name, trigger, _change(StateType.CRASHED, words))


def _unstarted(watch: Watch, name: str) -> Automation:
    """Whoever claimed it died before it was at work, or hangs."""
    trigger = EventTrigger(
        match=_runs(),
        match_related=_tagged(watch.tag),
        for_each={"prefect.resource.id"},
        after={f"{RUN}.Pending", f"{RUN}.Submitting"},
        expect={f"{RUN}.*"},
        posture=Posture.Proactive,
        within=watch.unstarted,
    )
    seconds = watch.unstarted.total_seconds()
    words = f"Claimed {seconds:g} s ago and not started: offered again"
    return _automation(name, trigger, _schedule(words))


def _endless(watch: Watch, name: str) -> Automation:
    """Its process lives, and it does not end. Of those that carry jobs the reaper judges."""
    trigger = EventTrigger(
        match=_runs(),
        match_related=_tagged(watch.started_again_tag),
        for_each={"prefect.resource.id"},
        after={f"{RUN}.Running"},
        expect={f"{RUN}.{state}" for state in FINAL},
        posture=Posture.Proactive,
        within=watch.endless,
    )
    words = f"It ran for {watch.endless.total_seconds():g} s without an end"
    return _automation(name, trigger, _change(StateType.CRASHED, words))


def _requeue(watch: Watch, name: str) -> Automation:
    trigger = _crashed(watch, range(watch.starts))
    return _automation(name, trigger, _schedule("It crashed, and is started again"))


def _dead_letter(watch: Watch, name: str) -> Automation:
    trigger = _crashed(watch, range(watch.starts, MANY))
    words = f"Given up: it crashed in each of {watch.starts} starts; the states before say how"
    return _automation(name, trigger, _change(StateType.FAILED, words, "DeadLetter"))


def _crashed(watch: Watch, starts: range) -> EventTrigger:
    """Runs that crashed in one of these starts: the event tells which it was."""
    return EventTrigger(
        match=_runs(**{"prefect.run-count": [str(number) for number in starts]}),
        match_related=_tagged(watch.started_again_tag),
        for_each={"prefect.resource.id"},
        expect={f"{RUN}.Crashed"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _schedule(words: str) -> ChangeFlowRunState:
    return _change(StateType.SCHEDULED, words, "AwaitingRetry")


def _change(state: StateType, words: str, name: str | None = None) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=state, name=name, message=words, force=name == "DeadLetter")


def _automation(name: str, trigger: EventTrigger, action: ChangeFlowRunState) -> Automation:
    return Automation(
        name=name,
        description="Made by qpuflow at every start; switch it off here if you do not want it.",
        trigger=trigger,
        actions=[action],
        enabled=True,
    )


def _runs(**labels: list[str]) -> ResourceSpecification:
    return ResourceSpecification.model_validate({"prefect.resource.id": f"{RUN}.*", **labels})


def _tagged(tag: str) -> ResourceSpecification:
    return ResourceSpecification.model_validate(
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
    )
