"""Program text before a parser sees it: its format, its size, and how an error quotes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qpuflow.domain.errors import InputError
from qpuflow.domain.request import ProgramFormat

MAX_BITS = 100_000
"""Qubits and classical bits one program may declare; a parser allocates them all at once."""
MAX_OPERATORS = 1_000
"""Operators and parentheses in one statement. Qiskit's OpenQASM 2 parser keeps them on the C
stack and kills the process somewhere between 100,000 and 300,000 (Qiskit 2.6)."""
MAX_EXPANDED = 200_000
"""Operations after gate definitions are written out: 0.13 ms each in the OpenQASM 3 importer."""

CORRECT_IT = "Correct the program and send it again."
_TOKENS = re.compile(r'(?P<string>"[^"\n]*")|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_VERSION = re.compile(r"\s*OPENQASM\s+(?P<version>\d+(?:\.\d+)?)\s*;")
_STATEMENT = re.compile(r"[^;{}]+")
_OPERATOR = re.compile(r"[-+*/^(!~<>&|%]")
_DECLARED = re.compile(r"\b[qc]reg\b[^\[;]*\[\s*(\d+)|\$(\d+)")
_GATE = re.compile(r"\bgate\s+(?P<name>\w+)[^{;]*\{(?P<body>[^}]*)\}")
_WORD = re.compile(r"\w+")
_QPY_IN_BASE64 = "UUlTS0lU"


class ProgramError(InputError):
    """A program that cannot be read. `line` and `column` count from 1."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy, self.line, self.column)


def _rebuild(
    kind: type[ProgramError],
    what: str,
    where: str | None,
    remedy: str | None,
    line: int | None,
    column: int | None,
) -> ProgramError:
    return kind(what, where=where, remedy=remedy, line=line, column=column)


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a program, and `code`: the same text with comments blanked, so that every
    character keeps its place."""

    name: str
    text: str
    code: str

    def error(self, what: str, line: int, column: int, remedy: str) -> ProgramError:
        """An error at a place, counted from 1, that quotes the source line."""
        lines = self.text.split("\n")
        whole = lines[line - 1] if 0 < line <= len(lines) else ""
        quoted = whole[max(column - 60, 0) :][:80].strip()
        shown = f": {quoted!r}" if quoted else ""
        where = f"{self.name}, line {line}, column {column}{shown}"
        return ProgramError(what, where=where, remedy=remedy, line=line, column=column)

    def error_at(self, what: str, offset: int, remedy: str) -> ProgramError:
        before = self.text[:offset]
        return self.error(what, before.count("\n") + 1, offset - before.rfind("\n"), remedy)

    def check_bounds(self) -> None:
        """Refuse what would exhaust a parser's stack, memory or time."""
        self._check_statements()
        self._check_declarations()
        self._check_gates()

    def _check_statements(self) -> None:
        for statement in _STATEMENT.finditer(self.code):
            if len(_OPERATOR.findall(statement[0])) > MAX_OPERATORS:
                start = statement.start() + len(statement[0]) - len(statement[0].lstrip())
                raise self.error_at(
                    f"A statement has more than {MAX_OPERATORS:,} operators or parentheses",
                    start,
                    "Compute the value before and write the number.",
                )

    def _check_declarations(self) -> None:
        bits = 0
        for declared in _DECLARED.finditer(self.code):
            bits += _size(declared[1] or declared[2])
            if bits > MAX_BITS:
                raise self.error_at(TOO_MANY_BITS, declared.start(), "Declare fewer.")

    def _check_gates(self) -> None:
        """Gates defined by gates can say 2^n in n lines; count what they amount to."""
        if "gate" not in self.code:
            return
        sizes = dict[str, int]()
        rest = _GATE.sub(lambda gate: _define(gate, sizes), self.code)
        if max(_size_of(rest, sizes), *sizes.values(), 0) > MAX_EXPANDED:
            raise ProgramError(
                f"Its gate definitions amount to more than {MAX_EXPANDED:,} operations",
                where=self.name,
                remedy="Use for loops (OpenQASM 3), or fewer repetitions.",
            )


TOO_MANY_BITS = f"The program declares more than {MAX_BITS:,} bits"


def _define(gate: re.Match[str], sizes: dict[str, int]) -> str:
    sizes[gate["name"]] = min(_size_of(gate["body"], sizes), MAX_EXPANDED + 1)
    return ""


def _size_of(code: str, sizes: dict[str, int]) -> int:
    return code.count(";") + sum(sizes.get(word[0], 0) for word in _WORD.finditer(code))


def _size(digits: str) -> int:
    return int(digits) if len(digits) < 10 else MAX_BITS + 1


def read_source(name: str, text: str) -> Source:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return Source(name, text, _TOKENS.sub(_blank, text))


def _blank(token: re.Match[str]) -> str:
    return token[0] if token["string"] else re.sub(r"[^\n]", " ", token[0])


def detect_format(source: Source, given: ProgramFormat | None) -> ProgramFormat:
    """The format that the text itself names, or else the one given."""
    if source.text.lstrip().startswith(_QPY_IN_BASE64):
        return ProgramFormat.QPY
    found = _VERSION.match(source.code)
    if found is None:
        return given or _no_format(source)
    major = found["version"].split(".")[0]
    named = {"2": ProgramFormat.OPENQASM2, "3": ProgramFormat.OPENQASM3}.get(major)
    if named is None or given not in (None, named):
        asked = f", not {given.value}" if given else ""
        raise source.error_at(
            f"The program says it is OpenQASM {found['version']}{asked}",
            found.start("version"),
            "OpenQASM 2.0, 3.x and QPY are known; leave the format empty to read it from the text.",
        )
    return named


def _no_format(source: Source) -> ProgramFormat:
    raise ProgramError(
        "The program's format is unknown",
        where=source.name,
        remedy="Begin it with 'OPENQASM 2.0;' or 'OPENQASM 3.0;', or give the format.",
    )
