"""The ``prefect`` command, started faster: no garbage collection while it imports."""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def main() -> None:
    gc.disable()
    if sys.argv[1] == "server":
        import_module("prefect.server.api.server")
    if sys.argv[1] == "worker":
        from qpuflow.deployments.worker.modules import PRELOAD
        from qpuflow.drivers.fork_servers import prefork

        # Now, while there is one thread, and everything was imported by whom we were forked from.
        prefork(PRELOAD)
    from prefect.cli import app

    # What is imported stays; collecting it over and over again costs a server in use, too.
    gc.freeze()
    gc.enable()
    sys.argv[0] = "prefect"
    app()


if __name__ == "__main__":
    main()
