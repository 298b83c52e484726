"""The hook's whole answers to requests of the shape that Metacontroller 4.17 sends, in its hook versions v2 and v1."""

import copy
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.server import create_app
from app.settings import Settings
from app.sync import REWRITTEN
from external_service.invalid import admission_problems

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
LABELS = {
    "app": "web",
    "app.kubernetes.io/component": "external-service",
    "app.kubernetes.io/managed-by": "external-service-operator",
    "app.kubernetes.io/name": "web",
    "serviceType": "external",
}
STATUS = {
    "addresses": [
        {
            "ip": "10.0.100.10",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "HTTP 200",
            "ready": True,
            "reason": "ProbeSucceeded",
        },
        {
            "ip": "10.0.100.11",
            "lastTransitionTime": "2026-01-01T00:00:05Z",
            "message": "connection refused",
            "ready": False,
            "reason": "ProbeFailed",
        },
    ],
    "conditions": [
        {
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "1 of 2 addresses are ready",
            "observedGeneration": 1,
            "reason": "SomeAddressesReady",
            "status": "True",
            "type": "Ready",
        }
    ],
    "observedGeneration": 1,
    "ready": "1/2",
    "revision": 7,
}
PARENT: dict[str, Any] = {
    "apiVersion": "eso.crowdfox.com/v1alpha1",
    "kind": "ExternalService",
    "metadata": {
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}\n",
            "traefik.ingress.kubernetes.io/preserve-host": "true",
        },
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "managedFields": [{"apiVersion": "eso.crowdfox.com/v1alpha1", "manager": "kubectl", "operation": "Update"}],
        "name": "web",
        "namespace": "shop",
        "resourceVersion": "4711",
        "uid": "2b1f0a3e-6b0b-4a3c-9d0a-0d6a3b0d8a11",
    },
    "spec": {
        "hosts": [{"host": "www.example.com", "path": "", "pathType": "ImplementationSpecific"}],
        "ips": ["10.0.100.11", "10.0.100.10", "127.0.0.1"],
        "port": 80,
        "readinessProbe": {
            "failureThreshold": 3,
            "httpGet": {"host": "www.example.com", "path": "/health", "port": 8080, "scheme": "HTTP"},
            "initialDelaySeconds": 0,
            "periodSeconds": 10,
            "successThreshold": 2,
            "timeoutSeconds": 2,
        },
    },
    "status": STATUS,
}
CONTROLLER = {
    "apiVersion": "metacontroller.k8s.io/v1alpha1",
    "kind": "CompositeController",
    "metadata": {"name": "external-service-operator", "resourceVersion": "12"},
    "spec": {"generateSelector": True, "hooks": {"sync": {"version": "v2"}}},
}
META = {"name": "web", "namespace": "shop", "labels": LABELS}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": META,
    "spec": {
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilyPolicy": "RequireDualStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    },
}
ENDPOINTS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {**META, "labels": {**LABELS, "endpointslice.kubernetes.io/skip-mirror": "true"}},
    "subsets": [
        {
            "addresses": [{"ip": "10.0.100.10"}],
            "notReadyAddresses": [{"ip": "10.0.100.11"}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
    ],
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "web-ipv4-0",
        "namespace": "shop",
        "labels": {
            **LABELS,
            "endpointslice.kubernetes.io/managed-by": "external-service-operator.eso.crowdfox.com",
            "kubernetes.io/service-name": "web",
        },
    },
    "addressType": "IPv4",
    "endpoints": [
        {"addresses": ["10.0.100.10"], "conditions": {"ready": True, "serving": True, "terminating": False}},
        {"addresses": ["10.0.100.11"], "conditions": {"ready": False, "serving": False, "terminating": False}},
    ],
    "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
}
INGRESS: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {**META, "annotations": {"traefik.ingress.kubernetes.io/preserve-host": "true"}},
    "spec": {
        "rules": [
            {
                "host": "www.example.com",
                "http": {
                    "paths": [
                        {
                            "pathType": "ImplementationSpecific",
                            "backend": {"service": {"name": "web", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ]
    },
}
CHILDREN = [SERVICE, ENDPOINTS, SLICE, INGRESS]


def owned(child: dict[str, Any]) -> dict[str, Any]:
    """A child as Metacontroller shows it: with what it and the API server added."""
    shown = copy.deepcopy(child)
    shown["metadata"] |= {
        "annotations": {**child["metadata"].get("annotations", {}), LAST_APPLIED: "{}"},
        "labels": {**child["metadata"]["labels"], "controller-uid": PARENT["metadata"]["uid"]},
        "ownerReferences": [{"controller": True, "kind": "ExternalService", "name": "web"}],
        "uid": "1",
    }
    return shown


KINDS = {
    "Service.v1": SERVICE,
    "Endpoints.v1": ENDPOINTS,
    "EndpointSlice.discovery.k8s.io/v1": SLICE,
    "Ingress.networking.k8s.io/v1": INGRESS,
}
V2 = {kind: {f"shop/{child['metadata']['name']}": owned(child)} for kind, child in KINDS.items()}
V1 = {kind: {child["metadata"]["name"]: owned(child)} for kind, child in KINDS.items()}
NONE: dict[str, Any] = {kind: {} for kind in KINDS}


def request(parent: dict[str, Any], children: dict[str, Any]) -> dict[str, Any]:
    return {"controller": CONTROLLER, "parent": parent, "children": children, "related": {}, "finalizing": False}


def changed(**fields: Any) -> dict[str, Any]:
    return {**PARENT, **fields}


def with_spec(**fields: Any) -> dict[str, Any]:
    return changed(spec={**PARENT["spec"], **fields})


@pytest.fixture
async def hook() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(Settings()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hook") as client:
        yield client


@pytest.mark.parametrize("children", [pytest.param(V2, id="v2"), pytest.param(V1, id="v1")])
async def test_hook_settled_object(hook: httpx.AsyncClient, children: dict[str, Any]) -> None:
    response = await hook.post("/sync", json=request(PARENT, children))
    assert (response.status_code, response.json()) == (200, {"status": STATUS, "children": CHILDREN})


async def test_hook_new_object(hook: httpx.AsyncClient) -> None:
    parent = {name: value for name, value in PARENT.items() if name != "status"}
    nothing_known = [{"ip": "10.0.100.10"}, {"ip": "10.0.100.11"}]
    subset = {"notReadyAddresses": nothing_known, "ports": [{"port": 80, "protocol": "TCP"}]}
    made = [SERVICE, {**ENDPOINTS, "subsets": [subset]}, INGRESS]
    response = await hook.post("/sync", json=request(parent, NONE))
    assert (response.status_code, response.json()) == (200, {"status": {}, "children": made})


@pytest.mark.parametrize(
    "children",
    [
        pytest.param({**V2, "Ingress.networking.k8s.io/v1": {}}, id="v2"),
        pytest.param({**V1, "Ingress.networking.k8s.io/v1": {}}, id="v1"),
    ],
)
async def test_hook_ingress_name_taken_by_another_owner(hook: httpx.AsyncClient, children: dict[str, Any]) -> None:
    report = {
        "kind": "Ingress",
        "name": "web",
        "problem": "not there: another Ingress has this name (rename or delete it), "
        "or creation was refused (see the events)",
        "reason": "Absent",
    }
    response = await hook.post("/sync", json=request(PARENT, children))
    assert (response.status_code, response.json()) == (
        200,
        {"status": {**STATUS, "children": [report]}, "children": CHILDREN, "resyncAfterSeconds": 30.0},
    )


async def test_hook_hosts_removed(hook: httpx.AsyncClient) -> None:
    response = await hook.post("/sync", json=request(with_spec(hosts=[]), V2))
    assert (response.status_code, response.json()) == (200, {"status": STATUS, "children": [SERVICE, ENDPOINTS, SLICE]})


async def test_hook_object_without_addresses(hook: httpx.AsyncClient) -> None:
    response = await hook.post("/sync", json=request(with_spec(ips=[]), V2))
    bare = {name: value for name, value in ENDPOINTS.items() if name != "subsets"}
    children = [SERVICE, bare, {**SLICE, "endpoints": []}, INGRESS]
    assert (response.status_code, response.json()) == (200, {"status": STATUS, "children": children})


async def test_hook_invalid_addresses_do_not_affect_valid_ones(hook: httpx.AsyncClient) -> None:
    ips = ["10.0.100.10", "10.0.100.300", "::ffff:10.0.0.1", "10.0.100.10", "127.0.0.1", "10.0.100.11"]
    response = await hook.post("/sync", json=request(with_spec(ips=ips), V2))
    assert (response.status_code, response.json()) == (200, {"status": STATUS, "children": CHILDREN})


async def test_hook_unknown_field_changes_nothing(hook: httpx.AsyncClient) -> None:
    response = await hook.post("/sync", json=request(with_spec(readinesProbe={}), V2))
    assert (response.status_code, response.json()) == (200, {"status": STATUS, "children": CHILDREN})


def probe(**fields: Any) -> dict[str, Any]:
    return with_spec(readinessProbe=fields)


@pytest.mark.parametrize(
    ("parent", "field"),
    [
        pytest.param(changed(kind="Service"), "kind", id="wrong kind"),
        pytest.param(changed(spec={"ips": []}), "spec.port", id="no port"),
        pytest.param(
            changed(spec={"ips": [], "hosts": [{"host": "a.example"}], "httpRoute": {"parentRefs": [{"name": "web"}]}}),
            "spec.port",
            id="no port for a host",
        ),
        pytest.param(with_spec(port=0), "spec.port", id="port 0"),
        pytest.param(with_spec(port="80"), "spec.port", id="port in quotes"),
        pytest.param(
            probe(httpGet={"port": 80}, tcpSocket={"port": 80}), "spec.readinessProbe", id="two probe handlers"
        ),
        pytest.param(probe(exec={"command": ["true"]}), "spec.readinessProbe", id="exec"),
        pytest.param(probe(tcpSocket={"port": "http"}), "spec.readinessProbe.tcpSocket.port", id="named probe port"),
        pytest.param(
            probe(tcpSocket={"port": 80}, timeoutSeconds=0), "spec.readinessProbe.timeoutSeconds", id="timeout 0"
        ),
        pytest.param(
            probe(httpGet={"port": 80, "httpHeaders": [{"name": "X", "value": "secret\r\nY: z"}]}),
            "spec.readinessProbe.httpGet.httpHeaders[0].value",
            id="a header with a line break",
        ),
        pytest.param(
            with_spec(hosts=[{"host": "https://www.example.com"}]), "spec.hosts[0].host", id="a host with a scheme"
        ),
        pytest.param(
            with_spec(hosts=[{"host": "www.example.com", "path": "health"}]),
            "spec.hosts[0].path",
            id="a path without a slash",
        ),
        pytest.param(
            with_spec(ips=[f"10.0.{number // 256}.{number % 256}" for number in range(1001)]),
            "spec.ips",
            id="1,001 addresses",
        ),
        pytest.param(
            changed(status={"addresses": {"10.0.0.1": True}}), "status.addresses", id="a status of the wrong shape"
        ),
        pytest.param(changed(status=[]), "status", id="a status that is none"),
    ],
)
async def test_hook_invalid_input_is_an_error_without_children(
    hook: httpx.AsyncClient, parent: dict[str, Any], field: str
) -> None:
    problem, *addresses = admission_problems(parent)
    assert problem.startswith(f"{field}: ")
    assert all(one.startswith("spec.ips[") for one in addresses)
    response = await hook.post("/sync", json=request(parent, V2))
    error = f"{problem}; {REWRITTEN}" if field.startswith("status") else problem
    assert (response.status_code, response.json()) == (422, {"error": error})
