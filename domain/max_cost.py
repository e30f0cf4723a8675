"""The most that a job may cost, as its user writes it: `20 HQC`, `1.50 USD`, `2m30s`."""

from __future__ import annotations

from qpuflow.domain.cost import CostLimit, check_unit
from qpuflow.domain.errors import InputError
from qpuflow.domain.quota import QPU_SECONDS, amount_of


def limit_of(max_cost: str) -> CostLimit:
    """A duration alone is QPU time. Raises `InputError`."""
    match max_cost.split():
        case [amount, unit]:
            known = check_unit(unit)
        case [amount]:
            known = QPU_SECONDS
        case _:
            raise InputError(
                f"{max_cost!r} is no cost",
                remedy="Give a number and a unit, as 20 HQC, or QPU time, as 2m30s.",
            )
    return CostLimit(known, None, amount_of(amount, known))


def plain_cost(max_cost: str) -> str:
    """The same cost always in the same words. Raises `ValueError`, for pydantic."""
    try:
        limit = limit_of(max_cost)
    except InputError as error:
        raise ValueError(str(error)) from error
    return f"{limit.refuse_above:f} {limit.unit}"


def most_in(unit: str, max_cost: str | None, allowed: float | None) -> float | None:
    """What a vendor is told: the less of a job's own and what the QPU's owner allows.

    A job's own counts if it is in the vendor's unit.
    """
    own = limit_of(max_cost) if max_cost is not None else None
    most = own.refuse_above if own is not None and own.unit == unit else None
    return min((float(one) for one in (most, allowed) if one is not None), default=None)
