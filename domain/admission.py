"""Everything about a job that can be refused before it is accepted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qpuflow.domain.branches import check_branches
from qpuflow.domain.compilers import check_compiler
from qpuflow.domain.device import Device
from qpuflow.domain.errors import InputError
from qpuflow.domain.limits import check_limits
from qpuflow.domain.observables import count_settings
from qpuflow.domain.parsing import ParsedProgram, parse
from qpuflow.domain.request import JobRequest, Program

if TYPE_CHECKING:
    from pydantic import ValidationError

MAX_RUNS = 10_000
"""Circuits a job may run: programs x points x measurement settings of their observables."""
MAX_TOTAL_SHOTS = 100_000_000
"""Runs x shots of a job."""
MAX_MEMORY_BYTES = 1_000_000_000
"""What a job may keep of every shot: bits, one byte each, and points in the IQ plane."""
POINT_BYTES = 8
TRACE_BYTES = 131_072
"""16,384 samples of two quadratures, as long as a scope's memory."""


@dataclass(frozen=True, slots=True)
class _Work:
    """How much a request asks for: circuits to run, and classical bits over all of them."""

    runs: int
    bits: int


def check_request(
    request: JobRequest, device: Device, read: Callable[[Program], ParsedProgram] = parse
) -> tuple[ParsedProgram, ...]:
    """The parsed programs in order, or an `InputError` that says what to change.

    `read` parses, or remembers. A device that is offline refuses nothing: its jobs wait.
    """
    check_limits(device, programs=len(request.programs), shots=request.shots)
    _check_measurement(request, device)
    _check_reset(request, device)
    _check_mitigation(request)
    has_parameters = any(program.parameters for program in request.programs)
    check_compiler(
        request.options.compiler, device.compilers, device.name, parameters=has_parameters
    )
    parsed = tuple(_check_program(program, device, read) for program in request.programs)
    if request.options.measurement_level == 0:
        _check_traces(parsed, average=request.options.average)
    _check_work(request, _work_of(request.programs, parsed))
    return parsed


_WITHOUT_BITS = ("Raw traces", "Averaged shots")


def _check_measurement(request: JobRequest, device: Device) -> None:
    level, levels = request.options.measurement_level, device.measurement_levels
    if level not in levels:
        known = " and ".join(map(str, sorted(levels)))
        raise InputError(
            f"{device.name} has no measurement level {level}", remedy=f"It has {known}."
        )
    if not request.options.average and level > 0:
        return
    if request.options.average and 1 not in levels:
        raise InputError(
            f"{device.name} does not average shots", remedy="Take the mean of its counts."
        )
    if request.options.memory or any(program.observables for program in request.programs):
        raise InputError(
            f"{_WITHOUT_BITS[level > 0]} have no bits, and memory and observables are made of bits",
            remedy="Ask for shots of level 1 or 2, or leave memory and observables out.",
        )


def _check_reset(request: JobRequest, device: Device) -> None:
    if request.options.reset == "passive":
        return
    if not device.active_reset:
        raise InputError(
            f"{device.name} has no active reset", remedy="Leave reset at passive: it waits instead."
        )
    if request.options.measurement_level == 0:
        raise InputError(
            "An active reset measures, and a scope keeps one trace",
            remedy="Leave reset at passive for measurement level 0.",
        )


def _check_mitigation(request: JobRequest) -> None:
    options = request.options
    if not options.mitigate_readout:
        return
    if options.average or options.measurement_level == 0:
        raise InputError(
            "Mitigation undoes misread bits of each shot, and there are none",
            remedy="Ask for shots of level 1 or 2, or leave mitigation off.",
        )


def check_calibrated(device: Device, calibrated: Collection[int]) -> None:
    """`InputError` where readout errors cannot be undone for want of a calibration.

    `calibrated`: the qubits whose readout a calibration has measured.
    """
    if missing := sorted(set(range(device.num_qubits)) - set(calibrated)):
        which = "any qubit" if len(missing) == device.num_qubits else f"qubit {missing[0]}"
        raise InputError(
            f"No calibration of {device.name} has measured the readout of {which}",
            remedy="Leave mitigation off, or calibrate the QPU first.",
        )


