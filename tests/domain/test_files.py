from __future__ import annotations

import json
from pathlib import Path

import pytest

from qpuflow.domain.errors import InputError, NotFound
from qpuflow.domain.files import load_program
from qpuflow.domain.parsing import parse
from qpuflow.domain.request import MAX_SOURCE_BYTES, ProgramFormat
from tests.domain.programs import BELL2, ROTATION, bell_circuit, qpy_bytes


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert caught.value.remedy
    assert str(path.parent) in str(caught.value)
    return caught.value


def test_a_text_file_is_a_program_called_after_the_file(tmp_path: Path) -> None:
    program = load_program(written(tmp_path, "bell.qasm", BELL2))
    assert program.name == "bell"
    assert program.source == BELL2
    assert program.format is None


def test_a_qpy_file_is_carried_in_base64(tmp_path: Path) -> None:
    program = load_program(written(tmp_path, "bell.qpy", qpy_bytes(bell_circuit())))
    assert program.format is ProgramFormat.QPY
    assert parse(program).circuit.num_qubits == 2


def test_the_companion_gives_parameters_and_observables(tmp_path: Path) -> None:
    companion = {"parameters": [{"theta": 0.5}], "observables": {"z": {"Z": 1.0}}}
    written(tmp_path, "turn.json", json.dumps(companion))
    program = load_program(written(tmp_path, "turn.qasm", ROTATION))
    assert program.parameters == companion["parameters"]
    assert program.observables == companion["observables"]


@pytest.mark.parametrize(
    ("companion", "words"),
    [
        ("{", "EOF"),
        ('{"shots": 5}', "shots"),
        ('{"parameters": {"theta": 1}}', "parameters"),
        ('{"observables": {"z": {"Q": 1.0}}}', "'Q'"),
        ('{"parameters": [{"theta": NaN}]}', "theta"),
        (b"\xff\xfe", "JSON"),
    ],
)
def test_a_bad_companion_is_named(tmp_path: Path, companion: str | bytes, words: str) -> None:
    written(tmp_path, "turn.json", companion)
    assert words in str(refused(written(tmp_path, "turn.qasm", ROTATION)))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path / "none.qasm"), NotFound)


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "folder.qasm").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.qasm").what


def test_an_unknown_ending_lists_the_known_ones(tmp_path: Path) -> None:
    assert ".qasm" in str(refused(written(tmp_path, "notes.txt", BELL2)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"OPENQASM 2.0;\n\xff", "UTF-8"),
        (b"OPENQASM 2.0;\0\0", "binary"),
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"x" * 10_000_000, f"{MAX_SOURCE_BYTES:,}"),
    ],
    ids=["not utf-8", "binary", "empty", "blank", "10 MB"],
)
def test_what_is_no_text_or_too_much_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(written(tmp_path, "bad.qasm", content)).what


def test_a_large_qpy_file_is_refused_before_it_is_encoded(tmp_path: Path) -> None:
    assert "3,000,000" in refused(written(tmp_path, "large.qpy", b"QISKIT" * 600_000)).what


def test_the_largest_qpy_file_fits_a_program(tmp_path: Path) -> None:
    assert load_program(written(tmp_path, "large.qpy", b"Q" * 3_000_000)).source
