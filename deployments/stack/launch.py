"""Becomes another program that dies with its parent. Run as a script, standard library only.

``python -I -S launch.py <signal> <as-is|as-user> <program> <arguments>...``

PostgreSQL refuses to run as root. With ``as-user`` the program runs in a user namespace whose only
user is our own under another number, so that no file has to change its owner.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
USER_INSIDE = 1000
NAMESPACE_REFUSED = 71
"""Exit code: the kernel or the container does not allow user namespaces."""


def main(arguments: list[str]) -> None:
    signal_number, identity, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    if identity == "as-user":
        try:
            enter_user_namespace(libc)
        except OSError as error:
            sys.stderr.write(f"No user namespace: {error}\n")
            sys.exit(NAMESPACE_REFUSED)
    # After the namespace: a change of credentials resets it.
    libc.prctl(PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != parent:
        sys.exit(f"The parent of {command[0]} is gone")
    os.execvp(command[0], command)  # noqa: S606  (a shell is what we avoid)


def enter_user_namespace(libc: ctypes.CDLL) -> None:
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER_INSIDE} {user} 1"),
        ("gid_map", f"{USER_INSIDE} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


if __name__ == "__main__":
    main(sys.argv[1:])
