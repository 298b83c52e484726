"""ExternalService as the models read it. Cases of the corpus in tests/contract/crs are not repeated here."""

from typing import Any

import pytest

from external_service.core import HTTPGetAction, ObjectMeta, Probe
from external_service.v1alpha1 import ExternalService, ExternalServiceSpec, ExternalServiceStatus, Host
from tests.parents import raw_parent


def test_spec_needs_only_a_port() -> None:
    read = ExternalService.model_validate({**raw_parent(), "metadata": {"name": "api"}})
    assert read.metadata == ObjectMeta(name="api", namespace="default")
    assert read.spec == ExternalServiceSpec(
        port=80, ips=(), hosts=(), readinessProbe=None, ingress=None, service=None, disabledIPs=(), minReady=0
    )
    assert read.status == ExternalServiceStatus(
        revision=0, ready="", addresses=(), conditions=(), children=(), observedGeneration=0
    )


@pytest.mark.parametrize("host", ["https://www.example.com", "WWW.example.com", "10.0.0.1", ""])
def test_invalid_host_keeps_the_rest_readable(host: str) -> None:
    assert ExternalService.model_validate(raw_parent(hosts=[{"host": host}])).spec.hosts == (
        Host(host=host, path="", pathType="ImplementationSpecific"),
    )


def test_nulls_and_unknown_fields_are_ignored_at_any_depth() -> None:
    http: dict[str, Any] = {"port": 80, "path": None, "httpHeaders": None, "nonsense": 1}
    read = ExternalService.model_validate(
        raw_parent(
            metadata={"annotations": {"b": None}, "managedFields": []},
            ips=None,
            ingress={"tls": None, "labels": None},
            readinessProbe={"httpGet": http},
        )
        | {"status": None}
    )
    probe = {"httpGet": {"port": 80}}
    plain = raw_parent(metadata={"annotations": {"b": ""}}, ingress={}, readinessProbe=probe)
    assert read == ExternalService.model_validate(plain)
    assert read.spec.readinessProbe == Probe(httpGet=HTTPGetAction(port=80))
