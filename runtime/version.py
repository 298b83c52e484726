"""The version, which pyproject.toml declares."""

from importlib.metadata import version

VERSION = version("external-service-operator")
