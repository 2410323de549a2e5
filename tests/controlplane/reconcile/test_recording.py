"""Which looks are worth a frame."""

from dataclasses import replace

from canary.frame import Frame, Looked
from canary.rollout import Decision, Rollout
from canary.snapshot import Counters, MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.weights import ALL_STABLE
from controlplane.adapters.memory_store import MemoryStore
from controlplane.reconcile.recording import Recording
from tests.canary.rollouts import a_rollout


class Store(MemoryStore):
    """Keeps what it is given to record."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Frame] = []

    def record(self, frame: Frame) -> None:
        self.given.append(frame)


def seen(at: float, counted: float = 0.0) -> Snapshot:
    ready = VariantStatus(at, 1, 1)
    return Snapshot(ready, ready, RouteStatus(at, ALL_STABLE), MetricsStatus(at, Counters(counted, {})))


def after(rollout: Rollout) -> Decision:
    return Decision(rollout, (), 0.0)


def test_facts_that_only_grew_younger_are_no_news() -> None:
    store, rollout = Store(), a_rollout()
    recording = Recording(store)
    for at in (1.0, 1.25, 1.5):
        recording.looked(rollout, seen(at), after(rollout), at)
    assert store.given == [Looked(1.0, seen(1.0))]


def test_new_totals_and_new_facts_are() -> None:
    store, rollout = Store(), a_rollout()
    recording = Recording(store)
    lost = replace(seen(3.0, 1.0), canary=VariantStatus(3.0, 1, 0, "exit status 1"))
    for at, each in ((1.0, seen(1.0)), (2.0, seen(2.0, 1.0)), (3.0, lost)):
        recording.looked(rollout, each, after(rollout), at)
    assert [frame.at for frame in store.given] == [1.0, 2.0, 3.0]


def test_what_time_alone_decided_is() -> None:
    store, rollout = Store(), a_rollout()
    recording = Recording(store)
    recording.looked(rollout, seen(1.0), after(rollout), 1.0)
    recording.looked(rollout, seen(2.0), after(replace(rollout, stage=1)), 2.0)
    assert [frame.at for frame in store.given] == [1.0, 2.0]
