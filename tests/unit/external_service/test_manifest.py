"""ExternalServices as users write them in files."""

import json

import pytest

from external_service.core import PORT_NUMBER
from external_service.invalid import unknown_fields
from external_service.kind import KIND
from external_service.manifest import InvalidInput, external_services
from external_service.v1alpha1 import ONE_OF_PORTS
from tests.cases import cases
from tests.parents import raw_parent

ONE = """\
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: web}
spec: {port: 80, ips: [10.0.100.10]}
"""


def names(source: str) -> list[tuple[str, str]]:
    return [(document.where, document.parent.metadata.name) for document in external_services(source).documents]


@cases(
    "source expected",
    ("one", ONE, [("", "web")]),
    ("empty-documents-do-not-count", f"---\n{ONE}---\n", [("", "web")]),
    ("two", ONE + "---\n" + ONE.replace("web", "api"), [("document 1: ", "web"), ("document 2: ", "api")]),
    ("the-items-of-a-list", "kind: List\nitems:\n- " + ONE.replace("\n", "\n  "), [("", "web")]),
    ("json", json.dumps(raw_parent(metadata={"name": "web"})), [("", "web")]),
    ("loopback-on-one's-own-machine", ONE.replace("10.0.100.10", "127.0.0.1"), [("", "web")]),
)
def test_manifest_is_parsed(source: str, expected: list[tuple[str, str]]) -> None:
    assert names(source) == expected


def test_dates_are_text() -> None:
    source = ONE.replace("{name: web}", "{name: web, annotations: {since: 2026-01-01}}")
    (document,) = external_services(source).documents
    assert document.parent.metadata.annotations == {"since": "2026-01-01"}


HELM = (
    "line 3: this is not YAML: a mapping as a key: write a text (a Helm template? Render it first, with helm template)"
)
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"


@cases(
    "source problems",
    ("empty", "", ("there is no ExternalService in it: write one",)),
    ("odd-list", "kind: List\nitems: 1\n", ("there is no ExternalService in it: write one",)),
    ("cut-off", "a: [", ("line 1: this is not YAML: expected the node content, but found '<stream end>'",)),
    ("a-key-twice", ONE + "kind: Service\n", ('line 5: this is not YAML: the key "kind" is there twice',)),
    ("bin", "a: \x01", ("this is not YAML: unacceptable character #x0001: special characters are not allowed",)),
    ("a-tag", "!!int [1]", ("line 1: this is not YAML: expected a scalar node, but found sequence",)),
    ("bottomless", "[" * 10_000, ("this is not YAML: maximum recursion depth exceeded",)),
    (
        "aliases",
        "a: &0 [x, x]\n" + "".join(f"a{n}: &{n} [{', '.join([f'*{n - 1}'] * 10)}]\n" for n in range(1, 7)),
        ("it has more than 1000000 values, those of its aliases included",),
    ),
    ("another-kind", NAMESPACE, ("passed over: Namespace (v1)", "there is no ExternalService in it: write one")),
    ("helm-template", ONE.replace("{name: web}", "{name: {{ .Release.Name }}}"), (HELM,)),
    ("the-second-is-bad", ONE + "---\n" + ONE.replace("80", "0"), (f"document 2: spec.port: {PORT_NUMBER} (got 0)",)),
    (
        "a-misspelt-field-is-the-cause",
        ONE.replace("port", "prt"),
        (f"spec.port: {ONE_OF_PORTS}", *unknown_fields({"kind": KIND, "spec": {"prt": 80}})),
    ),
)
def test_unusable_input_is_reported_with_its_position(source: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as refused:
        external_services(source)
    assert tuple(problem.partition(" while")[0] for problem in refused.value.problems) == problems
