"""``python -m qpuflow.deployments.cli``: the command, where nothing is on the path."""

from qpuflow.deployments.cli.app import main

if __name__ == "__main__":
    main()
