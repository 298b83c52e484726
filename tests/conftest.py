"""Settings of hypothesis for every test, and assertions outside of test files that explain themselves."""

import pytest
from hypothesis import settings

from tests.examples import examples

pytest.register_assert_rewrite("tests.until")

# No deadline: a busy machine would fail the test.
settings.register_profile("examples", deadline=None, max_examples=examples(50))
settings.load_profile("examples")
