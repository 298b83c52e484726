"""Each change of what is published in the namespace of a world."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from playground.client import ENDPOINTS, readiness
from playground.composite.informer import Informer
from tests.e2e.world import World
from tests.until import beside

Object = dict[str, Any]


@contextlib.asynccontextmanager
async def following(world: World, tell: Callable[[str, bool | None], None]) -> AsyncIterator[None]:
    """Calls `tell(ip, ready)` for each change of an address in Endpoints; None: it is not in them any more."""

    def observe(old: Object | None, new: Object | None) -> None:
        if (new or old or {})["metadata"]["namespace"] != world.namespace:
            return
        before, after = (readiness(one) if one else {} for one in (old, new))
        for ip in before.keys() | after.keys():
            if before.get(ip) is not after.get(ip):
                tell(ip, after.get(ip))

    informer = Informer(world.client, ENDPOINTS, observe)
    async with beside(informer.run()):
        await informer.synced.wait()
        yield
