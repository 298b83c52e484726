"""Translation of the models into a structural schema, one rule a test."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from external_service.core import PORT_NUMBER
from external_service.crd import custom_resource_definition, to_yaml

ROOT = Path(__file__).resolve().parents[3]


def schema_of(path: str) -> dict[str, Any]:
    """The schema of a field such as "spec.hosts.host"; lists are looked into."""
    node: dict[str, Any] = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        node = node.get("items", node)["properties"][name]
    return node


def test_crd_outside_the_schema() -> None:
    definition = custom_resource_definition()
    (version,) = definition["spec"].pop("versions")
    version.pop("schema")
    assert definition == {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "externalservices.eso.crowdfox.com"},
        "spec": {
            "group": "eso.crowdfox.com",
            "names": {
                "kind": "ExternalService",
                "listKind": "ExternalServiceList",
                "plural": "externalservices",
                "singular": "externalservice",
                "shortNames": ["extsvc"],
            },
            "scope": "Namespaced",
        },
    }
    columns = [
        (column["name"], column["jsonPath"], column.get("priority", 0))
        for column in version.pop("additionalPrinterColumns")
    ]
    assert columns == [
        ("Ready", ".status.ready", 0),
        ("Status", ".status.summary", 0),
        ("Hosts", ".status.hosts", 0),
        ("Age", ".metadata.creationTimestamp", 0),
        ("Port", ".spec.port", 1),
        ("Probe", ".spec.readinessProbe['httpGet','tcpSocket','grpc']['path','service','port']", 1),
        ("IPs", ".status.ips", 1),
    ]
    assert version == {"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}}}


def test_default_and_list_descriptions() -> None:
    """`kubectl explain` shows no defaults of its own, and both descriptions of a list."""
    assert schema_of("spec.readinessProbe.failureThreshold")["description"].endswith("; 1 to 1000. Default: 3.")
    assert schema_of("spec.ingress.enabled")["description"].endswith("created. Default: true.")
    assert "description" not in schema_of("spec.hosts")["items"]


def test_reference_is_inlined_with_the_fields_description() -> None:
    assert schema_of("spec.readinessProbe.tcpSocket") == {
        "description": "TCP connect; an accepted connection is a success, nothing is sent.",
        "type": "object",
        "required": ["port"],
        "properties": {
            "port": schema_of("spec.readinessProbe.httpGet.port"),
            "host": {
                "description": "Ignored, and kept for compatibility: the connection always goes to the address itself.",
                "type": "string",
                "maxLength": 253,
                "x-kubernetes-validations": [
                    {
                        "rule": "self.matches('^[!-.0-~]*$')",
                        "message": "write a host name only, such as www.example.com: "
                        "no scheme, path, space or line break",
                    }
                ],
            },
        },
    }


def test_port_is_int_or_string_with_a_rule() -> None:
    assert schema_of("spec.port") == {
        "description": "Port of the Service and of every address, a number from 1 to 65535; "
        "for several ports, write ports instead.",
        "maxLength": 64,
        "x-kubernetes-int-or-string": True,
        "x-kubernetes-validations": [
            {
                "rule": "type(self) == int && self >= 1 && self <= 65535",
                "message": PORT_NUMBER,
            }
        ],
    }


def test_nullable_type_is_simplified() -> None:
    assert schema_of("status.addresses.serving") == {
        "description": "With reason Disabled only: whether the probe succeeds.",
        "type": "boolean",
    }


def test_map_keeps_the_schema_of_its_values() -> None:
    assert schema_of("spec.service.annotations")["additionalProperties"] == {"type": "string", "maxLength": 4096}


def test_exec_is_in_the_schema_for_its_rule() -> None:
    assert schema_of("spec.readinessProbe.exec") == {
        "description": "Not supported, and always refused: there is no container to run a command in.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_lists_are_atomic_except_address_sets() -> None:
    kinds = {
        path: schema_of(path)["x-kubernetes-list-type"]
        for path in (
            "spec.ips",
            "spec.hostnames",
            "spec.disabledIPs",
            "spec.hosts",
            "status.addresses",
            "status.conditions",
        )
    }
    assert kinds == {
        "spec.ips": "set",
        "spec.hostnames": "set",
        "spec.disabledIPs": "set",
        "spec.hosts": "atomic",
        "status.addresses": "atomic",
        "status.conditions": "atomic",
    }


def test_schema_has_no_keywords_of_pydantic() -> None:
    text = to_yaml(custom_resource_definition())
    assert [word for word in ("$ref", "$defs", "title:", "anyOf", "const:", "patternProperties") if word in text] == []


def test_yaml_parses_to_the_crd() -> None:
    assert yaml.safe_load(to_yaml(custom_resource_definition())) == custom_resource_definition()


def test_crd_command_is_deterministic() -> None:
    """In separate processes, because the order must not depend on hash seeds."""
    command = [sys.executable, "-m", "external_service.crd"]
    first, second = (
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    )
    assert first == second == to_yaml(custom_resource_definition()).encode()
