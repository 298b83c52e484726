"""Finding a field in the schema, and saying what may be written there."""

from external_service.core import PORT_NUMBER
from external_service.schema import hint, locate
from external_service.v1alpha1 import NUMBER_OR_SHARE
from tests.cases import cases


@cases(
    "loc path wanted",
    ("a rule's words", ("spec", "port"), "spec.port", PORT_NUMBER),
    (
        "a range, behind a reference and null",
        ("spec", "readinessProbe", "timeoutSeconds"),
        "spec.readinessProbe.timeoutSeconds",
        "write a number from 1 to 86400",
    ),
    ("one end", ("status", "revision"), "status.revision", "write a number, 0 or more"),
    (
        "an enum in a list",
        ("spec", "hosts", 3, "pathType"),
        "spec.hosts[3].pathType",
        "write Exact, Prefix or ImplementationSpecific",
    ),
    ("a constant", ("kind",), "kind", "write ExternalService"),
    ("a list", ("spec", "ips"), "spec.ips", "write a list of at most 1000 items"),
    ("an object", ("spec",), "spec", "write a mapping"),
    ("a text", ("status", "ready"), "status.ready", "write a text of at most 32 characters"),
    ("bool", ("status", "addresses", 0, "ready"), "status.addresses[0].ready", "write true or false"),
    ("the tag of a union is no field", ("spec", "minReady", "constrained-int"), "spec.minReady", NUMBER_OR_SHARE),
    (
        "the value of a mapping",
        ("spec", "service", "annotations", "a.b/c"),
        'spec.service.annotations["a.b/c"]',
        "write a text of at most 4096 characters",
    ),
    (
        "the key of a mapping",
        ("spec", "service", "labels", "a b", "[key]"),
        "spec.service.labels",
        "write keys such as team or example.com/team: one / at most, then up to 63 letters, digits, -, _ and .",
    ),
)
def test_error_path_and_expected_value(loc: tuple[int | str, ...], path: str, wanted: str) -> None:
    found, schema = locate(loc)
    assert (found, hint(schema)) == (path, wanted)
