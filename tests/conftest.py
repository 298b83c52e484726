"""What holds for every test."""

from hypothesis import settings

# No test is a stopwatch: hypothesis would fail one because the machine was busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
