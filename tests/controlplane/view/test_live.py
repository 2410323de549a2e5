"""The last look and the samples survive the way through their files, stay few, and are in nobody's way."""

import json
from dataclasses import replace
from pathlib import Path

from canary.weights import Weights
from controlplane.view.live import LiveRecord, read_live, read_samples
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import ERRORS_AT_MOST, World, plan
from tests.controlplane.view.scenes import BEGAN, PASSES, WAITS, analyzing


class Clock:
    """Seconds that the test sets."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


def test_the_last_look_comes_back_without_the_totals(tmp_path: Path) -> None:
    """Readiness, route, verdicts and the age of the evidence are what viewers need."""
    rollout, seen, now = analyzing()
    LiveRecord(tmp_path, lambda: now).note(rollout, seen)
    live = read_live(tmp_path, "support-llm")
    assert live is not None
    assert (live.attempt, live.events, live.at, live.verdicts) == (3, 6, now, (PASSES, WAITS))
    assert (live.seen.canary, live.seen.route) == (seen.canary, seen.route)
    assert live.seen.evidence.counters is not None
    assert live.seen.evidence.counters.arms == {}
    assert read_live(tmp_path, "another") is None


def test_a_damaged_or_missing_file_is_no_look(tmp_path: Path) -> None:
    assert read_live(tmp_path, "support-llm") is None
    for text in ("", "{", '{"name": "support-llm"}', "[]", "\x00"):
        (tmp_path / "live.json").write_text(text)
        assert read_live(tmp_path, "support-llm") is None


def test_passes_within_a_second_are_written_once_unless_something_happened(tmp_path: Path) -> None:
    rollout, seen, now = analyzing()
    clock = Clock(now)
    record = LiveRecord(tmp_path, clock.now)
    record.note(rollout, seen)
    clock.at = now + 0.3
    record.note(rollout, seen)
    assert (live := read_live(tmp_path, "support-llm")) is not None
    assert live.at == now
    record.note(replace(rollout, events=7), seen)
    assert (live := read_live(tmp_path, "support-llm")) is not None
    assert live.at == clock.at


def test_samples_get_rarer_with_age(tmp_path: Path) -> None:
    """An hour at one pass a second leaves well under two thousand samples, the first ones a second apart."""
    rollout, seen, _ = analyzing()
    clock = Clock(BEGAN)
    record = LiveRecord(tmp_path, clock.now)
    for second in range(3600):
        clock.at = BEGAN + second
        record.note(rollout, seen)
    samples = read_samples(tmp_path, "support-llm", 3)
    assert [sample["t"] for sample in samples[:3]] == [0, 1, 2]
    assert 1000 < len(samples) < 2000
    assert samples[-1]["gates"][PASSES.gate] == [0.084, 0.091, 0.2]
    assert read_samples(tmp_path, "support-llm", 2) == []


def test_every_change_of_weights_is_sampled_however_short(tmp_path: Path) -> None:
    rollout, seen, now = analyzing()
    clock = Clock(now)
    record = LiveRecord(tmp_path, clock.now)
    for share in (0.05, 0.25, 0.25, 0.0):
        clock.at += 0.02
        record.note(replace(rollout, weights=Weights.of_share(share)), seen)
    assert [sample["asked"] for sample in read_samples(tmp_path, "support-llm", 3)] == [0.05, 0.25, 0.0]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    rollout, seen, now = analyzing()
    LiveRecord(tmp_path, lambda: now).note(rollout, seen)
    file = next(tmp_path.glob("samples-*.jsonl"))
    file.write_text(file.read_text() + '{"t": 913.0, "as\n"text"\n' + json.dumps({"t": None}))
    assert [sample["t"] for sample in read_samples(tmp_path, "support-llm", 3)] == [912.0]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    rollout, seen, now = analyzing()
    LiveRecord(tmp_path / "missing", lambda: now).note(rollout, seen)
    assert list(tmp_path.iterdir()) == []


def test_intervals_are_noted_with_each_look_and_each_sample(tmp_path: Path) -> None:
    """Where the plan is known; a band of both arms around the value that stands beside it."""
    court = Court(plan(ERRORS_AT_MOST, hardStop={"enabled": False}), World(2))
    court.enter(1)
    court.scrapes(12)
    rollout, seen, now = analyzing()
    judged = replace(rollout, judge=court.state, verdicts=court.judgement.gates)
    LiveRecord(tmp_path, lambda: now, court.spec).note(judged, seen)
    live = read_live(tmp_path, "support-llm")
    assert live is not None
    band = live.bands[ERRORS_AT_MOST.text]
    assert set(band) == {"stable", "canary"}
    assert band["canary"][0] <= (court.gate(ERRORS_AT_MOST.text).canary or 0.0) <= band["canary"][1]
    (sample,) = read_samples(tmp_path, "support-llm", 3)
    assert sample["bands"][ERRORS_AT_MOST.text]["canary"] == list(band["canary"])


def test_a_look_of_an_older_release_has_no_intervals(tmp_path: Path) -> None:
    rollout, seen, now = analyzing()
    LiveRecord(tmp_path, lambda: now).note(rollout, seen)
    written = json.loads((tmp_path / "live.json").read_text())
    del written["bands"]
    (tmp_path / "live.json").write_text(json.dumps(written))
    live = read_live(tmp_path, "support-llm")
    assert live is not None
    assert live.bands == {}
