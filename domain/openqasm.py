"""OpenQASM 2 and 3 text to Qiskit circuits, with errors that point at the text."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qpuflow.domain.source import CORRECT_IT, ProgramError, Source

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MAX_OPENQASM3_CHARACTERS = 1_000_000
"""The OpenQASM 3 grammar is interpreted in Python: about 18 s for a million characters."""

_LOCATED = re.compile(
    r"(?:<input>:|L)?(?P<line>\d+)(?:,|:C)(?P<column>\d+): (?P<what>.*)", re.DOTALL
)
_REMEDIES = (
    (
        r"include|imports",
        'Only "qelib1.inc" and "stdgates.inc" can be included; copy other definitions in.',
    ),
    (
        r"not defined|[Uu]ndefined|before definition",
        'Declare it before its use; the standard gates come with include "qelib1.inc" '
        'in OpenQASM 2 and "stdgates.inc" in OpenQASM 3.',
    ),
    (r"out.of.range", "Indices start at 0 and end at the register's size less one."),
    (r"duplicate", "A gate needs distinct qubits."),
    (
        r"conditions must be",
        "Write if (bit), if (bit == true) or if (register == 3); combine bits in a register.",
    ),
    (r"index must be int", "A loop variable cannot index a register here; write the indices out."),
    (r"already", "Give each declaration a name of its own; included gates have names too."),
    (r"parameter|argument|size", "Compare the call with the declaration."),
    (
        r"not supported|[Uu]nsupported|unhandled|cannot be resolved|only .* supported",
        "Rewrite it with gates, measurements, resets, if, for and while, or send QPY.",
    ),
)


def load_openqasm2(source: Source) -> QuantumCircuit:
    """The text alone decides: nothing is read from the disk besides Qiskit's own qelib1.inc."""
    from qiskit import qasm2

    with reported(source):
        return qasm2.loads(
            source.code,
            include_path=(),
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )


def load_openqasm3(source: Source) -> tuple[QuantumCircuit, dict[int, str]]:
    """The circuit, and the names of its loose classical bits by index, which Qiskit forgets."""
    from qpuflow.domain.openqasm3 import convert, parse_tree

    if len(source.code) > MAX_OPENQASM3_CHARACTERS:
        raise ProgramError(
            f"The program has {len(source.code):,} characters, more than the "
            f"{MAX_OPENQASM3_CHARACTERS:,} accepted as OpenQASM 3",
            where=source.name,
            remedy="Use for loops and gate definitions, or send OpenQASM 2 or QPY.",
        )
    with reported(source):
        return convert(parse_tree(source))


@contextmanager
def reported(source: Source) -> Generator[None]:
    """Turn whatever a parser raises into one ProgramError.

    The parsers answer bad text with a dozen exception types; a Rust panic is no `Exception`.
    """
    try:
        yield
    except ProgramError:
        raise
    except RecursionError as error:
        raise ProgramError(
            "The program is nested too deeply", where=source.name, remedy="Flatten it."
        ) from error
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _located(source, error) from error
        raise


def _located(source: Source, error: BaseException) -> ProgramError:
    words = str(getattr(error, "message", None) or error) or type(error).__name__
    if not (found := _LOCATED.fullmatch(words)):
        return ProgramError(_sentence(words), where=source.name, remedy=_remedy(words))
    line, what = int(found["line"]), found["what"]
    column = _column(source, line, int(found["column"]), what)
    return source.error(_sentence(what), line, column + 1, _remedy(what))


def _column(source: Source, line: int, column: int, what: str) -> int:
    """Mend the OpenQASM 3 parser's columns of names, which count from the start of the file."""
    lines = source.text.split("\n")[:line]
    in_line = column - sum(len(before) + 1 for before in lines[:-1])
    name = re.search(r"'(\w+)'", what)
    named = bool(name and lines and lines[-1][max(in_line, 0) :].startswith(name[1]))
    return in_line if in_line >= 0 and (named or column > len(lines[-1])) else column


def _sentence(words: str) -> str:
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words.strip()[:300])
    return shown[:1].upper() + shown[1:].removesuffix(".")


def _remedy(words: str) -> str:
    found = (remedy for pattern, remedy in _REMEDIES if re.search(pattern, words))
    return next(found, CORRECT_IT)
