"""A real rollout as a log store, a tracer and Prometheus see it: the same rollout, the same ids, the same requests."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.observability.trace import trace_of
from tests.controlplane.api.serving import serving
from tests.controlplane.cli.test_run import Users
from tests.controlplane.observability.collector import collecting
from tests.controlplane.real import LeftBehind, running, write_plan

GATES = ["error_rate <= 10%"]
STAGES: list[dict[str, Any]] = [{"traffic": "50%", "hold": "2s", "gates": GATES}, {"traffic": "100%", "hold": "1s"}]


@pytest.mark.real
async def test_logs_traces_and_metrics_tell_of_the_same_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serinus run -o json --log-format json` with a collector on loopback."""
    home = tmp_path / "home"
    state = home / "real"
    with LeftBehind(state), collecting() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        async with running(write_plan(tmp_path, stages=STAGES), state, "--log-format", "json") as run:
            await run.until(event="phase", phase="Shifting")
            address = (await run.until_said("Clients connect to http://")).split("http://", 1)[1].split(";", 1)[0]
            async with Users(address):
                await run.until(event="end")
            assert await run.end() == 0

    store = SqliteStore(state / "serinus.db")
    events = await store.history("real")
    await store.close()
    logged = [json.loads(line) for line in run.said]
    assert {line.get("trace_id") for line in logged if "event" in line} == {trace_of(events[0])}
    assert [line["id"] for line in logged if "event" in line] == [event.id for event in events]
    assert all({"time", "level", "message"} <= line.keys() for line in logged)

    spans = receiver.spans()
    assert {span.trace_id.hex() for span in spans} == {trace_of(events[0])}
    names = [span.name for span in spans]
    assert sorted(names) == sorted(
        ["rollout real", "pending", "prepare", "stage 1", "shift", "analysis", "stage 2", "shift", "watch"]
    )

    await asyncio.to_thread(_metrics_have_its_requests, home, run.events[-1]["requests"])


def _metrics_have_its_requests(home: Path, requests: dict[str, int]) -> None:
    """All that Envoy answered, by version; tokens and latencies besides."""
    with serving(home) as served, served.client() as client:
        page = client.get("/metrics").text
    families = {family.name: family.samples for family in text_string_to_metric_families(page)}
    answered = {
        (sample.labels["version"], sample.labels["outcome"]): sample.value for sample in families["ai_requests"]
    }
    assert answered["v1", "success"] >= requests["stable"] > 0
    assert answered["v2", "success"] >= requests["canary"] > 0
    assert answered["v1", "error"] == answered["v2", "error"] == 0
    counts = {s.labels["version"]: s.value for s in families["ai_latency_seconds"] if s.name.endswith("_count")}
    for version, count in counts.items():  # Envoy merges its histograms a moment after its counters
        assert answered[version, "success"] / 2 < count <= answered[version, "success"]
    assert counts.keys() == {"v1", "v2"}
    directions = {sample.labels["direction"] for sample in families["ai_tokens"]}
    assert directions == {"input", "output"}
    assert all(sample.labels["model_id"] == "sample-llm" for sample in families["ai_tokens"])
