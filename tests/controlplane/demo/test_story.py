"""The story at the end says what was measured, and also when things did not go as planned."""

from collections import Counter
from dataclasses import replace

from canary.rollout import Event, Phase, Reason, Rollout
from canary.weights import Weights
from controlplane.demo.script import ACTS
from controlplane.demo.story import Counted, Scene, keys_of_the_end, told
from controlplane.sample.load import Stats, VariantStats

HEALTHY, BROKEN = ACTS
END = Event(
    "demo/1/9", 1032.0, 32.0, "demo", "r", "end", Phase.SUCCEEDED, 3, 1.0, Reason.PROMOTED, "v2 is promoted.", seq=9
)
SHIFT = replace(END, id="demo/1/3", event="weights")
PROMOTED = Scene(
    HEALTHY,
    HEALTHY.plan().spec,
    Rollout(
        name="demo",
        revision="r",
        attempt=1,
        began=1000.0,
        phase=Phase.SUCCEEDED,
        passed=(0, 1, 2, 3),
        result="promoted",
        history=(SHIFT, SHIFT, END),
    ),
    Counted(sent=9000, answered=9000),
)
ROLLED_BACK = Scene(
    BROKEN,
    BROKEN.plan().spec,
    Rollout(
        name="demo",
        revision="r",
        attempt=1,
        began=1040.0,
        phase=Phase.ROLLED_BACK,
        peak=Weights.of_share(0.25),
        decided=1052.0,
        zero=1052.021,
        result="rolled_back",
        history=(SHIFT, SHIFT),
    ),
    Counted(sent=4000, answered=4000, failed_by_variant=76, last_to_canary=1051.942),
    harm_at=1048.2,
)
TOTAL = Stats(sent=13_000)


def test_the_whole_story() -> None:
    assert list(told([PROMOTED, ROLLED_BACK], TOTAL, "scraped directly, every 1 s")) == [
        "v2: healthy, 5 % → 25 % → 75 % → 100 %, promoted after 32 s.",
        "v3: harm to verdict 3.8 s, verdict to no traffic 21 ms.",
        "  The last request that reached it was sent 58 ms before the verdict.",
        "  It failed 76 requests by itself while it had up to 25 % of the traffic.",
        "Requests: 13,000 sent; 0 lost by 4 changes of weights.",
        "Metrics: scraped directly, every 1 s.",
    ]


def test_lost_requests_are_said_with_their_kind_and_spoil_the_demo() -> None:
    total = Stats(sent=13_000, lost=Counter({"connection": 2, "503": 1}), unsent=40)
    scene = replace(PROMOTED, counted=Counted(lost=3))
    lines = list(told([scene], total, "Prometheus"))
    assert "Requests: 13,000 sent; 3 (2 connection, 1 503) lost by 2 changes of weights." in lines
    assert "40 more were due while too many others were open, and were not sent." in lines
    assert not scene.as_planned
    assert PROMOTED.as_planned


def test_a_rollout_that_went_otherwise_is_said_as_it_went() -> None:
    unlucky = replace(PROMOTED, rollout=replace(PROMOTED.rollout, result="rolled_back", message="latency p95: …"))
    assert next(iter(told([unlucky], TOTAL, ""))) == "v2: healthy, but rolled_back after 32 s: latency p95: …"
    missed = replace(ROLLED_BACK, rollout=replace(ROLLED_BACK.rollout, decided=None, result="promoted", message="oops"))
    assert next(iter(told([missed], TOTAL, ""))) == "v3: made sick, and promoted: oops"
    assert not unlucky.as_planned
    assert not missed.as_planned


def test_a_request_that_reached_it_after_the_verdict_is_said_too() -> None:
    late = replace(ROLLED_BACK, counted=replace(ROLLED_BACK.counted, last_to_canary=1052.018))
    assert "  The last request that reached it was sent 18 ms after the verdict." in told([late], TOTAL, "")


def test_counts_of_an_act_are_the_difference_of_two_looks() -> None:
    before = Stats(10, {"stable": VariantStats(10)}, Counter({"503": 1}))
    after = Stats(
        30, {"stable": VariantStats(20, 1), "canary": VariantStats(8, 3, last_sent=99.0)}, Counter({"503": 2})
    )
    counted = Counted.between(before, after)
    assert counted == Counted(sent=20, answered=18, failed_by_variant=4, lost=1, last_to_canary=99.0)
    assert keys_of_the_end(counted, 1.5) == {
        "load": {"sent": 20, "answered": 18, "failed_by_variant": 4, "lost": 1},
        "harm_injected": "1970-01-01T00:00:01.500Z",
    }
    assert "harm_injected" not in keys_of_the_end(counted, None)
