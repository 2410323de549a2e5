"""A gate's card: intervals in words, what is gathered and needed, and the owner's query as it is asked."""

from dataclasses import replace

import pytest

from canary.judge.confidence_sequence import Interval
from canary.spec.models import CanarySpec, Gate
from canary.weights import Arm
from controlplane.readmodel.gate_view import GateView, gate_view
from controlplane.readmodel.promql import cluster_graphs
from controlplane.readmodel.rollout_view import RolloutView
from controlplane.view.gates import gate_rows
from tests.controlplane.view import scenes

ROLLOUT, SEEN, _ = scenes.analyzing()
OWN = Gate(
    text="queue <= 5",
    metric="queue",
    comparison="max",
    limit=5.0,
    better="lower",
    query="avg by (variant) (queue_size[$window])",
    window=30.0,
)


def view(text: str, *, rate: float | None = None, band: dict[Arm, Interval] | None = None) -> GateView:
    spec = scenes.plan()
    looked = RolloutView(ROLLOUT, SEEN, running=True, looked_at=0.0, rates={"canary": rate} if rate is not None else {})
    row = next(row for row in gate_rows(spec, ROLLOUT) if row.gate == text)
    return gate_view(row, looked, spec, band or {})


def test_an_interval_is_told_in_the_gates_unit() -> None:
    shown = view(scenes.LATENCY.text, band={"canary": (0.088, 0.0953)})
    assert shown.bands["canary"].text == "88 ms to 95.3 ms"
    assert "stable" not in shown.bands


def test_what_is_needed_follows_from_the_rate_and_is_unknown_without_one() -> None:
    """2 400 gathered and 180 s more at 10 a second."""
    assert view(scenes.TTFT.text, rate=10.0).needed.value == pytest.approx(4200)
    assert view(scenes.TTFT.text, rate=10.0).gathered == (
        "Samples: 31,200 on stable, 2,400 on canary · about 4,200 needed on canary · about 3 min more · "
        "too little data so far"
    )
    assert view(scenes.TTFT.text).needed.value is None
    assert (
        view(scenes.LATENCY.text, rate=10.0).gathered == "Samples: 31,200 on stable, 9,013 on canary · rule: sequential"
    )
    assert view(scenes.ERRORS.text).gathered.startswith("Samples: none yet")


def spec_with(prometheus: str | None) -> CanarySpec:
    plan = scenes.plan()
    stages = tuple(stage.model_copy(update={"gates": (OWN,)}) for stage in plan.stages)
    kserve = {} if prometheus is None else {"kserve": {"prometheus": prometheus}}
    dumped = plan.model_dump(by_alias=True, exclude_defaults=True)
    return CanarySpec.model_validate({**dumped, "stages": stages, "platform": kserve or {"local": {}}})


def test_an_own_query_is_shown_as_it_is_asked_with_a_link_where_a_browser_gets_there() -> None:
    for prometheus, link in (
        ("https://prometheus.example.com/", "https://prometheus.example.com/graph?g0.expr=avg+by+%28variant%29"),
        (None, ""),
    ):
        spec = spec_with(prometheus)
        row = next(iter(gate_rows(spec, replace(ROLLOUT, verdicts=()))))
        graphs = cluster_graphs(spec, "models", "support-llm", "")
        shown = gate_view(row, RolloutView(ROLLOUT, SEEN, running=True, looked_at=0.0, graphs=graphs), spec, {})
        assert shown.query == "avg by (variant) (queue_size[30000ms])"
        assert shown.query_link.startswith(link)
        assert bool(shown.query_link) is bool(link)
    assert view(scenes.LATENCY.text).query == ""
