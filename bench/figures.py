"""What a suite gives: named figures with a unit and, where there is one, a target."""

from __future__ import annotations

import json
import operator
import statistics
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RELATIONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
OUT = Path(__file__).parent / "out"


@dataclass(frozen=True)
class Figure:
    figure: str
    value: float
    unit: str
    target: str | None = None

    @property
    def is_met(self) -> bool | None:
        """None: there is no target."""
        if self.target is None:
            return None
        relation, _, bound = self.target.partition(" ")
        return RELATIONS[relation](self.value, float(bound))


def quantile(values: Sequence[float], share: float) -> float:
    """Inclusive quantile, `share` between 0 and 1."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


async def collect(
    measurements: Mapping[str, Callable[[], Awaitable[list[Figure]]]], only: Collection[str] = ()
) -> list[Figure]:
    """One after the other, all or those named; each figure is told as soon as it is known."""
    figures: list[Figure] = []
    for name in [name for name in measurements if not only or name in only]:
        print(f"{name} ...", flush=True)
        found = await measurements[name]()
        for one in found:
            print(f"  {one.figure} {one.value:.4g} {one.unit}", flush=True)
        figures += found
    return figures


def publish(suite: str, figures: Sequence[Figure]) -> None:
    """The table on the terminal, and a line a figure in the suite's file."""
    OUT.mkdir(exist_ok=True)
    lines = [json.dumps(asdict(figure)) for figure in figures]
    (OUT / f"{suite}.jsonl").write_text("\n".join(lines) + "\n")
    table = Table("figure", "value", "unit", "target", title=suite)
    marks = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}
    for one in figures:
        target = f"{one.target} {marks[one.is_met]}" if one.target else ""
        table.add_row(one.figure, f"{one.value:.4g}", one.unit, target)
    Console().print(table)
