"""Programs that a test needs: without one it is skipped with the reason, or fails where CI requires it."""

import os
from typing import NoReturn

import pytest


def cannot_run(why: object, required: str = "E2E_REQUIRED") -> NoReturn:
    """Skips with the reason; fails if the environment variable `required` is set."""
    if os.environ.get(required):
        pytest.fail(f"{required} is set, and this cannot run: {why}", pytrace=False)
    pytest.skip(str(why))
