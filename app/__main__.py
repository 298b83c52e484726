"""`python -m app` is `external-service hook`."""

import sys

from app.commands import hook
from runtime.commands import run

if __name__ == "__main__":
    sys.exit(run(hook, "python -m app", sys.argv[1:]))
