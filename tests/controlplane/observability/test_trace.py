"""A rollout as a trace, made from histories that the real machine wrote."""

from collections.abc import Sequence

import pytest

from canary.rollout import Event
from controlplane.observability.trace import span_id, span_of, spans, trace_id, trace_of
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.simulation.plans import TINY_PLAN


@pytest.fixture(scope="module")
def rolled_back() -> Sequence[Event]:
    return simulate(TINY_PLAN, SCENARIOS["errors-x20"], seed=1).events


@pytest.fixture(scope="module")
def promoted() -> Sequence[Event]:
    return simulate(TINY_PLAN, SCENARIOS["healthy"], seed=1).events


def test_a_promotion_is_its_stages_each_with_a_shift_and_an_analysis(promoted: Sequence[Event]) -> None:
    root, *others = spans(promoted)
    stages = [span for span in others if span.name.startswith("stage ")]
    assert [span.name for span in stages] == [f"stage {number + 1}" for number in range(len(TINY_PLAN.spec.stages))]
    assert all(span.parent == root.key for span in stages)
    for stage in stages[:-1]:
        assert [span.name for span in others if span.parent == stage.key] == ["shift", "analysis"]
    assert (root.failed, root.attributes["serinus.result"]) == ("", "promoted")


def test_spans_lie_within_their_parents_and_have_all_ended(rolled_back: Sequence[Event]) -> None:
    found = {span.key: span for span in spans(rolled_back)}
    for span in found.values():
        assert span.ended is not None
        assert span.began <= span.ended
        if span.parent:
            parent = found[span.parent]
            assert parent.ended is not None
            assert parent.began <= span.began
            assert span.ended <= parent.ended


def test_a_rollback_is_an_error_with_its_sentence_and_its_times(rolled_back: Sequence[Event]) -> None:
    root, *others = spans(rolled_back)
    (back,) = (span for span in others if span.name == "rollback")
    why = next(event for event in rolled_back if event.phase == "RollingBack")
    assert back.failed == why.message
    assert root.failed
    assert root.attributes["serinus.decided"] == back.began
    verdicts = [point for span in others for point in span.points if point.name == "verdict"]
    assert any(point.attributes["serinus.verdict"] == "fail" for point in verdicts)


def test_while_it_runs_what_is_over_has_ended_and_the_rest_has_not(promoted: Sequence[Event]) -> None:
    half = promoted[: len(promoted) // 2]
    now, then = spans(half), {span.key: span for span in spans(promoted)}
    assert now[0].ended is None
    assert any(span.ended is not None for span in now)
    for span in now:
        if span.ended is not None:
            assert (span.began, span.ended, span.name) == (then[span.key].began, then[span.key].ended, span.name)


def test_a_history_that_is_cut_off_names_the_same_spans(promoted: Sequence[Event]) -> None:
    """An operator remembers the newest events only."""
    whole = {span.key for span in spans(promoted)}
    late = spans(promoted[5:])
    assert {span.key for span in late if span.name in {"shift", "analysis", "watch"}} <= whole
    assert late[0].began == pytest.approx(spans(promoted)[0].began)


def test_ids_are_the_same_for_ever_and_different_for_others(promoted: Sequence[Event]) -> None:
    traces = {trace_of(event) for event in promoted}
    assert len(traces) == 1
    (trace,) = traces
    first = promoted[0]
    assert trace == trace_id(first.rollout, 1, first.at)
    others = {
        trace_id(first.rollout, 2, first.at),
        trace_id("x", 1, first.at),
        trace_id(first.rollout, 1, first.at + 9),
    }
    assert len({trace, trace_of(first, "models"), *others}) == 5
    assert len(trace) == 32
    keys = [span.key for span in spans(promoted)]
    assert len({span_id(trace, key) for key in keys}) == len(keys)
    assert span_of(first) in {span_id(trace, key) for key in keys}


def test_nothing_is_made_of_nothing() -> None:
    assert spans([]) == []
