"""The names of jobs at Quantinuum, which allows one name many times: ours are used once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


def name_of(token: str, index: int, count: int) -> str:
    """Of the index-th of so many circuits that were submitted under the token."""
    return f"{token}-{index}of{count}"


@dataclass
class Found:
    """What the vendor has of one submission: ids by index, of `count`; none when nothing is."""

    count: int = 0
    jobs: dict[int, str] = field(default_factory=dict[int, str])
    doubles: list[str] = field(default_factory=list[str])

    @property
    def is_whole(self) -> bool:
        return 0 < self.count == len(self.jobs)


def found_under(token: str, listed: Iterable[Mapping[str, Any]]) -> Found:
    """Of two under one name, which nobody but a proxy makes, the older counts."""
    found = Found()
    for job in sorted(listed, key=lambda one: str(one.get("submit-date", ""))):
        match = re.fullmatch(re.escape(token) + r"-(\d+)of(\d+)", str(job.get("name", "")))
        if match is None:
            continue
        index, found.count = int(match[1]), int(match[2])
        if index in found.jobs:
            found.doubles.append(job["job"])
        found.jobs.setdefault(index, job["job"])
    return found
