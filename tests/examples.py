"""Number of examples of property-based tests: few in `make test`, EXAMPLES times as many in `make nightly`.

`make nightly` selects these tests by the marker `hypothesis`, which hypothesis sets wherever `@given` is used.
"""

import os

FACTOR = int(os.environ.get("EXAMPLES") or 1)


def examples(count: int) -> int:
    """`count` in `make test`, more where the environment variable EXAMPLES says so."""
    return count * FACTOR
