"""Traces over OTLP/HTTP to a real receiver on loopback, which decodes them by OpenTelemetry's own protobuf."""

from collections.abc import Iterator

import pytest

from controlplane.observability.otlp import Otlp, wanted
from controlplane.observability.trace import span_id, spans, trace_of
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.controlplane.observability.collector import Receiver, collecting
from tests.simulation.plans import TINY_PLAN

EVENTS = simulate(TINY_PLAN, SCENARIOS["errors-x20"], seed=1).events


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with collecting() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
        yield server


@pytest.mark.real
def test_a_rollout_arrives_as_one_trace(receiver: Receiver) -> None:
    """With its parents, times to the microsecond, attributes, events, and the rollback as an error."""
    trace, finished = trace_of(EVENTS[0]), spans(EVENTS)
    Otlp().export(trace, finished, {"serinus.namespace": "models"})

    assert receiver.headers[0]["path"] == "/v1/traces"
    assert receiver.headers[0]["x-tenant"] == "shop"
    got = {span.span_id.hex(): span for span in receiver.spans()}
    assert {span.trace_id.hex() for span in got.values()} == {trace}
    assert got.keys() == {span_id(trace, span.key) for span in finished}
    for span in finished:
        arrived = got[span_id(trace, span.key)]
        assert arrived.name == span.name
        assert arrived.parent_span_id.hex() == (span_id(trace, span.parent) if span.parent else "")
        assert arrived.start_time_unix_nano == pytest.approx(span.began * 1e9, abs=1e3)
        assert span.ended is not None
        assert arrived.end_time_unix_nano == pytest.approx(span.ended * 1e9, abs=1e3)
        assert len(arrived.events) == len(span.points)
        assert (arrived.status.code == arrived.status.STATUS_CODE_ERROR) == bool(span.failed)
    resource = {
        each.key: each.value.string_value for each in receiver.requests[0].resource_spans[0].resource.attributes
    }
    assert (resource["service.name"], resource["serinus.namespace"]) == ("serinus", "models")


@pytest.mark.real
def test_no_credential_is_exported(receiver: Receiver) -> None:
    root = spans(EVENTS)[0]
    root.failed = root.attributes["serinus.message"] = "could not push to https://git:MARKERMARKER@example.com/x.git"
    Otlp().export(trace_of(EVENTS[0]), [root], {})
    assert b"MARKERMARKER" not in receiver.requests[0].SerializeToString()


@pytest.mark.real
def test_a_collector_that_refuses_is_an_error(receiver: Receiver) -> None:
    receiver.status = 400
    with pytest.raises(OSError, match="did not take"):
        Otlp().export(trace_of(EVENTS[0]), spans(EVENTS), {})


def test_traces_are_wanted_only_where_somebody_says_where() -> None:
    assert not wanted({})
    assert wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})
    assert not wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"})
