"""The local stack: PostgreSQL, a Prefect server and workers under one supervisor."""

from qpuflow.deployments.stack.control import (
    RunningStack,
    run_stack,
    running_stack,
    stack_status,
    start_detached,
    stop_stack,
)
from qpuflow.deployments.stack.events import STACK, Announce, Event, Phase
from qpuflow.deployments.stack.plan import Plan

__all__ = [
    "STACK",
    "Announce",
    "Event",
    "Phase",
    "Plan",
    "RunningStack",
    "run_stack",
    "running_stack",
    "stack_status",
    "start_detached",
    "stop_stack",
]
