"""Lines for logs: each event once, with the numbers behind a verdict, and nothing that a terminal would obey."""

import io

from controlplane.view.plain import HEARTBEAT, PlainLines
from tests.controlplane.view.scenes import analyzing, plan, rolled_back


class Hands:
    """A clock that stands where it is put."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_the_story_of_a_rollback_in_lines() -> None:
    rollout, _, now = rolled_back()
    stream = io.StringIO()
    lines = PlainLines(stream, plan(), now=Hands(now))
    for event in (*rollout.history, *rollout.history):  # told again after a retry, with the same ids
        lines.event(event)
    assert stream.getvalue() == (
        "    0.0 s    0 %  ◌ phase    support-llm: 5 % → 25 % → 75 % → 100 %.\n"
        "    0.1 s    0 %  ◌ phase    Starting bf16 (stable) and nf4 (canary).\n"
        "  660.0 s   25 %  ◑ phase    Stage 1 passed all 4 gates. Giving 25 % of the traffic to nf4.\n"
        "  660.0 s   25 %  ◑ weights  Asking for 25 % of the traffic on the canary.\n"
        "  660.4 s   25 %  ◑ phase    nf4 gets 25 %, judged by 4 gates for at least 10 min.\n"
        "  702.0 s   25 %  ✔ pass     95 % of answers within 91 ms, 200 ms allowed.\n"
        "  913.0 s   25 %  ✖ fail     12 % of answers failed, 1 % allowed; stable 0.11 %.\n"
        "  913.0 s   25 %  ✖ phase    error_rate <= 1% failed: 12 % of answers failed, 1 % allowed; stable 0.11 %. "
        "Everything goes back to stable.\n"
        "  913.0 s    0 %  ◑ weights  Asking for 0 % of the traffic on the canary.\n"
        "  913.1 s    0 %  ✖ phase    All traffic is on bf16 again, 0.1 s after the decision.\n"
        "  913.1 s    0 %  ✖ end      rolled back; verdict to no traffic 84 ms; "
        "answered: 60,000 on stable, 9,000 on canary; lost by shifts: 0\n"
    )


def test_when_nothing_happens_for_long_a_line_says_what_is_waited_for() -> None:
    rollout, seen, now = analyzing()
    stream, hands = io.StringIO(), Hands(now)
    lines = PlainLines(stream, plan(), now=hands)
    lines.update(rollout, seen)
    assert stream.getvalue() == ""
    hands.now += HEARTBEAT
    lines.update(rollout, seen)
    lines.update(rollout, seen)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("  942.0 s   25 %  ◌ waiting for 5.3 min more of this stage's hold; ttft p95")


def test_a_stream_that_writes_only_ascii_gets_only_ascii() -> None:
    rollout, _, now = rolled_back()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    lines = PlainLines(stream, plan(), now=Hands(now))
    lines.say("an arrow → from outside \x1b[31m")
    lines.event(rollout.history[5])
    stream.seek(0)
    assert stream.read().splitlines()[0] == "an arrow ? from outside"
