"""The CRD is what the models say, and both agree on one corpus of ExternalServices (`crs/`).

The same corpus meets the real API server in tests/e2e/test_05_crd.py: which also shows that the rules stay within its
cost budget, and that it prunes no field of the models.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from external_service.crd import custom_resource_definition, to_yaml
from external_service.invalid import admission_problems
from external_service.v1alpha1 import ExternalService
from hack.reference import reference
from tests.parents import raw_parent

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "crs"
NO_STATUS_DEFAULT = "a default in the status differs from the hook's echo at each sync, and each difference is a write"


def corpus(name: str) -> list[Any]:
    return [pytest.param(case, id=case["case"]) for case in yaml.safe_load((CORPUS / f"{name}.yaml").read_text())]


def custom_resource(case: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": case.get("name", "sample"), "namespace": "default", **case.get("metadata", {})}
    return raw_parent(metadata=metadata) | {"spec": case["spec"]}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside `schema`, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nodes(schema[name], f"{path}[{name}]")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    version = custom_resource_definition()["spec"]["versions"][0]
    root: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return root


def test_crd_file_equals_the_models() -> None:
    made = to_yaml(custom_resource_definition())
    assert (ROOT / "metacontroller" / "crd.yaml").read_text() == made, "run `make crd`"


def test_api_reference_equals_the_models() -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == reference(), "write it again: make crd"


@pytest.mark.parametrize("case", corpus("good"))
def test_valid_objects_pass(case: dict[str, Any]) -> None:
    assert admission_problems(custom_resource(case)) == []


@pytest.mark.parametrize("case", corpus("predecessor"))
def test_predecessor_manifests_pass(case: dict[str, Any]) -> None:
    assert admission_problems(case["manifest"]) == []
    ExternalService.model_validate(case["manifest"])


@pytest.mark.parametrize("case", corpus("bad"))
def test_invalid_objects_name_the_field_as_the_api_server_does(case: dict[str, Any]) -> None:
    at = case["at"].replace("labels[", "labels.").rstrip("]") if "labels[" in case["at"] else case["at"]
    fields = [problem.partition(": ")[0] for problem in admission_problems(custom_resource(case))]
    assert [field for field in fields if field.startswith(at) or at.startswith(field)] != []


@pytest.mark.parametrize(
    ("spec", "at"),
    [
        pytest.param({"ips": [f"10.0.{i // 250}.{i % 250}" for i in range(1_001)]}, "spec.ips", id="1001 ips"),
        pytest.param({"hosts": [{"host": f"h{i}.example"} for i in range(257)]}, "spec.hosts", id="257 hosts"),
        pytest.param({"hostnames": [f"h{i}.example" for i in range(17)]}, "spec.hostnames", id="17 names"),
        pytest.param({"disabledIPs": [f"10.0.1.{i}" for i in range(251)]}, "spec.disabledIPs", id="251 drained ones"),
    ],
)
def test_lists_have_maximum_lengths(spec: dict[str, Any], at: str) -> None:
    problems = admission_problems(custom_resource({"spec": {"port": 80, **spec}}))
    assert [problem.partition(": ")[0] for problem in problems] == [at]


def test_status_has_no_defaults(schema: dict[str, Any]) -> None:
    assert [path for path, node in nodes(schema["properties"]["status"]) if "default" in node] == [], NO_STATUS_DEFAULT


def test_list_items_have_no_defaults(schema: dict[str, Any]) -> None:
    """`kubectl apply` and GitOps tools replace lists whole: a default inside would differ from the file forever."""
    assert [path for path, node in nodes(schema) if "[items]" in path and "default" in node] == []


def test_spec_defaults_are_the_kubelets_and_two_more(schema: dict[str, Any]) -> None:
    assert {path: node["default"] for path, node in nodes(schema["properties"]["spec"]) if "default" in node} == {
        ".readinessProbe.httpGet.path": "/",
        ".readinessProbe.httpGet.scheme": "HTTP",
        ".readinessProbe.httpGet.redirects": "Follow",
        ".readinessProbe.httpGet.method": "GET",
        ".readinessProbe.httpGet.protocol": "HTTP1",
        ".readinessProbe.httpGet.tls.caConfigMap.key": "ca.crt",
        ".readinessProbe.httpGet.tls.caSecret.key": "ca.crt",
        ".readinessProbe.grpc.tls.caConfigMap.key": "ca.crt",
        ".readinessProbe.grpc.tls.caSecret.key": "ca.crt",
        ".readinessProbe.periodSeconds": 10,
        ".readinessProbe.timeoutSeconds": 1,
        ".readinessProbe.successThreshold": 1,
        ".readinessProbe.failureThreshold": 3,
        ".ingress.enabled": True,
        ".service.clusterIP": "None",
        ".service.type": "ClusterIP",
    }


def test_every_field_has_a_description(schema: dict[str, Any]) -> None:
    named = [(path, node) for path, node in nodes(schema) if path and not path.endswith("]")]
    silent = [path for path, node in named if not node.get("description") and not path.startswith(".metadata")]
    assert silent == []


def test_every_validation_rule_has_a_message(schema: dict[str, Any]) -> None:
    rules = [rule for _, node in nodes(schema) for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 20
    assert [rule["rule"] for rule in rules if not rule["message"]] == []
