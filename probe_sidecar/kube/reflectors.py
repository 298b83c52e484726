"""One copy of all objects of a resource in some namespaces, or in all: a Reflector for each, seen as one.

Rights by Roles allow no LIST across namespaces, so each namespace is listed and watched by itself.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from probe_sidecar.kube.client import KubeClient, Object, Resource, Selection
from probe_sidecar.kube.documents import Unreadable
from probe_sidecar.kube.reflector import Reflector

OnChange = Callable[[Mapping[str, Object], frozenset[str], bool], None]


FAILING_SECONDS = 60.0


class Reflectors:
    """Calls `on_change(objects by uid, uids that came, changed or vanished, first)` after every change in a namespace.

    `objects` are those of that namespace, `first` is true for its first LIST. No `namespaces` means all of them, with
    one watch. `labels` is a label selector. `each` is for those who count.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        on_change: OnChange,
        *,
        namespaces: Sequence[str] = (),
        labels: str = "",
    ) -> None:
        self._on_change = on_change
        self._listed: set[str | None] = set()
        self._places: Sequence[str | None] = tuple(namespaces) or (None,)
        self.each = tuple(
            Reflector(client, Selection(resource, place, labels), partial(self._changed, place))
            for place in self._places
        )

    def get(self, uid: str) -> Object | None:
        """An object as last seen."""
        return next((one.objects[uid] for one in self.each if uid in one.objects), None)

    def uids(self) -> Iterator[str]:
        """Of all that is there, as last seen."""
        return chain.from_iterable(one.objects for one in self.each)

    @property
    def unlisted(self) -> str | None:
        """Namespaces without a successful LIST yet, or "all namespaces"; None if there are none."""
        missing = [place for place, one in zip(self._places, self.each, strict=True) if not one.synced]
        return ", ".join(place or "all namespaces" for place in missing) or None

    @property
    def failing(self) -> str | None:
        """Error of LISTs that have failed for FAILING_SECONDS; None if there is none."""
        problems = (one.list_problem for one in self.each if one.silence > FAILING_SECONDS)
        return next(filter(None, problems), None)

    @property
    def unreadable(self) -> list[Unreadable]:
        """Objects that cannot be read and are not worked for, or only by what they were before."""
        return [problem for one in self.each for problem in one.unreadable.values()]

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self.each:
                group.create_task(one.run())

    def _changed(self, place: str | None, objects: Mapping[str, Object], changed: frozenset[str]) -> None:
        first = place not in self._listed
        self._listed.add(place)
        self._on_change(objects, changed, first)
