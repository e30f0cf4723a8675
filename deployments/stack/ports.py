"""The port that the stack serves on."""

from __future__ import annotations

import socket

import psutil

from qpuflow.domain.errors import InputError

HOST = "127.0.0.1"


def claim_port(wanted: int) -> int:
    """The port to use: `wanted` if it is free, any free one for 0; `InputError` if it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself will bind: connections of its predecessor that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except PermissionError as cause:
            raise InputError(
                f"Port {wanted} is reserved for root", remedy="Choose one above 1023: QPUFLOW_PORT."
            ) from cause
        except OSError as cause:
            raise InputError(
                f"Port {wanted} is in use{_by_whom(wanted)}",
                remedy="Stop that program, or choose another port with --port or QPUFLOW_PORT "
                "(0: any free one).",
            ) from cause
        return int(probe.getsockname()[1])


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and port in connection.laddr:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
