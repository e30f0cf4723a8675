"""The ledger's tables. Importing this package fills `Base.metadata`."""

from qpuflow.ledger.schema.accounts import Charge, Member, Project, User
from qpuflow.ledger.schema.base import Base
from qpuflow.ledger.schema.carriers import Batch, BatchKind, BatchState, Carrier, CarrierState
from qpuflow.ledger.schema.costs import ApprovalRow, CostLimitRow, RateRow
from qpuflow.ledger.schema.jobs import Intent, IntentState, JobEvent, JobRow, ProgramRow, TicketRow
from qpuflow.ledger.schema.payloads import Executed, Payload, ResultRow, Transpilation
from qpuflow.ledger.schema.qpus import BookingRow, ControlEvent, Lease, Qpu, Usage
from qpuflow.ledger.schema.quotas import (
    AllowanceRow,
    FirstAllowanceRow,
    GrantRow,
    QuotaRequestRow,
    ReservationRow,
)
from qpuflow.ledger.schema.watching import CalibrationRow, TelemetryRow

__all__ = [
    "AllowanceRow",
    "ApprovalRow",
    "Base",
    "Batch",
    "BatchKind",
    "BatchState",
    "BookingRow",
    "CalibrationRow",
    "Carrier",
    "CarrierState",
    "Charge",
    "ControlEvent",
    "CostLimitRow",
    "Executed",
    "FirstAllowanceRow",
    "GrantRow",
    "Intent",
    "IntentState",
    "JobEvent",
    "JobRow",
    "Lease",
    "Member",
    "Payload",
    "ProgramRow",
    "Project",
    "Qpu",
    "QuotaRequestRow",
    "RateRow",
    "ReservationRow",
    "ResultRow",
    "TelemetryRow",
    "TicketRow",
    "Transpilation",
    "Usage",
    "User",
]
