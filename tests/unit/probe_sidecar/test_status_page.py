"""`GET /status`, from ExternalServices whose last probes are given."""

import json
from ipaddress import ip_network
from typing import Any

from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import AddressStatus
from probe_sidecar.prober.target import Target
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.service import Service
from probe_sidecar.status_pages import MOST_LINES, Snapshot, status_page
from tests.cases import cases
from tests.unit.probe_sidecar.prober.test_targets import ScriptedEngine
from tests.unit.probe_sidecar.services import Services

AT, NOW = "2026-01-01T00:00:10Z", 1_000.0
POLICY = AddressPolicy(deny=(ip_network("10.9.0.0/16"),))
PROBE = {"tcpSocket": {"port": 80}, "failureThreshold": 3, "successThreshold": 2}

PROCESS = {"replica": {"working": True}}


def page(services: list[Service], query: dict[str, str], process: dict[str, Any] = PROCESS) -> tuple[int, str, str]:
    """The page, its pieces joined."""
    made = status_page(Snapshot(services, POLICY, AT, NOW, process), query)
    return made.status, "".join(made.body), made.content_type


def service(name: str, *ips: str, probe: Any = PROBE, **spec: Any) -> Service:
    services = Services(ScriptedEngine(), policy=POLICY)
    return services.apply(name, {"port": 80, "ips": list(ips), "readinessProbe": probe, **spec})


def web() -> Service:
    return service("web", "10.0.0.2", "10.9.0.1", "10.0.0.1", disabledIPs=["10.0.0.1"])


def plain() -> Service:
    return service("plain", "10.0.0.5", probe=None)


def probed(owner: Service, ip: str, *, ready: bool, streak: int, last: Outcome | None = None) -> Target:
    """The target of an address after its probes."""
    target = owner.targets.get(ip)
    assert target is not None
    reason: Reason = "ProbeSucceeded" if ready else "ProbeFailed"
    target.state = AddressStatus(
        ip=ip, ready=ready, reason=reason, message="connected", lastTransitionTime="2026-01-01T00:00:00Z"
    )
    target.streak, target.last, target.last_seconds = streak, last, 0.0123456789
    target.last_at, target.due = NOW - 3.2, NOW + 6.8
    return target


REFUSED = Outcome(Result.FAILURE, "connection refused")


def shop() -> list[Service]:
    one = web()
    probed(one, "10.0.0.2", ready=True, streak=-2, last=REFUSED)
    probed(one, "10.0.0.1", ready=True, streak=14, last=Outcome(Result.SUCCESS, "connected"))
    return [one, plain()]


def addresses(query: dict[str, str], found: list[Service]) -> list[dict[str, Any]]:
    status, body, kind = page(found, query)
    assert (status, kind) == (200, "application/json")
    document = json.loads(body)
    assert document["time"] == AT
    return list(document["addresses"])


def test_failures_below_the_threshold_are_shown() -> None:
    assert addresses({"ip": "10.0.0.2"}, shop()) == [
        {
            "namespace": "shop",
            "name": "web",
            "ip": "10.0.0.2",
            "ready": True,
            "reason": "ProbeSucceeded",
            "message": "connected",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "consecutiveSuccesses": 0,
            "successThreshold": 2,
            "consecutiveFailures": 2,
            "failureThreshold": 3,
            "lastProbe": {
                "result": "failure",
                "message": "connection refused",
                "durationSeconds": 0.012346,
                "ageSeconds": 3.2,
            },
            "running": False,
            "nextProbeInSeconds": 6.8,
        }
    ]


def test_drained_denied_and_unprobed_addresses_are_marked() -> None:
    shown = {one["ip"]: (one["ready"], one.get("serving"), one["reason"]) for one in addresses({}, shop())}
    assert shown == {
        "10.0.0.5": (True, None, "NoProbe"),
        "10.0.0.2": (True, None, "ProbeSucceeded"),
        "10.9.0.1": (False, None, "Denied"),
        "10.0.0.1": (False, True, "Disabled"),
    }


def test_unprobed_address_has_no_last_probe() -> None:
    one = web()
    probed(one, "10.0.0.2", ready=False, streak=0)
    found = [plain(), one]
    assert addresses({"ip": "10.0.0.2"}, found)[0]["lastProbe"] is None
    line = page(found, {"format": "text", "ip": "10.0.0.2"})[1].splitlines()[1]
    assert line.split() == ["shop", "web", "10.0.0.2", "no", "ProbeFailed", "-", "-", "-", "-", "7s"]


