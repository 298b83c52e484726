"""Status writers of many objects, each with an ExternalService that the test speaks for."""

from collections.abc import Callable

from probe_sidecar.kube.documents import Object
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.writer import StatusWriter


class Subject:
    """One ExternalService."""

    def __init__(self, uid: str, writers: "Writers") -> None:
        self.uid = uid
        self._writers = writers

    @property
    def probing(self) -> bool:
        return self.uid in self._writers.probing

    def wanted(self, raw: Object) -> Object | None:
        return self._writers.wanted(raw)

    def written(self, before: Object, after: Object) -> None:
        self._writers.on_written(before, after)

    def superseded(self, raw: Object) -> None:
        self._writers.on_superseded(raw)


class Writers:
    """`wanted` gives the status of each; `probing` are the uids with a probe in flight."""

    def __init__(
        self,
        publisher: StatusPublisher,
        wanted: Callable[[Object], Object | None],
        *,
        on_written: Callable[[Object, Object], None] = lambda *_: None,
        on_superseded: Callable[[Object], None] = lambda _: None,
    ) -> None:
        self.wanted = wanted
        self.on_written = on_written
        self.on_superseded = on_superseded
        self.probing: set[str] = set()
        self._publisher = publisher
        self._writers: dict[str, StatusWriter] = {}

    def observe(self, uid: str, raw: Object | None) -> None:
        """Version of an object in the watch; None: it is gone."""
        if raw is None:
            writer = self._writers.pop(uid, None)
            if writer is not None:
                writer.close()
        elif uid in self._writers:
            self._writers[uid].observe(raw)
        else:
            self._writers[uid] = StatusWriter(self._publisher, Subject(uid, self), raw)
            self._writers[uid].mark()

    def wake(self, uid: str) -> None:
        """Something that `wanted` depends on has changed."""
        if uid in self._writers:
            self._writers[uid].mark()
