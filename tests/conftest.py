"""Settings of hypothesis for every test."""

from hypothesis import settings

from tests.examples import examples

# No deadline: a busy machine would fail the test.
settings.register_profile("examples", deadline=None, max_examples=examples(50))
settings.load_profile("examples")
