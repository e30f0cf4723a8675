"""Who asks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from qpuflow.domain.errors import AccessDenied

SYSTEM = "system"
"""The project of qpuflow itself. Its jobs are calibrations."""


class Role(StrEnum):
    USER = "user"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """The user on whose behalf a call is made, the project that pays, and where it came from."""

    user: str
    project: str
    roles: frozenset[Role] = field(default=frozenset({Role.USER}))
    via: str = "python"

    @property
    def is_operator(self) -> bool:
        return Role.OPERATOR in self.roles

    def may_see(self, owner: str) -> bool:
        return self.is_operator or self.user == owner

    def require_operator(self, action: str) -> None:
        if not self.is_operator:
            raise AccessDenied(f"{self.user!r} may not {action}", remedy="Ask an operator.")

    def require_use(self, qpu: str, projects: Collection[str]) -> None:
        """`projects`: whom the QPU is for; empty: everybody. Operators may use every QPU."""
        if projects and self.project not in projects and not self.is_operator:
            raise AccessDenied(
                f"{qpu} is not for project {self.project!r}",
                remedy=f"It is for {', '.join(sorted(projects))}. Name one of yours, or ask an "
                "operator.",
            )


def service(name: str) -> Principal:
    """The principal of one of qpuflow's own parts, such as the reaper."""
    return Principal(name, SYSTEM, frozenset({Role.OPERATOR}), via=name)
