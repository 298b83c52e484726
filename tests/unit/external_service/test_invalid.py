"""Each bad input with the exact line that its author sees."""

from typing import Any

from external_service.core import NO_EXEC, ONE_HANDLER
from external_service.invalid import MAX_UNKNOWN, admission_problems, unknown_fields
from external_service.kind import KIND
from external_service.schema import hint, locate
from external_service.syntax import host_problem, path_problem
from tests.cases import cases
from tests.parents import raw_parent as raw

HTTP = {"httpGet": {"port": 80}}
PORT = "write a port number from 1 to 65535, without quotes"
IPS = hint(locate(("spec", "ips"))[1])
HOST = host_problem("")
MIN_READY = 'write a number of addresses such as 1, or a share from "0%" to "100%"'
PROBE_PORT = f"{PORT}: named ports belong to containers, and there are none"


@cases(
    "bad lines",
    ("nothing", None, ["write one ExternalService (got null)"]),
    ("a list", [1], ["write one ExternalService (got a list of 1)"]),
    (
        "wrong kind",
        {"apiVersion": "eso.crowdfox.com/v1alpha1", "kind": "Pod"},
        ['kind: write ExternalService (got "Pod")'],
    ),
    ("no port", {**raw(), "spec": {}}, ["spec.port: write exactly one of port and ports"]),
    ("no name", {**raw(), "metadata": {}}, ["metadata.name: is missing, write a text"]),
    (
        "numbers for strings",
        raw(readinessProbe={"httpGet": {"port": 9, "httpHeaders": [{"name": 1, "value": 5}]}}),
        [
            "spec.readinessProbe.httpGet.httpHeaders[0].name: must be a string: put it in quotes (got 1)",
            "spec.readinessProbe.httpGet.httpHeaders[0].value: must be a string: put it in quotes",
        ],
    ),
    ("no handler", raw(readinessProbe={}), [f"spec.readinessProbe: {ONE_HANDLER} (found none)"]),
    ("exec", raw(readinessProbe={"exec": {}}), [f"spec.readinessProbe: {NO_EXEC}"]),
    (
        "named probe port",
        raw(readinessProbe={"httpGet": {"port": "http"}}),
        [f'spec.readinessProbe.httpGet.port: {PROBE_PORT} (got "http")'],
    ),
    ("no host", raw(hosts=[{"path": "/"}]), [f"spec.hosts[0].host: is missing, {HOST}"]),
    (
        "path without a slash",
        raw(hosts=[{"host": "a.io", "path": "x"}]),
        [f'spec.hosts[0].path: {path_problem("x", "Prefix")} (got "x")'],
    ),
    ("status edited by hand", {**raw(), "status": {"addresses": {}}}, [f"status.addresses: {IPS} (got a mapping)"]),
    (
        "several at once",
        raw(port=0, minReady=-1, ips=3),
        [f"spec.port: {PORT} (got 0)", f"spec.ips: {IPS} (got 3)", f"spec.minReady: {MIN_READY} (got -1)"],
    ),
)
def test_problem_names_field_and_expected_value(bad: Any, lines: list[str]) -> None:
    assert admission_problems(bad) == lines


def test_header_value_is_never_shown() -> None:
    headers = [{"name": "Authorization", "value": "Bearer s3cret\r\nX: y"}]
    (line,) = admission_problems(raw(readinessProbe={"httpGet": {"port": 80, "httpHeaders": headers}}))
    assert line == (
        "spec.readinessProbe.httpGet.httpHeaders[0].value: "
        "write the value in one line: CR, LF and NUL would end the header"
    )


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