TABLE = """\
NAMESPACE    NAME    IP        READY    REASON          RUN         LAST                SECONDS    AGE    NEXT
shop         plain   10.0.0.5  yes      NoProbe         -           -                   -          -      -
shop         web     10.0.0.2  yes      ProbeSucceeded  2/3 failed  connection refused  0.012      3s     7s
shop         web     10.9.0.1  no       Denied          -           -                   -          -      -
shop         web     10.0.0.1  no       Disabled        14 ok       connected           0.012      3s     7s
"""


def test_status_table() -> None:
    assert page(shop(), {"format": "text"}) == (200, TABLE, "text/plain; charset=utf-8")


def test_long_table_is_cut_with_a_hint() -> None:
    many = service("many", *(f"10.1.{number // 250}.{number % 250 + 1}" for number in range(MOST_LINES)), probe=None)
    lines = page([many, plain()], {"format": "text"})[1].splitlines()
    assert len(lines) == 1 + MOST_LINES + 1
    assert lines[-1] == "... and 1 more: narrow it with ?namespace=, &name=, &ip=, or ask for json"
    assert len(addresses({}, [many, plain()])) == MOST_LINES + 1


@cases(
    "query problem",
    ("format", {"format": "yaml"}, 'no such format "yaml": write json or text\n'),
    ("misspelt filter", {"nmae": "web"}, 'no such parameter "nmae": write format, namespace, name, ip, hostname\n'),
)
def test_invalid_query_says_what_to_write(query: dict[str, str], problem: str) -> None:
    assert page(shop(), query) == (400, problem, "text/plain; charset=utf-8")


def test_reason_for_not_probing_is_shown() -> None:
    one = web()
    waiting = probed(one, "10.0.0.2", ready=True, streak=0)
    waiting.prepared, waiting.problem = None, "because"
    found = [one]
    assert addresses({"ip": "10.0.0.2"}, found)[0]["problem"] == waiting.problem
    assert waiting.problem in page(found, {"format": "text"})[1]


def test_pending_transition_and_its_reason_are_shown() -> None:
    one, no_response = web(), Outcome(Result.FAILURE, "m", no_response=True)
    probed(one, "10.0.0.2", ready=True, streak=-14, last=no_response).pending = True
    found = [one]
    assert addresses({"ip": "10.0.0.2"}, found)[0]["pending"] is True
    said = {"outage": {"suspected": True, "message": "no response"}}
    lines = page(found, {"format": "text", "ip": "10.0.0.2"}, said)[1].splitlines()
    assert lines[:2] == ["SUSPECTED OUTAGE: no response", ""]
    assert lines[3].split()[:7] == ["shop", "web", "10.0.0.2", "yes", "ProbeSucceeded", "14", "pending"]


def test_resolved_addresses_show_their_hostname() -> None:
    one = web()
    one.hostnames.addresses = {"10.0.0.2": "a.io", "10.0.0.7": "db.io", "10.9.0.2": "db.io"}
    assert one.spec is not None
    one.targets.apply(one.spec, {}, one.hostnames.addresses)
    probed(one, "10.0.0.7", ready=True, streak=2)
    found = [one, plain()]
    shown = [(one["ip"], one.get("hostname"), one["reason"]) for one in addresses({"name": "web"}, found)]
    assert shown == [
        ("10.0.0.2", "a.io", "Pending"),
        ("10.9.0.1", None, "Denied"),
        ("10.0.0.1", None, "Disabled"),
        ("10.0.0.7", "db.io", "ProbeSucceeded"),
        ("10.9.0.2", "db.io", "Denied"),
    ]
    assert [one["ip"] for one in addresses({"hostname": "db.io"}, found)] == ["10.0.0.7", "10.9.0.2"]
    lines = page(found, {"format": "text"})[1].splitlines()
    assert lines[0].split()[-1] == "HOSTNAME"
    assert [line.split()[-1] for line in lines[-2:]] == ["db.io", "db.io"]


def test_json_comes_address_by_address() -> None:
    many = service("many", *(f"10.1.0.{number}" for number in range(1, 10)), probe=None)
    pieces = list(status_page(Snapshot([many], POLICY, AT, NOW, PROCESS), {}).body)
    assert max(piece.count('"ip"') for piece in pieces) == 1
    assert len(json.loads("".join(pieces))["addresses"]) == 9