def _check_traces(programs: Iterable[ParsedProgram], *, average: bool) -> None:
    """A scope keeps one trace: that of a qubit's one measurement."""
    for program in programs:
        measured = [i.qubits[0] for i in program.circuit.data if i.operation.name == "measure"]
        if len(set(measured)) < len(measured):
            raise InputError(
                "A qubit is measured twice, and a scope keeps one trace",
                where=program.name,
                remedy="Measure each qubit once, or leave measurement level 0.",
            )
        if len(measured) > 1 and not average:
            raise InputError(
                "Traces of several qubits are taken in runs of their own: their shots are not "
                "the same shots",
                where=program.name,
                remedy="Average the shots, or measure one qubit.",
            )


def _check_program(
    program: Program, device: Device, read: Callable[[Program], ParsedProgram]
) -> ParsedProgram:
    parsed = read(program)
    try:
        check_limits(device, programs=1, shots=1, qubits=parsed.circuit.num_qubits)
    except InputError as error:
        raise InputError(error.what, where=program.name, remedy=error.remedy) from error
    gates = frozenset(gate.name for gate in device.gates)
    check_branches(parsed.circuit, gates, device.branching, program.name)
    _check_parameters(program, parsed.parameters)
    count_settings(parsed, program.observables)
    return parsed


def _check_parameters(program: Program, known: tuple[str, ...]) -> None:
    if known and not program.parameters:
        raise InputError(
            f"Unbound parameters: {_listed(known)}",
            where=program.name,
            remedy="Give values, one mapping for each point: "
            f"parameters=[{{{', '.join(f'{name!r}: 0.0' for name in known[:3])}}}].",
        )
    for index, point in enumerate(program.parameters):
        place = f"{program.name}, point {index}"
        if missing := sorted(set(known) - set(point)):
            raise InputError(
                f"Unbound parameters: {_listed(missing)}",
                where=place,
                remedy="Every point needs a value for every parameter.",
            )
        if unknown := sorted(set(point) - set(known)):
            has = f"has {_listed(known)}" if known else "has no parameters"
            raise InputError(
                f"Unknown parameters: {_listed(unknown)}",
                where=place,
                remedy=f"The program {has}.",
            )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _work_of(programs: Iterable[Program], parsed: Iterable[ParsedProgram]) -> _Work:
    runs = bits = 0
    for program, read in zip(programs, parsed, strict=True):
        own = max(len(program.parameters), 1) * count_settings(read, program.observables)
        runs += own
        bits += own * max(read.circuit.num_clbits, read.circuit.num_qubits)
    return _Work(runs, bits)


def _check_work(request: JobRequest, work: _Work) -> None:
    remedy = "Use fewer points or shots, or split it into several jobs."
    if work.runs > MAX_RUNS:
        raise InputError(
            f"The job would run {work.runs:,} circuits (programs x points x measurement "
            f"settings), more than {MAX_RUNS:,}",
            remedy=remedy,
        )
    if (shots := work.runs * request.shots) > MAX_TOTAL_SHOTS:
        raise InputError(
            f"The job would take {shots:,} shots in {work.runs:,} circuits, more than "
            f"{MAX_TOTAL_SHOTS:,}",
            remedy=remedy,
        )
    options = request.options
    each = options.memory + (0, POINT_BYTES, TRACE_BYTES)[2 - options.measurement_level]
    if (kept := each * work.bits * (1 if options.average else request.shots)) > MAX_MEMORY_BYTES:
        raise InputError(
            f"The job would keep {kept:,} bytes of its shots, more than {MAX_MEMORY_BYTES:,}",
            remedy="Leave memory off, average, or use fewer points or shots.",
        )


def requested(**content: Any) -> JobRequest:
    """A request from its fields; `InputError` with a line for each thing that is wrong."""
    from pydantic import ValidationError

    try:
        return JobRequest.model_validate(content)
    except ValidationError as error:
        raise readable(error) from error


def readable(error: ValidationError) -> InputError:
    """One line for each thing wrong with a request: where, and what."""
    lines = [_line(problem) for problem in error.errors(include_url=False)]
    shown = lines[:10] + [f"and {len(lines) - 10} more"] * (len(lines) > 10)
    what = shown[0] if len(shown) == 1 else "\n".join(["The request has errors:", *shown])
    return InputError(what)


def _line(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    given = problem.get("input")
    shown = f" (given: {given!r:.60})" if isinstance(given, bool | int | float | str) else ""
    if problem["type"] == "value_error":
        shown = ""
    return f"{place.removeprefix('.') or 'request'}: {message}{shown}"
