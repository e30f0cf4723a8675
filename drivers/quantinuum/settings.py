"""What an owner of a Quantinuum QPU may decide. A Prefect block shows it as a form."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

LOCAL, EMULATOR = "local:", "LE"
"""What stands before the name of a machine that is this one, and behind it for Quantinuum's own
emulator, in the words of its client."""

QUBITS = {"H1-1": 20, "H2-1": 56, "H2-2": 56}
"""Machines that have a local mode."""


MACHINE = r"^(local:(H1-1|H2-1|H2-2)(LE)?|[A-Za-z][A-Za-z0-9-]*)$"


class QuantinuumSettings(BaseModel, frozen=True, extra="forbid"):
    """One machine of Quantinuum's, or the like of one on this machine."""

    machine: Annotated[str, Field(pattern=MACHINE)] = Field(
        title="Machine",
        description="As H2-1, H2-1E for its emulator or H2-1SC for its syntax checker. "
        "local:H2-1 compiles for it and runs on this machine without noise, which needs no "
        "account; local:H2-1LE does so by Quantinuum's own local emulator.",
    )
    url: Annotated[str, Field(pattern=r"^https?://.+/$")] = Field(
        default="https://qapi.quantinuum.com/v1/",
        title="API",
        description="With the version; ends with a slash.",
    )
    microsoft_url: Annotated[str, Field(pattern=r"^https?://.+[^/]$")] = Field(
        default="https://login.microsoftonline.com/common",
        title="Microsoft's login",
        description="For users who log in to Quantinuum by Microsoft.",
    )
    jobs_by_name: bool = Field(
        default=False,
        title="Lists jobs by name",
        description="Whether this API answers GET job?name=... with the list of all jobs whose "
        "names begin so. Where it does, a job "
        "whose reply was lost is found by itself; where not, an operator looks for its name in "
        "the vendor's portal and settles it.",
    )
    group: str | None = Field(
        default=None, title="Group", description="Under which Quantinuum keeps account of usage."
    )
    batches: bool = Field(
        default=False,
        title="Batches",
        description="Whether the circuits of a job with several run in one batch, without others "
        "between them. Needs a limit of cost.",
    )
    max_cost_hqc: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        title="Most that a job may cost",
        description="In HQC, by the estimate. A job above is refused, and Quantinuum is told the "
        "limit for each circuit.",
    )
    optimisation_level: Annotated[int, Field(ge=0, le=3)] = Field(
        default=2,
        title="Optimisation level",
        description="Of pytket's compilation for this machine, which comes after qpuflow's.",
    )
    error_model: bool = Field(
        default=True, title="Noise", description="Of an emulator; hardware has its own."
    )
    shot_seconds: Annotated[float, Field(gt=0)] = Field(
        default=0.1, title="Time of a shot", description="In seconds, for estimates."
    )
    settle_seconds: Annotated[float, Field(ge=0)] = Field(
        default=60.0,
        title="Patience with lists",
        description="How long a job whose reply was lost is looked for by its name before it is "
        "said not to have been accepted.",
    )
    poll_seconds: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        title="First pause",
        description="Between two looks at a job, while the websocket does not work; it grows.",
    )
    silence_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60.0,
        title="Silence",
        description="After so long without a word from the websocket the job is asked for.",
    )
    token_folder: str | None = Field(
        default=None,
        title="Folder of tokens",
        description="Where the refresh token is kept, encrypted with the password, so that "
        "restarts need no full login. Empty: nowhere.",
    )
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, title="Lanes", description="How many jobs a local machine runs at once."
    )

    @property
    def is_local(self) -> bool:
        return self.machine.startswith(LOCAL)

    @property
    def websocket_url(self) -> str:
        """As the vendor's client makes it: ``wss://ws.`` and the rest."""
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return self.url.replace("https://", "wss://ws.", 1)
        return self.url.replace("http://", "ws://", 1)

    @property
    def calendar_url(self) -> str:
        parts = urlsplit(self.url)
        host = f"ui.{parts.netloc}" if parts.scheme == "https" else parts.netloc
        return f"{parts.scheme}://{host}/beta/reservation"
