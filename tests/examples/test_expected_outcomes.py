from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from qpuflow.domain.files import load_program
from qpuflow.domain.parsing import parse
from qpuflow.domain.request import ProgramFormat
from tests.examples.expectations import EXAMPLES, EXPECTATIONS

PROGRAMS = sorted(path for path in EXAMPLES.iterdir() if path.suffix == ".qasm")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_example_gives_its_expected_outcome(
    path: Path, run_program: Callable[..., xr.Dataset]
) -> None:
    EXPECTATIONS[path.stem](run_program(load_program(path)))


def test_every_example_has_an_expectation_and_a_header() -> None:
    assert {path.stem for path in PROGRAMS} == set(EXPECTATIONS)
    for path in PROGRAMS:
        header = path.read_text().split("OPENQASM")[0]
        assert header.startswith("//")
        assert "Expect" in header, path.name


def test_both_openqasm_versions_are_shown() -> None:
    formats = [parse(load_program(path)).format for path in PROGRAMS]
    assert formats.count(ProgramFormat.OPENQASM2) >= 5
    assert formats.count(ProgramFormat.OPENQASM3) >= 5
    assert len(formats) >= 15
