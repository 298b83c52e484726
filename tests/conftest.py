"""For every test: settings of hypothesis, assertions outside of test files that explain themselves, and the paths of
helm and promtool.
"""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.chart import binaries
from tests.examples import examples
from tests.required import cannot_run

pytest.register_assert_rewrite("tests.until")

# No deadline: a busy machine would fail the test.
settings.register_profile("examples", deadline=None, max_examples=examples(50))
settings.load_profile("examples")


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
