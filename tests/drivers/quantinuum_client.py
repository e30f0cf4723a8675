"""Quantinuum's own client, in a process of its own, for importing it patches asyncio everywhere.

Each function is one story. A line on the standard input names one and an address; what it returns
is printed as a line of JSON.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

warnings.simplefilter("ignore")

import msal  # noqa: E402
from msal.oauth2cli.oidc import Client  # noqa: E402
from pytket import Circuit  # noqa: E402
from pytket.extensions.quantinuum.backends.api_wrappers import (  # noqa: E402
    QuantinuumAPI,
    QuantinuumAPIError,
)
from pytket.extensions.quantinuum.backends.quantinuum import (  # noqa: E402
    Language,
    QuantinuumBackend,
)


class LocalUrl(str):
    """The client derives its websocket's address by replacing ``https``; here there is none."""

    __slots__ = ()

    def replace(self, old: str, new: str, count: int = -1, /) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        if old == "https://" and new.startswith("wss"):
            return super().replace("http://", "ws://")
        return LocalUrl(super().replace(old, new, count))


def api(url: str, password: str = "any", **options: Any) -> QuantinuumAPI:
    secrets = {"_QuantinuumAPI__user_name": "ada", "_QuantinuumAPI__pwd": password}
    known = QuantinuumAPI(api_url=f"{url}/", **secrets, **options)
    known.url = LocalUrl(known.url)
    return known


def backend(url: str, **options: Any) -> QuantinuumBackend:
    return QuantinuumBackend("H1-1", api_handler=api(url, **options))


def bell(name: str = "bell") -> Circuit:
    return Circuit(2, 2, name).H(0).CX(0, 1).measure_all()


def counts(result: Any) -> dict[str, int]:
    return {"".join(map(str, bits)): n for bits, n in result.get_counts().items()}


def runs(url: str) -> Any:
    """By websocket and by polling, in both languages."""
    known = backend(url)
    circuit = known.get_compiled_circuit(bell())
    told: list[Any] = []
    for language in (Language.QIR, Language.QASM):
        for websocket in (True, False):
            handle = known.process_circuit(circuit, 100, language=language)
            told.append(counts(known.get_result(handle, use_websocket=websocket, wait=1)))
    return told


def feeds_forward(url: str) -> Any:
    """A bit measured in the middle decides what comes next, in both languages."""
    known = backend(url)
    circuit = Circuit(2, name="feed-forward")
    first, last = circuit.add_c_register("first", 2), circuit.add_c_register("last", 1)
    circuit.X(0).Measure(circuit.qubits[0], first[1])
    circuit.X(1, condition_bits=[first[0], first[1]], condition_value=2)
    circuit.Measure(circuit.qubits[1], last[0])
    circuit = known.get_compiled_circuit(circuit)
    handles = [
        known.process_circuit(circuit, 10, language=language)
        for language in (Language.QIR, Language.QASM)
    ]
    bits = [known.get_result(handle, wait=1).get_counts([*first, *last]) for handle in handles]
    return [{"".join(map(str, key)): n for key, n in Counter(one).items()} for one in bits]


def asks_what_it_costs(url: str) -> Any:
    known = backend(url)
    return known.cost(known.get_compiled_circuit(bell(), 0), 1000)


def cancels(url: str) -> Any:
    known = backend(url)
    handle = known.process_circuit(known.get_compiled_circuit(bell()), 10)
    before = known.circuit_status(handle).status.name
    known.cancel(handle)
    return [before, known.circuit_status(handle).status.name]


def runs_a_batch(url: str) -> Any:
    known = backend(url)
    circuit = known.get_compiled_circuit(bell())
    first = known.start_batch(500, circuit, 10)
    second = known.add_to_batch(first, circuit, 20)
    last = known.add_to_batch(first, circuit, 30, batch_end=True)
    sums = [sum(counts(known.get_result(one, wait=1)).values()) for one in (first, second, last)]
    try:
        known.add_to_batch(first, circuit, 40)
    except QuantinuumAPIError as error:
        return [sums, str(error)]
    return [sums, "accepted"]


def reads_the_calendar(url: str) -> Any:
    events = backend(url).get_calendar(
        datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC), localise=False
    )
    return [[event["start-date"].isoformat(), event["organization"]] for event in events]


def sees_the_machine(url: str) -> Any:
    known = backend(url)
    info: Any = known.backend_info
    return [info.n_nodes, QuantinuumBackend.device_state("H1-1", known.api_handler)]


def logs_in_with_a_second_factor(url: str) -> Any:
    builtins.input = lambda _prompt="": "123456"  # pyright: ignore[reportAttributeAccessIssue]
    return bool(api(url).login())


class Authority:
    """msal's protocol without its list of the hosts that are Microsoft's."""

    address = ""

    def __init__(self, application: str, **_: Any) -> None:
        base = f"{self.address}/microsoft/oauth2/v2.0"
        ends = {
            "device_authorization_endpoint": f"{base}/devicecode",
            "token_endpoint": f"{base}/token",
        }
        self._client = Client(ends, application)

    def initiate_device_flow(self, scopes: list[str]) -> Any:
        return self._client.initiate_device_flow([*scopes, "openid", "profile", "offline_access"])

    def acquire_token_by_device_flow(self, flow: Any) -> Any:
        return self._client.obtain_token_by_device_flow(flow)


def logs_in_by_microsoft(url: str) -> Any:
    """And asks for the machine's state. What the person is told would be an answer here."""
    Authority.address = url
    msal.PublicClientApplication = Authority
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        known = QuantinuumAPI(api_url=f"{url}/", provider="microsoft")
        state = known.status("H1-1")
    return [state, "https://microsoft.com/devicelogin" in shown.getvalue()]


def logs_in_wrongly(url: str) -> Any:
    try:
        api(url, password="wrong").login()
    except QuantinuumAPIError as error:
        return str(error)
    return "logged in"


def refreshes(url: str) -> Any:
    """Its token has just expired."""
    known = api(url)
    first = known.login()
    known._cred_store._id_token = None  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    return [known.login() != first, known.status("H1-1")]


def breaks_its_connection(url: str) -> Any:
    known = backend(url)
    handle = known.process_circuit(known.get_compiled_circuit(bell()), 10)
    try:
        known.get_result(handle)
    except Exception as error:  # noqa: BLE001
        again = known.get_result(handle, use_websocket=False, wait=1)
        return [type(error).__name__, sum(counts(again).values())]
    return ["no error", 0]


def submits_in_bad_weather(url: str) -> Any:
    try:
        known = backend(url)
        known.process_circuit(known.get_compiled_circuit(bell("bought-once")), 10)
    except QuantinuumAPIError as error:
        return str(error)
    return "accepted"


if __name__ == "__main__":
    for line in sys.stdin:
        address, name = json.loads(line)
        story: Callable[[str], Any] = globals()[name]
        print(json.dumps(story(address)), flush=True)  # noqa: T201  the answer
