"""How programs and shots are spread over uploads: as few as the instruments' memory allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qpuflow.domain.errors import InputError
from qpuflow.drivers.qblox.programs import NativeProgram, Upload

MOST_BINS = 131_072
"""Of one sequencer."""
MOST_OPERATIONS = 1_500
"""Of one upload. A sequencer holds 12,288 instructions; a pulse takes up to eight of them, when
each is of another angle and a long wait comes first."""
MOST_TRACED_SHOTS = 1_000
"""Each trace is a run of its own, unless they are averaged."""


@dataclass(frozen=True, slots=True)
class Run:
    """One upload: programs from `first` on, shots from `shot` on."""

    first: int
    shot: int
    upload: Upload


def runs(
    programs: Sequence[NativeProgram], shots: int, *, average: bool = False, traced: bool = False
) -> Iterator[Run]:
    """In order. Where one program's shots do not fit, several runs repeat it.

    Averaged shots share their bins, and always fit. A scope keeps one trace: `traced` programs
    are alone, and so is each shot that is not averaged.
    """
    if traced:
        yield from _traced(programs, shots, average=average)
        return
    first = 0
    for group in _groups(programs, 1 if average else shots):
        most = MOST_BINS // max(1, *_bins(group).values(), 1)
        if most == 0:
            raise InputError(
                f"A program measures one qubit {max(_bins(group).values()):,} times, and a "
                f"sequencer keeps {MOST_BINS:,} results",
                remedy="Measure less often in one program.",
            )
        if average:
            most = shots
        for shot in range(0, shots, most):
            yield Run(first, shot, Upload(tuple(group), min(most, shots - shot), average))
        first += len(group)


def _traced(programs: Sequence[NativeProgram], shots: int, *, average: bool) -> Iterator[Run]:
    traces = shots * len(programs)
    if not average and traces > MOST_TRACED_SHOTS:
        raise InputError(
            f"{traces:,} traces are {traces:,} runs, and a job has {MOST_TRACED_SHOTS:,} at most",
            remedy="Average the shots, or take fewer of them or of the points.",
        )
    together = shots if average else 1
    for first, program in enumerate(programs):
        upload = Upload((program,), together, averaged=True)
        for shot in range(0, shots, together):
            yield Run(first, shot, upload)


def _groups(programs: Sequence[NativeProgram], shots: int) -> Iterator[list[NativeProgram]]:
    group: list[NativeProgram] = []
    for program in programs:
        if group and not _fits([*group, program], shots):
            yield group
            group = []
        group.append(program)
    if group:
        yield group


def _fits(group: Sequence[NativeProgram], shots: int) -> bool:
    """A program with conditions is alone: whatever sequencer obeys one has to reset its latches
    at every bit on its way, in the middle of other programs' pulses too."""
    if any(program.has_conditions for program in group):
        return False
    operations = sum(len(program.operations) for program in group)
    bins = max(_bins(group).values(), default=0) * shots
    return operations <= MOST_OPERATIONS and bins <= MOST_BINS


def _bins(group: Sequence[NativeProgram]) -> Counter[int]:
    return sum((program.acquisitions_of for program in group), Counter[int]())
