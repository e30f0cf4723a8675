"""The journalled test QPU as a plug-in: `bench.journal:driver` is its entry point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tasks.journalled import JournalledQpu


def driver(_name: str, settings: Mapping[str, Any], _secrets: Mapping[str, str]) -> JournalledQpu:
    return JournalledQpu(Path(settings["journal"]))
