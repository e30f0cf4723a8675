"""``python -m bench [SUITE ...] [--only NAME ...]``: all suites, or those named.

``--only`` takes names of measurements of the suites, and leaves out the others.
"""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import uvloop

from bench.figures import publish

SUITES = sorted(
    file.stem.removeprefix("suite_") for file in Path(__file__).parent.glob("suite_*.py")
)


def main() -> None:
    options = ArgumentParser(prog="bench", description="Benchmarks of qpuflow.")
    options.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    options.add_argument("--only", nargs="+", default=[], metavar="NAME")
    given = options.parse_args()
    if unknown := set(given.suites) - set(SUITES):
        options.error(f"no suite {', '.join(sorted(unknown))}; known: {', '.join(SUITES)}")
    modules = {suite: import_module(f"bench.suite_{suite}") for suite in given.suites or SUITES}
    known = [name for module in modules.values() for name in module.MEASUREMENTS]
    if unknown := set(given.only) - set(known):
        options.error(f"no measurement {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    for suite, module in modules.items():
        publish(suite, uvloop.run(module.measure(given.only)))


if __name__ == "__main__":
    main()
