"""Both forms of a readiness probe, and what is stored of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import SpecError
from canary.spec import parse, revision
from canary.spec.probe import ReadinessProbe
from canary.spec.stored import from_text, to_text

PLAN = """\
metadata: {{name: a}}
spec:
  model: {{name: m}}
  stable: {{name: v1}}
  canary: {{name: v2{ready}}}
  stages: [{{traffic: 100%}}]
"""


def probe(ready: str) -> ReadinessProbe:
    """As the parser reads it."""
    return parse(PLAN.format(ready=f", ready: {ready}"), "x.yml").spec.canary.ready


def test_a_path_alone_and_a_mapping_say_the_same() -> None:
    assert probe("/up") == probe("{path: /up}") == ReadinessProbe(path="/up")
    assert probe("{timeout: 10s, period: 500ms, failures: 5}") == ReadinessProbe(timeout=10, period=0.5, failures=5)


def test_a_plan_that_says_a_path_keeps_its_revision_and_its_stored_text() -> None:
    """Both are from before there was a mapping."""
    silent, said = (parse(PLAN.format(ready=ready), "x.yml") for ready in ("", ", ready: /up"))
    assert (revision(silent), revision(said)) == ("085bf827581c2e08", "dfd22ae6c826ddd7")
    assert '"ready":"/health"' in to_text(silent)
    assert '"ready":"/up"' in to_text(said)


@pytest.mark.parametrize(
    ("ready", "path", "words"),
    [
        ("up", "spec.canary.ready", "expected a path such as /health"),
        ("{path: up}", "spec.canary.ready.path", "expected a path such as /health"),
        ("{timeout: 5}", "spec.canary.ready.timeout", "5"),
        ("{timeout: 0s}", "spec.canary.ready.timeout", "must be at least 0.1"),
        ("{period: 1h}", "spec.canary.ready.period", "must be at most 300"),
        ("{failures: 0}", "spec.canary.ready.failures", "0"),
        ("{failures: 101}", "spec.canary.ready.failures", "must be at most 100"),
        ("{timeuot: 1s}", "spec.canary.ready.timeuot", 'did you mean "timeout"'),
        ("[/up]", "spec.canary.ready", "expected"),
    ],
)
def test_a_fault_is_said_at_its_place(ready: str, path: str, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        probe(ready)
    assert [fault.path for fault in refused.value.faults] == [path]
    assert words in refused.value.faults[0].message


@given(
    st.builds(
        ReadinessProbe,
        path=st.sampled_from(["/health", "/up"]),
        timeout=st.sampled_from([0.1, 5.0, 300.0]),
        period=st.sampled_from([0.1, 5.0, 300.0]),
        failures=st.sampled_from([1, 3, 100]),
    )
)
def test_a_stored_plan_has_the_same_probe(ready: ReadinessProbe) -> None:
    plan = parse(PLAN.format(ready=""), "x.yml")
    canary = plan.spec.canary.model_copy(update={"ready": ready})
    plan = plan.model_copy(update={"spec": plan.spec.model_copy(update={"canary": canary})})
    assert from_text(to_text(plan)) == plan
    assert revision(from_text(to_text(plan))) == revision(plan)
