"""Names of the kind, maximum lengths of its parts, and patterns of its texts.

Declared once, for the models, the CRD, the hook and the prober.
"""

from ipaddress import ip_address
from typing import Literal

from external_service.cel import DNS_NAME

GROUP = "eso.crowdfox.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ExternalService"
PLURAL = "externalservices"
SINGULAR = "externalservice"
SHORT_NAME = "extsvc"

MAX_ADDRESSES = 1_000
MAX_DISABLED = 250
MAX_HOSTNAMES = 16
MAX_HOSTS = 256
MAX_TLS = 16
MAX_PORTS = 16
MAX_PARENTS = 16
MAX_ENTRIES = 64
MAX_MESSAGE = 512
MAX_SUMMARY = 100
MAX_COLUMN = 320
MAX_CHILD_PROBLEMS = 64
MAX_CONDITIONS = 16

SERVICE_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAMESPACE = LABEL
NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = f"({DNS_NAME}/)?{NAME}"
DATA_KEY = "[-._a-zA-Z0-9]+"
OWNER_KIND = "[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?"
HEADER_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
HEADER_VALUE = r"[^\r\n\x00]*"
HOST_HEADER = r"[!-.0-~]*"
STATUS_RANGE = "[2-5][0-9][0-9](-[2-5][0-9][0-9])?"
SHARE = "(100|[0-9]{1,2})%"

Family = Literal["IPv4", "IPv6"]
FAMILIES: tuple[Family, ...] = ("IPv4", "IPv6")
PathType = Literal["Exact", "Prefix", "ImplementationSpecific"]
Reason = Literal["ProbeSucceeded", "ProbeFailed", "Pending", "NoProbe", "Disabled", "Denied"]
NOT_PROBED = "not probed yet"
"""Message of an address with the reason Pending."""

ChildReason = Literal["Absent", "NotListed", "Edited"]
EndpointsForm = Literal["Endpoints", "EndpointSlice", "Both"]
"""The kinds of object in which addresses are published."""

DEFAULT_ENDPOINTS_FORM: EndpointsForm = "Both"

LONGEST_TIMEOUT = 60
"""Seconds of one probe; unless a setting says otherwise, a longer timeoutSeconds counts as this (deviation D14)."""


def family_of(ip: str) -> Family:
    """Of an address as it is written."""
    return "IPv6" if ":" in ip else "IPv4"


def is_ip(text: str) -> bool:
    """Whether it is an IP address, in any form."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def host_port(host: str, port: int | str) -> str:
    """host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
