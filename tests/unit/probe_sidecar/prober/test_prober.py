"""The one timer of the schedule, on a loop whose time the test moves."""

from typing import Any

from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.suspected_outage import SuspectedOutage
from probe_sidecar.prober.targets import Surroundings
from tests.unit.probe_sidecar.prober.rig import HandLoop, Subject
from tests.unit.probe_sidecar.prober.test_targets import OK, ScriptedEngine


class Rig:
    def __init__(self) -> None:
        self.loop, self.engine, self.looked = HandLoop(now=0.0), ScriptedEngine(), list[int]()
        engine: Any = self.engine
        outage = SuspectedOutage(
            self.loop.loop, engine, [], hold=0, canary=None, now=lambda: "now", on_change=lambda: None
        )
        self.prober = Prober(self.loop.loop, engine, outage, phase=0.0, before_tick=self.look)

    def look(self) -> None:
        self.looked.append(len(self.engine.started))

    def probe(self, ip: str, *, period: int = 10, since: float | None = None) -> None:
        surroundings = Surroundings(self.prober, self.loop.time, lambda: "now", AddressPolicy())
        fields: dict[str, Any] = {"port": 80, "ips": [ip]}
        fields["readinessProbe"] = {"tcpSocket": {"port": 80}, "periodSeconds": period}
        Subject(surroundings).apply(ExternalServiceSpec.model_validate(fields), {}, spread_since=since)


def test_timer_is_rearmed_after_the_lease_check() -> None:
    rig = Rig()
    rig.probe("10.0.0.1")
    rig.loop.fire()
    rig.engine.finish("10.0.0.1", OK)
    assert rig.loop.armed() == [10.0]
    rig.loop.fire()
    assert (rig.looked, rig.engine.started, rig.loop.armed()) == ([0, 1], ["10.0.0.1"] * 2, [20.0])


def test_overdue_is_the_delay_of_the_schedule() -> None:
    rig = Rig()
    assert rig.prober.overdue() == 0.0
    rig.probe("10.0.0.1")
    assert rig.prober.overdue() == 0.0
    rig.loop.now = 30.0
    assert rig.prober.overdue() == 30.0
