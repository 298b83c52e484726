"""The Service, as the API server would store it."""

from typing import Any

from app.children.metadata import own_labels
from app.children.service import desired
from external_service.v1alpha1 import ExternalService


def parent(**spec: Any) -> ExternalService:
    return ExternalService.model_validate(
        {
            "apiVersion": "eso.crowdfox.com/v1alpha1",
            "kind": "ExternalService",
            "metadata": {"name": "api", "namespace": "shop", "annotations": {"of": "the parent"}},
            "spec": {"port": 8080, **spec},
        }
    )


def test_service_is_headless_by_default() -> None:
    assert desired(parent()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": "shop", "labels": own_labels("api")},
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "ipFamilyPolicy": "RequireDualStack",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def test_cluster_ip_auto_leaves_the_address_to_the_cluster() -> None:
    assert desired(parent(service={"clusterIP": "Auto"}))["spec"] == {
        "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }


def test_service_has_labels_and_annotations_of_the_spec() -> None:
    metadata = desired(parent(service={"labels": {"tier": "db"}, "annotations": {"a": "b"}}))["metadata"]
    assert metadata["labels"] == {**own_labels("api"), "tier": "db"}
    assert metadata["annotations"] == {"a": "b"}


def test_service_ports_have_names_and_targets() -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    assert desired(parent(port=None, ports=ports))["spec"]["ports"] == [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
    ]


def test_service_types_leave_node_ports_to_the_cluster() -> None:
    for kind in ("NodePort", "LoadBalancer"):
        assert desired(parent(service={"clusterIP": "Auto", "type": kind}))["spec"] == {
            "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}],
            "sessionAffinity": "None",
            "type": kind,
        }
