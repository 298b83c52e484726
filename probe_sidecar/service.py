"""One ExternalService at work: its spec, probed addresses, hostnames, problems, and the writer of its status."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from external_service.admission import Features, switched_off
from external_service.invalid import explain
from external_service.readiness import publication
from external_service.v1alpha1 import ChildProblem, ExternalService, ExternalServiceSpec
from probe_sidecar.events import EventRecorder, notes
from probe_sidecar.hostnames.cache import NameCache
from probe_sidecar.hostnames.hostnames import Hostnames
from probe_sidecar.kube.documents import Object
from probe_sidecar.prober.outage import SuspectedOutage
from probe_sidecar.prober.sticky import StickyReason
from probe_sidecar.prober.targets import Surroundings, Targets
from probe_sidecar.probes.prepare import Referenced
from probe_sidecar.references import Parts, References, references
from probe_sidecar.status.conditions import Finding, Problems
from probe_sidecar.status.desired import desired_status, rejected_status
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status.stored import StoredStatus, stored_status
from probe_sidecar.status.summary import child_summary
from probe_sidecar.status.writer import StatusWriter
from runtime.logs import about

log = logging.getLogger(__name__)

DELAY_SECONDS: Final = 300.0
"""So long all has to go well before ProbesDelayed ends: a prober at its limit then costs two writes of a status in that
time, not one a probe (R3)."""

CHILD_SECONDS: Final = 2.0
"""A report of the hook's in `.status.children` that ends within this time changes nothing: the hook compares what it
wants with Metacontroller's caches, where a child that was just created or is being replaced can be absent for a moment.
"""

NO_GENERATION: Final = object()
"""No generation yet."""

Reports = tuple[ChildProblem, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """Parts that all ExternalServices of this process share. `owns(uid)` says whether this replica owns one at this
    moment.
    """

    loop: asyncio.AbstractEventLoop
    surroundings: Surroundings
    outage: SuspectedOutage
    names: NameCache
    references: References
    publisher: StatusPublisher
    events: EventRecorder | None
    owns: Callable[[str], bool]
    features: Features


@dataclass(eq=False)
class ChildReports:
    """The reports on one ExternalService. `wake` is called when a report has lasted long enough."""

    loop: asyncio.AbstractEventLoop
    wake: Callable[[], None]
    _lasting: Reports = ()
    _pending: Reports = ()
    _timer: asyncio.TimerHandle | None = None

    def lasting(self, stored: StoredStatus) -> Reports:
        """The reports to act on for this status as read.

        A report that the stored summary names already has lasted: a restart changes nothing (R6).
        """
        reports = stored.children
        if reports != self._pending:
            self.close()
        if not reports or reports == self._lasting or stored.summary == child_summary(reports[0]):
            self._lasting = reports
        elif not self._pending:
            self._pending = reports
            self._timer = self.loop.call_later(CHILD_SECONDS, self._hold_over)
        return self._lasting

    def close(self) -> None:
        """Wait for nothing any more."""
        self._pending = ()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hold_over(self) -> None:
        self._lasting, self._pending, self._timer = self._pending, (), None
        self.wake()


class Service:
    """Works from its construction until `close`. `raw` is the object as read.

    `spec` is None while it cannot be read; `problem` then says why. With `spread_since` (when a process start or a
    takeover began) its first probes are spread over one period from then.
    """

    def __init__(self, shared: Shared, raw: Object, *, spread_since: float | None = None) -> None:
        metadata = raw["metadata"]
        self.uid: str = metadata["uid"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.full_name = f"{self.namespace}/{self.name}"
        self.spec: ExternalServiceSpec | None = None
        self.problem = ""
        self.delay = StickyReason(shared.loop, DELAY_SECONDS, self.wake)
        self.hostnames = Hostnames(
            shared.loop, shared.names, self._serves, self._hostnames_changed, namespace=self.namespace
        )
        self.targets = Targets(shared.surroundings, self, self.full_name)
        self._shared = shared
        self._generation: object = NO_GENERATION
        self.referenced: Referenced | str = Referenced()
        self._references: tuple[Parts, ...] = ()
        self._children = ChildReports(shared.loop, self.wake)
        self._writer = StatusWriter(shared.publisher, self, raw)
        self.observe(raw, spread_since=spread_since)
        self.wake()

    def observe(self, raw: Object, *, spread_since: float | None = None) -> None:
        """The watch shows this version of the object."""
        generation = raw["metadata"].get("generation")
        if generation != self._generation:
            self._read(raw, generation)
        if self.spec is None:
            self._stop()
        else:
            self._work(self.spec, StoredStatus.read(raw), spread_since)
        self._writer.observe(raw)

    def wake(self) -> None:
        """Something that the status depends on may have changed."""
        self._writer.mark()

    def close(self) -> None:
        """Stop all work: the object is gone, or owned by another replica."""
        self._stop()
        self.delay.close()
        self._children.close()
        self._writer.close()

    @property
    def summary(self) -> str:
        """The summary in the status as last seen; empty before the first."""
        return str(stored_status(self._writer.stored).get("summary", ""))

    @property
    def failing_open(self) -> bool:
        """Whether too few addresses are ready for `spec.minReady`."""
        spec, policy = self.spec, self._shared.surroundings.policy
        if spec is None or spec.minReady == 0:
            return False
        return publication(spec, self.targets.states, policy, self.hostnames.addresses).failing_open

    # Interface for the writer.

    @property
    def probing(self) -> bool:
        """Whether a probe is in flight."""
        return self.targets.probing

    def wanted(self, raw: Object) -> Object | None:
        """The whole wanted status of the object as read; None if another replica owns it, or it is newer than the watch
        has shown.
        """
        if self._generation != raw["metadata"].get("generation") or not self._shared.owns(self.uid):
            return None
        shared, stored = self._shared, StoredStatus.read(raw)
        now, policy = shared.surroundings.now(), shared.surroundings.policy
        if self.spec is None:
            return rejected_status(stored, self.problem, now)
        self.targets.inherit(stored.probed())
        found = self.hostnames.report()
        longest, probe = shared.surroundings.longest_timeout, self.spec.readinessProbe
        problems = Problems(
            shortened_timeout=longest if probe is not None and probe.timeoutSeconds > longest else 0,
            children=self._children.lasting(stored),
            reference=shared.references.problem(self._references),
            delay=self.delay.text,
            outage=shared.outage.text if shared.outage.guard.suspected or stored.suspected_outage else "",
            resolution=None if found is None else Finding("Resolved", *found),
        )
        hostnames = self.hostnames.addresses
        return desired_status(
            stored, self.spec, self.targets.states, policy, now, hostnames=hostnames, problems=problems
        )

    def written(self, before: Object, after: Object) -> None:
        """A status with new content was written."""
        if self._shared.events is not None:
            self._shared.events.record(after, notes(before.get("status"), after.get("status")))

    def superseded(self, raw: Object) -> None:
        """Another writer has written a newer status than all seen by this one."""
        self.targets.yield_to(StoredStatus.read(raw).probed())

    # What targets, hostnames and references report.

    def changed(self) -> None:
        """The state of an address has changed, or an address has come or gone."""
        self.hostnames.readiness_changed()  # first: an address that comes and one that goes are one write
        self.wake()

    def delayed(self, reason: str) -> None:
        """A probe was not made when it was due, for a reason of the prober's own."""
        self.delay.note(reason)

    def reference_changed(self) -> None:
        """Something that the probe names in a ConfigMap or Secret, or what is wrong with it, has changed."""
        self.referenced = self._shared.references.referenced(self._references)
        self.targets.renew()
        self.wake()

    def _hostnames_changed(self) -> None:
        if self.spec is not None:
            self.targets.apply(self.spec, {}, self.hostnames.addresses)
            self.wake()

    def _serves(self, ip: str) -> bool:
        """Whether an address is published as ready, fail open aside."""
        spec = self.spec
        if spec is None or ip in spec.disabled or self._shared.surroundings.policy.refusal(ip) is not None:
            return False
        target = self.targets.get(ip)
        return spec.readinessProbe is None or (target is not None and target.state.healthy)

    def _read(self, raw: Object, generation: object) -> None:
        """Parse the spec, once for each generation of it."""
        self._generation = generation
        spec: ExternalServiceSpec | None = None
        try:
            spec = parsed(raw).spec
            problems = switched_off(spec, self._shared.features)
        except ValidationError as error:
            problems = explain(error)
        self.spec, self.problem = None if problems else spec, "; ".join(problems)
        if problems:
            log.warning("%s: not probed: %s", self.full_name, self.problem, extra=about(self.full_name))

    def _work(self, spec: ExternalServiceSpec, stored: StoredStatus, spread_since: float | None) -> None:
        self._refer_to(references(self.namespace, spec.readinessProbe))
        self.hostnames.apply(spec, stored.hostnames, hurry=spread_since is None)
        if self.targets.idle and stored.delay:  # by the owner before, or by us before a restart
            self.delay.note(stored.delay)
        probed = stored.probed()
        self.targets.inherit(probed)
        self.targets.apply(spec, probed, self.hostnames.addresses, spread_since=spread_since)

    def _refer_to(self, wanted: tuple[Parts, ...]) -> None:
        before, self._references = self._references, wanted
        if before == wanted:
            return
        for one in wanted:
            self._shared.references.use(one, self.reference_changed)
        for one in before:
            if one not in wanted:
                self._shared.references.drop(one, self.reference_changed)
        self.referenced = self._shared.references.referenced(wanted)

    def _stop(self) -> None:
        self.targets.close()
        self.hostnames.close()
        self._refer_to(())


def parsed(raw: Object) -> ExternalService:
    """The spec and what names the object; the status is read elsewhere, leniently. Raises ValidationError."""
    metadata = raw["metadata"]
    named = {field: metadata[field] for field in ("name", "namespace", "uid", "generation") if field in metadata}
    return ExternalService.model_validate({**raw, "metadata": named, "status": {}})
