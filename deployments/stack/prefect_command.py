"""The ``prefect`` command, started faster: no garbage collection while it imports."""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def main() -> None:
    gc.disable()
    if sys.argv[1] == "server":
        import_module("prefect.server.api.server")
    from prefect.cli import app

    # What is imported stays; collecting it over and over again costs a server in use, too.
    gc.freeze()
    gc.enable()
    sys.argv[0] = "prefect"
    app()


if __name__ == "__main__":
    main()
