"""Each bad input with the exact line that its author sees."""

from typing import Any

from external_service.admission import host_problem, path_problem
from external_service.core import NO_EXEC, ONE_HANDLER, PORT_NUMBER
from external_service.invalid import MAX_UNKNOWN, admission_problems, hint, locate, unknown_fields
from external_service.kind import KIND
from external_service.v1alpha1 import NUMBER_OR_SHARE
from tests.cases import cases
from tests.parents import hosts
from tests.parents import raw_parent as raw

HTTP = {"httpGet": {"port": 80}}
IPS = hint(locate(("spec", "ips"))[1])
HOST = host_problem("")
PROBE_PORT = f"{PORT_NUMBER}: named ports belong to containers, and there are none"


def http(**fields: Any) -> dict[str, Any]:
    return raw(readinessProbe={"httpGet": {"port": 80, **fields}})


GET = "spec.readinessProbe.httpGet"
QUOTES = "must be a string: put it in quotes"
NO_SLASH = path_problem("x", "Prefix")


@cases(
    "bad lines",
    ("nothing", None, ["write one ExternalService (got null)"]),
    ("a list", [1], ["write one ExternalService (got a list of 1)"]),
    ("wrong kind", {**raw(), "kind": "Pod"}, ['kind: write ExternalService (got "Pod")']),
    ("no port", {**raw(), "spec": {}}, ["spec.port: write exactly one of port and ports"]),
    ("no name", {**raw(), "metadata": {}}, ["metadata.name: is missing, write a text"]),
    (
        "numbers for strings",
        http(httpHeaders=[{"name": 1, "value": 5}]),
        [f"{GET}.httpHeaders[0].name: {QUOTES} (got 1)", f"{GET}.httpHeaders[0].value: {QUOTES}"],
    ),
    ("no handler", raw(readinessProbe={}), [f"spec.readinessProbe: {ONE_HANDLER} (found none)"]),
    ("exec", raw(readinessProbe={"exec": {}}), [f"spec.readinessProbe: {NO_EXEC}"]),
    ("named probe port", http(port="http"), [f'{GET}.port: {PROBE_PORT} (got "http")']),
    ("no host", raw(hosts=[{"path": "/"}]), [f"spec.hosts[0].host: is missing, {HOST}"]),
    ("path without a slash", raw(hosts=hosts("a.io x")), [f'spec.hosts[0].path: {NO_SLASH} (got "x")']),
    ("status edited by hand", {**raw(), "status": {"addresses": {}}}, [f"status.addresses: {IPS} (got a mapping)"]),
    (
        "several at once",
        raw(port=0, minReady=-1, ips=3),
        [f"spec.port: {PORT_NUMBER} (got 0)", f"spec.ips: {IPS} (got 3)", f"spec.minReady: {NUMBER_OR_SHARE} (got -1)"],
    ),
)
def test_problem_names_field_and_expected_value(bad: Any, lines: list[str]) -> None:
    assert admission_problems(bad) == lines


def test_header_value_is_never_shown() -> None:
    (line,) = admission_problems(http(httpHeaders=[{"name": "Authorization", "value": "Bearer s3cret\r\nX: y"}]))
    assert line == f"{GET}.httpHeaders[0].value: write the value in one line: CR, LF and NUL would end the header"


def test_unknown_fields_are_found_at_any_depth() -> None:
    sent = {
        **raw(
            readinesProbe=HTTP,
            hosts=[{"host": "a.io", "pathtype": "Exact"}],
            readinessProbe={
                "httpGet": {"port": 1, "headers": []},
                "exec": {"command": []},
                "terminationGracePeriod": 1,
            },
            service={"labels": {"any.key/is": "fine"}},
        ),
        "metadata": {"name": "api", "annotation": {}, "labels": {"any": "thing"}, "managedFields": [{"x": 1}]},
        "status": {"anything": 1},
        "sepc": {},
    }
    assert unknown_fields(sent) == [
        "metadata.annotation: no such field, it is ignored (did you mean annotations?)",
        "spec.readinesProbe: no such field, it is ignored (did you mean readinessProbe?)",
        "spec.hosts[0].pathtype: no such field, it is ignored (did you mean pathType?)",
        "spec.readinessProbe.httpGet.headers: no such field, it is ignored (did you mean httpHeaders?)",
        "spec.readinessProbe.terminationGracePeriod: no such field, it is ignored",
        "sepc: no such field, it is ignored (did you mean spec?)",
    ]


def test_unknown_field_reports_are_bounded() -> None:
    found = unknown_fields({"kind": KIND} | {f"{number}{'x' * 10_000}": 1 for number in range(2 * MAX_UNKNOWN)})
    assert len(found) == MAX_UNKNOWN
    assert max(map(len, found)) < 200


TEXT, SECONDS = "a text of at most", "write a number from 1 to 86400"
KEYS = "write keys such as team or example.com/team: one / at most, then up to 63 letters, digits, -, _ and ."


@cases(
    "loc path wanted",
    ("a rule's words", "spec port", "spec.port", PORT_NUMBER),
    ("a range", "spec readinessProbe timeoutSeconds", "spec.readinessProbe.timeoutSeconds", SECONDS),
    ("one end", "status revision", "status.revision", "write a number, 0 or more"),
    ("an enum", "spec hosts 3 pathType", "spec.hosts[3].pathType", "write Exact, Prefix or ImplementationSpecific"),
    ("a constant", "kind", "kind", "write ExternalService"),
    ("a list", "spec ips", "spec.ips", "write a list of at most 1000 items"),
    ("an object", "spec", "spec", "write a mapping"),
    ("a list with rules, not empty", "spec ports", "spec.ports", "write a list of 1 to 16 items"),
    ("a number or text", "spec hosts 0 port", "spec.hosts[0].port", f"write a number or {TEXT} 63 characters"),
    ("a text", "status ready", "status.ready", f"write {TEXT} 32 characters"),
    ("bool", "status addresses 0 ready", "status.addresses[0].ready", "write true or false"),
    ("the tag of a union is no field", "spec minReady constrained-int", "spec.minReady", NUMBER_OR_SHARE),
    ("a mapping", "spec service labels", "spec.service.labels", "write a mapping"),
    ("a value", "spec service annotations a.b/c", 'spec.service.annotations["a.b/c"]', f"write {TEXT} 4096 characters"),
    ("a key", "spec service labels a_b [key]", "spec.service.labels", KEYS),
)
def test_error_path_and_expected_value(loc: str, path: str, wanted: str) -> None:
    found, schema = locate(tuple(int(part) if part.isdigit() else part for part in loc.split()))
    assert (found, hint(schema)) == (path, wanted)
