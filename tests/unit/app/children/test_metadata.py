"""Each child has the name, namespace and labels of the ExternalService."""

from app.children.metadata import object_meta, own_labels
from external_service.v1alpha1 import RESERVED_LABELS
from tests.parents import parent

PARENT = parent(metadata={"uid": "1", "labels": {"team": "a"}})


def test_child_has_name_namespace_and_labels_of_its_parent() -> None:
    assert object_meta(PARENT) == {
        "name": "api",
        "namespace": "shop",
        "labels": {
            "app": "api",
            "app.kubernetes.io/component": "external-service",
            "app.kubernetes.io/managed-by": "external-service-operator",
            "app.kubernetes.io/name": "api",
            "serviceType": "external",
        },
    }


def test_user_labels_do_not_override_operator_labels() -> None:
    labels = object_meta(PARENT, {"tier": "db", "app": "other"})["labels"]
    assert labels == {**own_labels("api"), "tier": "db"}


def test_annotations_are_absent_if_empty() -> None:
    assert object_meta(PARENT, {}, {"a": "b"})["annotations"] == {"a": "b"}
    assert "annotations" not in object_meta(PARENT, {}, {})


def test_operator_labels_are_refused_in_the_spec() -> None:
    assert set(own_labels("api")) <= set(RESERVED_LABELS)


def test_argo_cd_tracking_label_is_not_copied() -> None:
    assert "app.kubernetes.io/instance" not in own_labels("api")
