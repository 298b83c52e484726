"""Rules, TLS and annotations of the Ingress; the whole object is in tests/contract/golden/ingress.yaml."""

from typing import Any

import pytest

from app.children.ingress import annotations, desired, wanted
from external_service.v1alpha1 import ExternalService
from tests import parents
from tests.cases import cases
from tests.parents import hosts

UNCOPIED = ("kubectl.kubernetes.io/", "argocd.argoproj.io/")


def parent(of_object: dict[str, str] | None = None, **spec: Any) -> ExternalService:
    return parents.parent(metadata={"annotations": of_object or {}}, **{"port": 8080, **spec})


@pytest.mark.parametrize(
    "spec", [{"ingress": {"className": "nginx"}}, {"hosts": [{"host": "a.io"}], "ingress": {"enabled": False}}]
)
def test_ingress_is_not_wanted(spec: dict[str, Any]) -> None:
    assert not wanted(parent(**spec))


@cases(
    "tls stored",
    ("all hosts", [{"secretName": "x"}], [{"hosts": ["b.io", "a.io"], "secretName": "x"}]),
    (
        "those that no other entry names",
        [{"hosts": ["b.io"], "secretName": "y"}, {"secretName": "x"}],
        [{"hosts": ["b.io"], "secretName": "y"}, {"hosts": ["a.io"], "secretName": "x"}],
    ),
    (
        "none is left",
        [{"hosts": ["b.io", "a.io"]}, {"secretName": "x"}],
        [{"hosts": ["b.io", "a.io"]}, {"secretName": "x"}],
    ),
    ("no secret", [{"hosts": ["*.io"]}, {}], [{"hosts": ["*.io"]}, {"hosts": ["b.io", "a.io"]}]),
)
def test_tls_entry_without_hosts_covers_the_remaining_hosts(tls: Any, stored: Any) -> None:
    ingress = desired(parent(hosts=hosts("b.io /1", "a.io", "b.io /2"), ingress={"tls": tls}), {})
    assert ingress["spec"]["tls"] == stored


def test_paths_of_one_host_share_a_rule_in_order() -> None:
    given = hosts("b.io /2", "a.io /", "b.io /1", "b.io /2", "b.io /2 Exact")
    rules = desired(parent(hosts=given), {})["spec"]["rules"]
    found = {rule["host"]: [(one["path"], one["pathType"]) for one in rule["http"]["paths"]] for rule in rules}
    default = "ImplementationSpecific"
    assert found == {"b.io": [("/2", default), ("/1", default), ("/2", "Exact")], "a.io": [("/", default)]}
    assert [*found] == ["b.io", "a.io"]


def test_tool_annotations_are_not_copied() -> None:
    of_object = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "argocd.argoproj.io/tracking-id": "x",
        "proxy/a": "1",
        "proxy/b": "1",
    }
    explicit = {"argocd.argoproj.io/sync-wave": "2", "proxy/b": "2"}
    given = parent(of_object, hosts=[{"host": "a.io"}], ingress={"annotations": explicit})
    assert annotations(given, UNCOPIED) == {
        "proxy/a": "1",
        "proxy/b": "2",
        "argocd.argoproj.io/sync-wave": "2",
    }
    assert annotations(parent(of_object, hosts=[{"host": "a.io"}]), ()) == of_object
