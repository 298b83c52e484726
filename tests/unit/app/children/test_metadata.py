"""Labels of the children. What else their metadata has is in the golden files of tests/contract."""

from app.children import http_route, ingress, service
from app.children.metadata import own_labels
from external_service.v1alpha1 import RESERVED_LABELS
from tests.parents import parent


def test_labels_and_annotations_of_the_spec_are_on_the_child() -> None:
    given = {"labels": {"tier": "db"}, "annotations": {"a": "b"}}
    route = {"parentRefs": [{"name": "public"}], **given}
    one = parent(service=given, hosts=[{"host": "a.io"}], ingress=given, httpRoute=route)
    made = [service.desired(one), ingress.desired(one, given["annotations"]), *http_route.desired(one)]
    expected = {"name": "api", "namespace": "shop", "labels": {**own_labels("api"), "tier": "db"}}
    assert [child["metadata"] for child in made] == [expected | {"annotations": {"a": "b"}}] * 3


def test_operator_labels_are_refused_in_the_spec() -> None:
    assert set(own_labels("api")) <= set(RESERVED_LABELS)
