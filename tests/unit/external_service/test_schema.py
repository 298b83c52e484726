"""Finding a field in the schema, and saying what may be written there."""

import pytest

from external_service.core import PORT_NUMBER
from external_service.schema import hint, join, locate
from external_service.v1alpha1 import NUMBER_OR_SHARE


@pytest.mark.parametrize(
    ("loc", "path", "wanted"),
    [
        pytest.param(("spec", "port"), "spec.port", PORT_NUMBER, id="a rule's words"),
        pytest.param(
            ("spec", "readinessProbe", "timeoutSeconds"),
            "spec.readinessProbe.timeoutSeconds",
            "write a number from 1 to 86400",
            id="a range, behind a reference and null",
        ),
        pytest.param(("status", "revision"), "status.revision", "write a number, 0 or more", id="one end"),
        pytest.param(
            ("spec", "hosts", 3, "pathType"),
            "spec.hosts[3].pathType",
            "write Exact, Prefix or ImplementationSpecific",
            id="an enum in a list",
        ),
        pytest.param(("kind",), "kind", "write ExternalService", id="a constant"),
        pytest.param(("spec", "ips"), "spec.ips", "write a list of at most 1000 items", id="a list"),
        pytest.param(("spec",), "spec", "write a mapping", id="an object"),
        pytest.param(("status", "ready"), "status.ready", "write a text of at most 32 characters", id="a text"),
        pytest.param(
            ("status", "addresses", 0, "ready"), "status.addresses[0].ready", "write true or false", id="bool"
        ),
        pytest.param(
            ("spec", "minReady", "constrained-int"),
            "spec.minReady",
            NUMBER_OR_SHARE,
            id="the tag of a union is no field",
        ),
        pytest.param(
            ("spec", "service", "annotations", "a.b/c"),
            'spec.service.annotations["a.b/c"]',
            "write a text of at most 4096 characters",
            id="the value of a mapping",
        ),
        pytest.param(
            ("spec", "service", "labels", "a b", "[key]"),
            "spec.service.labels",
            "write keys such as team or example.com/team: one / at most, then up to 63 letters, digits, -, _ and .",
            id="the key of a mapping",
        ),
    ],
)
def test_error_path_and_expected_value(loc: tuple[int | str, ...], path: str, wanted: str) -> None:
    found, schema = locate(loc)
    assert (found, hint(schema)) == (path, wanted)


def test_unusual_keys_are_in_brackets() -> None:
    assert join("", "spec") == "spec"
    assert join("spec", "port") == "spec.port"
    assert join("metadata.labels", "a.b/c") == 'metadata.labels["a.b/c"]'
