"""Paths of helm and promtool; a test is skipped where they are not installed."""

from pathlib import Path

import pytest

from tests.chart import binaries
from tests.required import cannot_run


@pytest.fixture(scope="session")
def helm() -> Path:
    try:
        return binaries.helm()
    except binaries.Missing as why:
        cannot_run(why)


@pytest.fixture(scope="session")
def promtool() -> Path:
    try:
        return binaries.promtool()
    except binaries.Missing as why:
        cannot_run(why)
