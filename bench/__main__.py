"""``python -m bench [SUITE ...]``: all suites, or those named."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path

from bench.figures import publish

SUITES = sorted(
    file.stem.removeprefix("suite_") for file in Path(__file__).parent.glob("suite_*.py")
)


def main() -> None:
    wanted = sys.argv[1:] or SUITES
    if unknown := set(wanted) - set(SUITES):
        sys.exit(f"There is no suite {', '.join(sorted(unknown))}; known: {', '.join(SUITES)}")
    for suite in wanted:
        measure = import_module(f"bench.suite_{suite}").measure
        publish(suite, asyncio.run(measure()))


if __name__ == "__main__":
    main()
