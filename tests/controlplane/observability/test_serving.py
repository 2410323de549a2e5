"""Totals of the traffic through our own Envoy: they only grow, whatever restarts, and go with their folder."""

import math
import shutil
from pathlib import Path

import pytest

from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec
from controlplane.observability.serving import FILE, MOST_REPLICAS, ServingRecord, Version, read_served

PLAN = CanarySpec.model_validate(
    {
        "model": {"name": "chat"},
        "stable": {"name": "v1"},
        "canary": {"name": "v2"},
        "stages": [{"traffic": 1.0}],
    }
)


class Clock:
    t = 100.0

    def __call__(self) -> float:
        return self.t


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reading(at: float, **pods: PodCounters) -> Counters:
    return Counters(at, {"stable": pods})


def pod(requests: float, errors: float = 0, tokens: float | None = None) -> PodCounters:
    totals = {} if tokens is None else {"prompt_tokens": tokens, "generation_tokens": 4 * tokens}
    return PodCounters(requests, errors, {"latency": {0.05: requests / 2, 0.07: requests, math.inf: requests}}, totals)


def record(folder: Path, clock: Clock) -> ServingRecord:
    return ServingRecord(folder, clock, "rollout", PLAN)


def version(folder: Path, name: str = "v1") -> Version:
    served = read_served(folder)
    assert served is not None
    assert served.model == "chat"
    return served.versions[name]


def test_totals_grow_by_what_is_new(tmp_path: Path, clock: Clock) -> None:
    totals = record(tmp_path, clock)
    totals.note(reading(1, a=pod(100, 5, 10)))
    clock.t += 1
    totals.note(reading(2, a=pod(150, 6, 20)))
    assert version(tmp_path) == Version(150, 6, {0.05: 75, math.inf: 150}, {"input": 20, "output": 80})


def test_a_server_that_begins_again_takes_nothing_away(tmp_path: Path, clock: Clock) -> None:
    totals = record(tmp_path, clock)
    totals.note(reading(1, a=pod(100, 5, 10)))
    clock.t += 1
    totals.note(reading(2, a=pod(30, 1, 2)))
    assert version(tmp_path) == Version(130, 6, {0.05: 65, math.inf: 130}, {"input": 12, "output": 48})


def test_a_run_that_begins_again_counts_nothing_twice(tmp_path: Path, clock: Clock) -> None:
    """Envoy has served on meanwhile."""
    record(tmp_path, clock).note(reading(1, a=pod(100)))
    record(tmp_path, clock).note(reading(9, a=pod(140)))
    assert version(tmp_path).requests == 140


def test_a_series_that_is_missing_for_once_is_not_counted_again(tmp_path: Path, clock: Clock) -> None:
    totals = record(tmp_path, clock)
    for at, counters in enumerate((pod(100, 5, 10), PodCounters(), pod(120, 5, 12))):
        clock.t += 1
        totals.note(reading(at, a=counters))
    assert version(tmp_path) == Version(120, 5, {0.05: 60, math.inf: 120}, {"input": 12, "output": 48})


def test_the_same_reading_twice_is_one(tmp_path: Path, clock: Clock) -> None:
    totals, counters = record(tmp_path, clock), reading(1, a=pod(100))
    for _ in range(3):
        clock.t += 1
        totals.note(counters)
    assert version(tmp_path).requests == 100


def test_replicas_come_and_go_and_the_memory_stays_small(tmp_path: Path, clock: Clock) -> None:
    totals = record(tmp_path, clock)
    for number in range(3 * MOST_REPLICAS):
        clock.t += 1
        totals.note(reading(number, **{f"r{number}": pod(10)}))
    served = read_served(tmp_path)
    assert served is not None
    assert len(served.replicas) == MOST_REPLICAS
    assert version(tmp_path).requests == 30 * MOST_REPLICAS


def test_it_goes_with_the_folder_and_damage_begins_anew(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    record(folder, clock).note(reading(1, a=pod(100)))
    (folder / FILE).write_text('{"model": ')
    assert read_served(folder) is None
    record(folder, clock).note(reading(2, a=pod(7)))
    assert version(folder).requests == 7
    shutil.rmtree(folder)
    clock.t += 1
    totals = record(folder, clock)
    totals.note(reading(3, a=pod(9)))
    assert read_served(folder) is None, "a folder that was removed is not made again, and nothing is raised"
