"""The engine's pace, on a clock that wakes late."""

import random

import pytest

from controlplane.sample import engine as engine_module
from controlplane.sample.engine import SampleEngine
from controlplane.sample.knobs import Knobs
from controlplane.sample.metrics import ServerMetrics
from controlplane.sample.protocol import Chat

LATE = 0.004
CHAT = Chat(prompt_tokens=4, max_tokens=None, stream=True, include_usage=False)


class LateClock:
    """Sleeps as long as it is asked to and four milliseconds more, as an operating system under load does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(engine_module, "_pause", self.pause)

    async def pause(self, seconds: float) -> None:
        if seconds > 0:
            self.now += seconds + LATE

    def engine(self) -> SampleEngine:
        """100 ms to the first of 101 tokens, then 10 ms between two of them."""
        knobs = Knobs(ttft=0.1, itl=0.01, tokens=101, jitter=0.0)
        return SampleEngine(knobs, ServerMetrics("m", 0.0), slots=1, chance=random.Random(1), time=lambda: self.now)


async def test_late_wake_ups_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token is due by the first one: after a hundred of them the answer is late once, not a hundred times."""
    clock = LateClock(monkeypatch)
    engine = clock.engine()
    async with engine.generation(CHAT) as generation:
        await generation.first_token()
        first = clock.now
        for _ in range(100):
            await generation.next_token()
        generation.finish()
    assert first == pytest.approx(0.1 + LATE)
    assert clock.now - first == pytest.approx(100 * 0.01 + LATE)
    assert engine.metrics.generation_tokens == 101


async def test_an_answer_in_one_piece_takes_as_long_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LateClock(monkeypatch)
    engine = clock.engine()
    async with engine.generation(CHAT) as generation:
        await generation.first_token()
        first = clock.now
        await generation.rest()
    assert clock.now - first == pytest.approx(100 * 0.01 + LATE)


async def test_truncated_answers_end_in_the_middle_and_say_that_they_ended_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = LateClock(monkeypatch).engine()
    engine.knobs = engine.knobs.changed({"truncated": 0.25})
    lengths = []
    for _ in range(400):
        async with engine.generation(CHAT) as generation:
            lengths.append(generation.tokens)
            assert generation.finish_reason == "stop"
    assert set(lengths) == {101, 50}
    assert 60 < lengths.count(50) < 140
