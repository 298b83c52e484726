"""What the API server would refuse in the children, and which addresses it would refuse at all."""

from typing import Any

import pytest

from external_service.admission import address_problems, child_problems, shown
from external_service.v1alpha1 import ExternalService


def parent(name: str = "api", annotations: dict[str, str] | None = None, **spec: Any) -> ExternalService:
    return ExternalService.model_validate(
        {
            "apiVersion": "eso.crowdfox.com/v1alpha1",
            "kind": "ExternalService",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"port": 80, **spec},
        }
    )


def test_valid_object_has_no_problems() -> None:
    good = parent(
        annotations={"kubernetes.io/ingress.class": "nginx"},
        ips=["10.0.0.1", "2001:db8::1"],
        disabledIPs=["10.0.0.1"],
        hosts=[{"host": "*.a.io"}, {"host": "a.io", "path": "/x", "pathType": "Exact"}],
        service={"labels": {"team": "a"}},
        ingress={"className": "nginx", "labels": {"team": "a"}, "tls": [{"hosts": ["*.a.io"], "secretName": "c"}]},
    )
    assert child_problems(good) == []
    assert address_problems(good.spec, loopback=False) == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        pytest.param(
            parent("My.api"),
            "metadata.name: the Service takes this name: write a letter, then lower case letters, digits and -; "
            '63 at most (got "My.api")',
            id="name",
        ),
        pytest.param(
            parent(hosts=[{"host": "a.io"}, {"host": "a.io:80"}]),
            "spec.hosts[1].host: write a DNS name in lower case, such as www.example.com or *.example.com: "
            'no scheme, port or path (got "a.io:80")',
            id="host",
        ),
        pytest.param(
            parent(hosts=[{"host": "a.io", "path": "x"}]),
            'spec.hosts[0].path: write a path that begins with "/", or an empty one for every path (got "x")',
            id="path",
        ),
        pytest.param(
            parent(ingress={"tls": [{}, {"hosts": ["a.io", "b.io/"]}]}),
            "spec.ingress.tls[1].hosts[1]: write a DNS name in lower case, such as www.example.com or *.example.com: "
            'no scheme, port or path (got "b.io/")',
            id="tls host",
        ),
        pytest.param(
            parent(service={"labels": {"controller-uid": "1"}}),
            "spec.service.labels.controller-uid: the operator sets this label itself, remove it",
            id="a label of Metacontroller",
        ),
        pytest.param(
            parent(ingress={"labels": {"app.kubernetes.io/name": "x"}}),
            'spec.ingress.labels["app.kubernetes.io/name"]: the operator sets this label itself, remove it',
            id="a label of ours",
        ),
        pytest.param(
            parent(annotations={"kubernetes.io/ingress.class": "traefik"}, ingress={"className": "nginx"}),
            'spec.ingress.className: write "traefik", or remove the annotation kubernetes.io/ingress.class '
            '(got "nginx")',
            id="two classes",
        ),
        pytest.param(
            parent(hosts=[{"host": "a.io", "path": "/a[0-9]"}], httpRoute={"parentRefs": [{"name": "public"}]}),
            'spec.hosts[0].path: an HTTPRoute takes letters, digits and URL characters in a path, no "//", "/./", '
            '"/../" or "%2F": write it so, or leave spec.httpRoute out (got "/a[0-9]")',
            id="a path that no HTTPRoute takes",
        ),
        pytest.param(
            parent(httpRoute={"parentRefs": [{"name": "public"}], "labels": {"app": "x"}}),
            "spec.httpRoute.labels.app: the operator sets this label itself, remove it",
            id="a label of ours on an HTTPRoute",
        ),
    ],
)
def test_invalid_object_has_the_api_servers_problems(bad: ExternalService, problem: str) -> None:
    assert child_problems(bad) == [problem]


def test_every_invalid_address_is_named() -> None:
    spec = parent(
        ips=["10.0.0.1", "10.0.0.01", "::ffff:10.0.0.1", "10.0.0.1", "127.0.0.1", "2001:DB8::1"],
        disabledIPs=["10.0.0.1", "10.0.0.2", "10.0.0.1"],
    ).spec
    assert address_problems(spec, loopback=False) == [
        'spec.ips[1]: "10.0.0.01" is not an IP address: write one like 10.0.100.10 or 2001:db8::10',
        "spec.ips[2]: ::ffff:10.0.0.1 is an IPv4-mapped IPv6 address: write 10.0.0.1",
        "spec.ips[3]: Duplicate value: 10.0.0.1: remove one",
        "spec.ips[4]: 127.0.0.1 is a loopback address: write one that the cluster's nodes reach",
        "spec.ips[5]: 2001:DB8::1 is not in canonical form: write 2001:db8::1",
        'spec.disabledIPs[1]: "10.0.0.2" is none of spec.ips: write only addresses that stand in spec.ips too',
        "spec.disabledIPs[2]: Duplicate value: 10.0.0.1: remove one",
    ]
    assert address_problems(parent(ips=["127.0.0.1"]).spec, loopback=True) == []


def test_every_invalid_hostname_is_named() -> None:
    names = ["db.io", "db.io", "10.0.0.1", "::1", "DB.io", "x" * 64 + ".io"]
    spec = parent(hostnames=names, disabledIPs=["10.0.0.2", "2001:DB8::1", "db.io"]).spec
    wish = "write a DNS name in lower case, such as db.example.com: no wildcard, port or final dot"
    assert address_problems(spec, loopback=False) == [
        "spec.hostnames[1]: Duplicate value: db.io: remove one",
        "spec.hostnames[2]: an IP address: write it in spec.ips",
        "spec.hostnames[3]: an IP address: write it in spec.ips",
        f"spec.hostnames[4]: {wish}",
        "spec.hostnames[5]: a part between dots is longer than 63: DNS knows no such name",
        "spec.disabledIPs[1]: 2001:DB8::1 is not in canonical form: write 2001:db8::1",
        'spec.disabledIPs[2]: "db.io" is not an IP address: write one like 10.0.100.10 or 2001:db8::10',
    ]


def test_shown_values_are_short_and_escaped() -> None:
    assert shown("a\nb") == r'"a\nb"'
    assert shown("x" * 100) == "100 characters"
    assert shown(None) == "null"
    assert shown(True) == "true"
    assert shown([1, 2]) == "a list of 2"
    assert shown({"secret": 1}) == "a mapping"
