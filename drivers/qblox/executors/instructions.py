"""What the compilers leave behind, whichever of them it was: sequencers with their programs."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qpuflow.domain.errors import InputError, QpuflowError
from qpuflow.drivers.qblox.executors.base import Bins

MOST_INSTRUCTIONS = {"QCM": 16384, "QCM_RF": 16384, "QRM": 12288, "QRM_RF": 12288, "QRC": 12288}


@contextmanager
def compiling() -> Generator[None]:
    """What a compiler refuses is the program's fault, in the compiler's own words.

    Its warnings are of its own deprecations, and of frames that are reset while nothing plays.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except QpuflowError:
        raise
    except Exception as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"The rack's scheduler cannot compile it: {words[0]}") from error


@dataclass(frozen=True, slots=True)
class Sequencer:
    """One that has a program. `mapping`: where its acquisitions go, in its compiler's own terms."""

    slot: int
    index: int
    settings: Any
    mapping: Any

    def bins(self, qubit: int, acquisition: int, offsets: Sequence[int], stride: int) -> Bins:
        return Bins(
            qubit=qubit,
            slot=self.slot,
            sequencer=self.index,
            acquisition=str(acquisition),
            offsets=tuple(offsets),
            stride=stride,
            integration_ns=self.settings.integration_length_acq,
            rotation_degrees=self.settings.thresholded_acq_rotation,
            threshold=self.settings.thresholded_acq_threshold,
            intermediate_hz=self.settings.modulation_freq or 0.0,
        )


def sequencers(instructions: Mapping[str, Any]) -> Iterator[Sequencer]:
    for name, module in instructions.items():
        _, found, slot = name.rpartition("_module")
        if found:
            mappings = module.get("acq_hardware_mapping") or {}
            for key, settings in module["sequencers"].items():
                index = int(key.removeprefix("seq"))
                yield Sequencer(int(slot), index, settings, mappings.get(key))


def instructions_hash(instructions: Mapping[str, Any]) -> str:
    """SHA-256 of every sequencer's program and waveforms, and of how it mixes and classifies."""
    content = [
        [
            *(one.slot, one.index, one.settings.sequence, one.settings.modulation_freq),
            one.settings.integration_length_acq,
            one.settings.thresholded_acq_rotation,
            one.settings.thresholded_acq_threshold,
        ]
        for one in sequencers(instructions)
    ]
    canonical = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_memory(instructions: Mapping[str, Any], kinds: Mapping[int, str]) -> None:
    for one in sequencers(instructions):
        lines = [line for line in one.settings.sequence["program"].splitlines() if line.strip()]
        kind = kinds[one.slot]
        most = MOST_INSTRUCTIONS[kind]
        if len(lines) > most:
            raise InputError(
                f"{len(lines):,} instructions, and sequencer {one.index} of the {kind} in slot "
                f"{one.slot} holds {most:,}",
                remedy="Make the program shorter.",
            )
