"""Users, projects and membership."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from qpuflow.domain.errors import AccessDenied, NotFound
from qpuflow.domain.principal import SYSTEM, Principal, Role
from qpuflow.ledger import allowances
from qpuflow.ledger.schema import Member, Project, User

_MEMBER = select(Member.user).where(
    Member.project == bindparam("project"), Member.user == bindparam("user")
)


async def require_member(session: AsyncSession, principal: Principal) -> None:
    """The principal's project may be used by them.

    A user's own project, which bears their name, appears with their first job.
    """
    values = {"project": principal.project, "user": principal.user}
    known = await session.scalar(_MEMBER, values)
    if known is not None:
        return
    found = await _members(session, principal.project)
    # A project of others is nobody's own, whatever the user is called. It may have become theirs
    # since the first look, by another first job.
    own = principal.project == principal.user and set(found) <= {principal.user}
    if not own and not principal.is_operator:
        raise AccessDenied(
            f"{principal.user!r} is not a member of project {principal.project!r}",
            remedy="Ask an operator to add you, or name another project.",
        )
    await _add_member(session, principal.project, principal.user)


async def require_project(session: AsyncSession, project: str) -> None:
    """Raises `NotFound` for a project that there is not."""
    if await session.scalar(select(Project.name).where(Project.name == project)) is None:
        raise NotFound(
            f"There is no project {project!r}",
            remedy="It is made with its first member: `qpuflow members PROJECT --add USER`.",
        )


async def members(session: AsyncSession, principal: Principal, project: str) -> list[str]:
    """Who belongs to a project, for those who do and for operators."""
    found = await _members(session, project)
    _require_one_of(found, principal, project)
    return found


async def require_view(session: AsyncSession, principal: Principal, project: str) -> None:
    """What is the project's may be seen by its members, from before it is there, and operators."""
    found = await _members(session, project)
    if found or project != principal.user:
        _require_one_of(found, principal, project)


def _require_one_of(members: list[str], principal: Principal, project: str) -> None:
    if principal.user not in members and not principal.is_operator:
        raise AccessDenied(f"{principal.user!r} is not a member of project {project!r}")


async def _members(session: AsyncSession, project: str) -> list[str]:
    rows = await session.scalars(
        select(Member.user).where(Member.project == project).order_by(Member.user)
    )
    return list(rows)


async def remove_member(
    session: AsyncSession, principal: Principal, project: str, user: str
) -> None:
    """Their jobs and charges stay the project's."""
    principal.require_operator("change who belongs to a project")
    removed = await session.scalar(
        delete(Member).where(Member.project == project, Member.user == user).returning(Member.user)
    )
    if removed is None:
        raise NotFound(f"{user!r} is not a member of project {project!r}")


async def add_member(
    session: AsyncSession, principal: Principal, project: str, user: str, role: Role = Role.USER
) -> None:
    """Make the user a member; the user and the project are created as needed."""
    principal.require_operator("change who belongs to a project")
    await _add_member(session, project, user, role)


async def _add_member(
    session: AsyncSession, project: str, user: str, role: Role = Role.USER
) -> None:
    await session.execute(insert(User).values(name=user).on_conflict_do_nothing())
    made = insert(Project).values(name=project).on_conflict_do_nothing().returning(Project.name)
    if await session.scalar(made) is not None and project != SYSTEM:
        await allowances.enter_first(session, project)
    await session.execute(
        insert(Member)
        .values(project=project, user=user, role=role.value)
        .on_conflict_do_update(index_elements=["project", "user"], set_={"role": role.value})
    )
