"""Parts that both processes need to run: settings, logs, one HTTP server with limits; and those of all commands.

Imports external_service alone. VERSION is the one that pyproject.toml declares.
"""

from importlib.metadata import version

VERSION = version("external-service-operator")
