"""The API server's rules of syntax for names, hosts and paths: each function says what to write instead, or None.

Sources: kubernetes:staging/src/k8s.io/apimachinery/pkg/util/validation and pkg/apis/networking/validation.
"""

import re

from external_service.cel import DNS_NAME
from external_service.kind import SERVICE_NAME, is_ip
from external_service.v1alpha1 import (
    ADDRESS_AMONG_HOSTNAMES,
    IPV4_LIKE,
    LABEL_TOO_LONG,
    NO_ADDRESS,
    NO_DNS_NAME,
    NO_HOSTNAME,
    NO_PATH,
    NO_ROUTE_PATH,
    NO_SERVICE_NAME,
    ROUTE_PATH,
    UNRESOLVED_PATH,
)

_SUBDOMAIN = re.compile(DNS_NAME)
_SERVICE_NAME = re.compile(SERVICE_NAME)
_IPV4_LIKE = re.compile(IPV4_LIKE)
_LONG_LABEL = re.compile("[^.]{64}")
_UNRESOLVED = re.compile(UNRESOLVED_PATH)
_ROUTE_PATH = re.compile(ROUTE_PATH)


def service_name_problem(name: str) -> str | None:
    """A DNS-1035 label; newer API servers also take a digit in front, the oldest supported (1.31) does not."""
    if len(name) <= 63 and _SERVICE_NAME.fullmatch(name):
        return None
    return NO_SERVICE_NAME


def host_problem(host: str) -> str | None:
    """The host of an Ingress: a DNS-1123 subdomain, `*.` allowed before it, that does not read as an address."""
    if _IPV4_LIKE.fullmatch(host):
        return NO_ADDRESS
    if len(host) <= 253 and _SUBDOMAIN.fullmatch(host.removeprefix("*.")):
        return None
    return NO_DNS_NAME


def hostname_problem(name: str) -> str | None:
    """A name to resolve: a DNS-1123 subdomain that DNS can carry and that does not read as an address."""
    if _IPV4_LIKE.fullmatch(name) or is_ip(name):
        return ADDRESS_AMONG_HOSTNAMES
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        return NO_HOSTNAME
    if _LONG_LABEL.search(name):
        return LABEL_TOO_LONG
    return None


def path_problem(path: str, path_type: str) -> str | None:
    """The path of an Ingress rule. Only ImplementationSpecific may go without, and is not looked into further."""
    if path and not path.startswith("/"):
        return NO_PATH
    if path_type == "ImplementationSpecific":
        return None
    if not path:
        return f'pathType {path_type} needs a path: write "/" for every path'
    if _UNRESOLVED.search(path):
        return f'pathType {path_type} takes no "//", "/./", "/../" or "%2F" in the path: write it resolved'
    return None


def route_path_problem(path: str) -> str | None:
    """The path of an HTTPRoute match, of type Exact or PathPrefix (HTTPPathMatch in the CRD of the Gateway API)."""
    if _ROUTE_PATH.fullmatch(path) and not _UNRESOLVED.search(path):
        return None
    return NO_ROUTE_PATH
