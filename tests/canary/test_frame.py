"""Frames as text: each says what is new, all of them together say everything."""

import pytest

from canary.frame import Begun, Frame, FrameEncoder, Looked, Restated, frames_of
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot, VariantStatus
from canary.weights import ALL_STABLE
from tests.canary.rollouts import a_rollout

READY = VariantStatus(1.0, 1, 1)


def looked(at: float, counters_at: float) -> Looked:
    pod = PodCounters(7, 1, {"latency": {0.1: 5, float("inf"): 7}}, kpis={"sold": (1, 7)})
    counters = Counters(counters_at, {"stable": {"s-0": pod}})
    return Looked(at, Snapshot(READY, READY, RouteStatus(1.0, ALL_STABLE), MetricsStatus(counters_at, counters)))


def test_what_was_written_is_read_as_it_was() -> None:
    begun = Begun(0.0, "chat", "abc", 1, "{}")
    frames: list[Frame] = [begun, looked(1, 1), looked(2, 1), looked(3, 3), Restated(4.0, a_rollout())]
    write = FrameEncoder()
    assert list(frames_of([write.line(frame) for frame in frames])) == frames


def test_totals_that_are_not_new_are_not_repeated() -> None:
    write = FrameEncoder()
    first, second = write.line(looked(1, 1)), write.line(looked(2, 1))
    assert "latency" in first
    assert second == '{"frame":"looked","at":2,"seen":{}}'


@pytest.mark.parametrize("line", ["{", "[]", '{"frame":"dreamt"}', '{"frame":"looked","at":1,"seen":{}}'])
def test_a_line_that_is_no_frame_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: "):
        list(frames_of(["", line]))
