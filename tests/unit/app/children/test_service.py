"""The Service, as the API server would store it."""

from typing import Any

from app.children.metadata import own_labels
from app.children.service import desired
from tests.parents import parent


def service(**spec: Any) -> dict[str, Any]:
    return desired(parent(metadata={"annotations": {"of": "the parent"}}, **{"port": 8080, **spec}))


def test_service_is_headless_by_default() -> None:
    assert service() == {
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
    assert service(service={"clusterIP": "Auto"})["spec"] == {
        "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }


def test_service_has_labels_and_annotations_of_the_spec() -> None:
    metadata = service(service={"labels": {"tier": "db"}, "annotations": {"a": "b"}})["metadata"]
    assert metadata["labels"] == {**own_labels("api"), "tier": "db"}
    assert metadata["annotations"] == {"a": "b"}


def test_service_ports_have_names_and_targets() -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    assert service(port=None, ports=ports)["spec"]["ports"] == [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
    ]


def test_service_types_leave_node_ports_to_the_cluster() -> None:
    for kind in ("NodePort", "LoadBalancer"):
        assert service(service={"clusterIP": "Auto", "type": kind})["spec"] == {
            "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 8080, "protocol": "TCP", "targetPort": 8080}],
            "sessionAffinity": "None",
            "type": kind,
        }
