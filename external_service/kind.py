"""Names of the kind, and what the models share with the CRD, the hook and the prober: limits, patterns, enums."""

from ipaddress import ip_address
from typing import Literal

GROUP = "eso.crowdfox.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ExternalService"
PLURAL = "externalservices"

MAX_ADDRESSES = 1_000
MAX_SUMMARY = 100
MAX_CONDITIONS = 16

SERVICE_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
LABEL = NAMESPACE = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = f"({DNS_NAME}/)?{NAME}"
"""Value and key of a label."""

Family = Literal["IPv4", "IPv6"]
FAMILIES: tuple[Family, ...] = ("IPv4", "IPv6")
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
