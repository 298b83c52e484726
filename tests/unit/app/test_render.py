"""Files to manifests, and the messages for files that are no ExternalService."""

from ipaddress import ip_network

from app.render import Rendered, children
from app.sync import SyncOptions
from external_service.manifest import external_services
from external_service.policy import AddressPolicy

OPTIONS = SyncOptions()
API = [("Service", "api"), ("Endpoints", "api"), ("EndpointSlice", "api-ipv4-0")]
CR = """
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: api, namespace: shop}
spec:
  port: 80
  ips: [10.0.0.2, 10.0.0.1]
  readinessProbe: {tcpSocket: {port: 80}}
"""
STATUS = """
status:
  addresses:
  - {ip: 10.0.0.1, ready: true, reason: ProbeSucceeded, lastTransitionTime: 2026-01-01T00:00:00Z}
"""


def render(source: str, options: SyncOptions) -> Rendered:
    return children(external_services(source), options)


def kinds(rendered: Rendered) -> list[tuple[str, str]]:
    return [(one["kind"], one["metadata"]["name"]) for one in rendered.children]


def test_denied_address_is_a_warning() -> None:
    options = SyncOptions(policy=AddressPolicy(deny=(ip_network("10.0.0.2/32"),)))
    rendered = render(CR, options)
    assert rendered.children[1]["subsets"][0]["notReadyAddresses"] == [{"ip": "10.0.0.1"}]
    assert rendered.warnings == (f"spec.ips[0]: left out: {options.policy.refusal('10.0.0.2')}",)


NAMED = CR.replace("port: 80\n", "port: 80\n  hostnames: [db.io, lb.io]\n", 1)
RESOLVED = STATUS + (
    "  - {ip: 10.0.0.9, hostname: db.io, ready: true, reason: NoProbe, lastTransitionTime: 2026-01-01T00:00:00Z}\n"
    "  - {ip: 169.254.0.9, hostname: db.io, ready: false, reason: Denied, lastTransitionTime: 2026-01-01T00:00:00Z}\n"
)


def test_hostnames_are_not_resolved_and_a_warning_says_so() -> None:
    rendered = render(NAMED, OPTIONS)
    where = "is not resolved here: its addresses come from a status, and there is none in this file"
    assert rendered.warnings == (f"spec.hostnames[0]: db.io {where}", f"spec.hostnames[1]: lb.io {where}")
    assert kinds(rendered) == API


def test_resolved_addresses_come_from_the_status() -> None:
    rendered = render(NAMED + RESOLVED, OPTIONS)
    endpoints = rendered.children[1]
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}, {"ip": "10.0.0.9"}]
    assert rendered.warnings == (
        "spec.hostnames[1]: lb.io is not resolved here: its addresses come from the status in this file",
        f"status.addresses[2]: left out: {OPTIONS.policy.refusal('169.254.0.9')}",
    )
