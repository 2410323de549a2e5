"""A small virtual service for tests: three pods an arm, 200 independent requests a second."""

from numpy.random import default_rng

from controlplane.simulation import shape
from controlplane.simulation.faults import Faults, Timeline
from controlplane.simulation.levels import Levels
from controlplane.simulation.noise import NOISES
from controlplane.simulation.regression import Regression
from controlplane.simulation.service import Service
from controlplane.simulation.traffic import Fleet, Traffic

LEVELS = Levels(0.005, {"latency": 0.06}, {"latency": shape.bounds_around(0.06, set())}, {}, frozenset(), {}, ())


def service(faults: Faults | None = None, warmup: float = 0.0) -> Service:
    """Three pods an arm, 200 requests a second, independent."""
    users = Traffic(
        default_rng(1),
        NOISES["iid"],
        LEVELS,
        Fleet.of({"stable": 3, "canary": 3}),
        rps=200.0,
        flaw=Regression(),
        period=21600.0,
        leak=7200.0,
    )
    timeline = Timeline(length=1000.0, interval=5.0)
    return Service(default_rng(2), users, faults or Faults(), timeline, warmup=warmup, deadline=600.0)
