"""A membership of one, without Leases: on one's own machine, in the playground, wherever no Pod name is given."""

import asyncio
from typing import Any


class Alone:
    """Owns everything, always."""

    joined = True
    problem: str | None = None
    replicas = 1
    renewals = 0
    failures = 0

    def owns(self, key: str) -> bool:
        """Always."""
        return bool(key)

    def check(self) -> None:
        """Nothing depends on time."""

    async def run(self) -> None:
        """Nothing to do until cancelled."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """No other replica waits for it."""

    def shown(self) -> dict[str, Any]:
        """For the status page."""
        return {"working": True}
