"""The routes over a real port: what they answer, and that nothing leads out of the state directory."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from canary.serial import event_line
from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving

OUTSIDE = (
    "..",
    "../..",
    "../../etc/passwd",
    "/etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "support-llm/../fraud-scorer",
    "support-llm~fraud-scorer",
    "support-llm~..",
    "~support-llm",
    "-rf",
    "support-llm\n",
    "support-llm\x00",
    "linked",
    "x" * 170,
    "x" * 5000,
    "'; DROP TABLE rollouts; --",
    "<script>alert(1)</script>",
    "nobody",
)


def test_the_list_has_what_may_need_somebody_first(served: Serving) -> None:
    with served.client() as client:
        listing = client.get("/api/v1/rollouts").json()
    assert [(line["id"], line["phase"], line["weight"]["text"]) for line in listing["rollouts"]] == [
        ("support-llm", "Analyzing", "25 %"),
        ("fraud-scorer", "RolledBack", "0 %"),
    ]
    assert listing["rollouts"][0]["running"]
    assert listing["rollouts"][1]["sentence"].startswith("error_rate <= 1% failed: 12 % of answers failed")


def test_a_rollout_has_its_state_its_verdicts_and_its_plan(served: Serving) -> None:
    with served.client() as client:
        found = client.get("/api/v1/rollouts/support-llm").json()
    state = found["state"]
    assert state["sentence"] == "nf4 gets 25 %, judged by 4 gates for at least 10 min."
    assert [stage["state"] for stage in state["stages"]] == ["passed", "now", "ahead", "ahead"]
    gate = state["gates"][0]
    assert (gate["gate"], gate["badge"]["word"], gate["canary"]) == (
        "latency p95 <= 200ms",
        "pass",
        {"value": 0.091, "text": "91 ms"},
    )
    assert [verdict["gate"] for verdict in found["verdicts"]] == [
        "latency p95 <= 200ms",
        "ttft p95 not worse than stable by 10%",
    ]
    assert "latency p95 <= 200ms" in found["plan"]


def test_events_are_the_lines_of_the_contract(served: Serving) -> None:
    """The same objects as `-o json` prints."""
    rollout = homes.put_back(served.home)
    with served.client() as client:
        lines = client.get("/api/v1/rollouts/fraud-scorer/events").json()
        newest = client.get("/api/v1/rollouts/fraud-scorer/events", params={"limit": 1}).json()
        assert client.get("/api/v1/rollouts/fraud-scorer/events", params={"attempt": 2}).json() == []
    assert [line["id"] for line in lines] == [event.id for event in rollout.history]
    assert newest == lines[-1:]
    assert lines[-1]["result"] == "rolled_back"
    assert set(lines[0]) == set(event_line(rollout.history[0]))


def test_charts_come_from_samples_and_without_them_from_events(served: Serving) -> None:
    with served.client() as client:
        sampled = client.get("/api/v1/rollouts/support-llm/series").json()
        told = client.get("/api/v1/rollouts/fraud-scorer/series").json()
    assert (sampled["source"], told["source"]) == ("samples", "events")
    assert (sampled["asked"], sampled["in_force"]) == ([0.25], [0.25])
    assert told["asked"][-1] == 0
    assert {gate["gate"] for gate in told["gates"]} == {"latency p95 <= 200ms", "error_rate <= 1%"}
    assert all(len(gate["canary"]) == len(told["t"]) for gate in told["gates"])


def test_the_machines_answer_decides_what_is_offered(served: Serving) -> None:
    with served.client() as client:
        offered = client.get("/api/v1/rollouts/support-llm").json()["state"]["actions"]
        over = client.get("/api/v1/rollouts/fraud-scorer").json()["state"]["actions"]
    allowed = {(action["verb"], action["full"]) for action in offered if action["allowed"]}
    assert allowed == {("pause", False), ("promote", False), ("promote", True), ("abort", False)}
    assert all(bool(action["effect"]) != bool(action["reason"]) for action in offered)
    assert next(a["effect"] for a in offered if a["verb"] == "abort").startswith("All traffic goes back to bf16")
    assert not any(action["allowed"] for action in over)


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_were_not_found_lead_nowhere(served: Serving, name: str) -> None:
    """Traversal, links, control characters, SQL and markup: always 404 in words, never a file."""
    outside = served.home.parent / "outside"
    if not outside.exists():
        homes.put_back(outside)
        (served.home / "linked").symlink_to(outside / "fraud-scorer")
    with served.client() as client:
        for spelled in {quote(name, safe=""), quote(quote(name, safe=""), safe="")}:
            for rest in ("", "/events", "/series", "/stream"):
                answer = client.get(f"/api/v1/rollouts/{spelled}{rest}")
                assert answer.status_code in {404, 422}, (spelled, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
            asked = client.post(f"/api/v1/rollouts/{spelled}/requests", json={"verb": "abort"})
            assert asked.status_code in {404, 422}
        assert [line["id"] for line in client.get("/api/v1/rollouts").json()["rollouts"]] == [
            "support-llm",
            "fraud-scorer",
        ]


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "vendor/../../app.py"])
def test_static_files_are_those_of_the_page_only(served: Serving, path: str) -> None:
    with served.client() as client:
        assert client.get(f"/static/{path}").status_code in {404, 401}


def test_what_only_an_operator_can_do_is_refused_on_one_machine(served: Serving) -> None:
    with served.client() as client:
        answer = client.post("/api/v1/rollouts/fraud-scorer/requests", json={"verb": "retry"})
    assert (answer.status_code, answer.json()["title"]) == (409, "Not here")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '{"verb": "stop"}',
        '{"verb": "delete"}',
        '{"verb": "abort", "by": "eve"}',
        '{"full": true}',
        '{"verb": ["abort"]}',
    ],
)
def test_requests_that_are_not_understood_change_nothing(served: Serving, body: str) -> None:
    with served.client() as client:
        headers = {"content-type": "application/json"}
        answer = client.post("/api/v1/rollouts/support-llm/requests", content=body, headers=headers)
        assert answer.status_code == 422
        assert "Nothing was changed" in answer.json()["detail"]
        assert client.get("/api/v1/rollouts/support-llm").json()["waiting"] == []


def test_a_rollout_that_has_ended_takes_no_requests(served: Serving) -> None:
    with served.client() as client:
        answer = client.post("/api/v1/rollouts/fraud-scorer/requests", json={"verb": "promote"})
    assert (answer.status_code, answer.json()["title"]) == (409, "It has ended")


def test_a_flood_of_requests_is_stopped(own: Serving) -> None:
    with own.client() as client:
        codes = [
            client.post("/api/v1/rollouts/support-llm/requests", json={"verb": "pause"}).status_code for _ in range(22)
        ]
    assert codes == [202] * 20 + [429] * 2


def test_a_damaged_store_is_named_and_hides_no_other(tmp_path: Path) -> None:
    homes.under_way(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "serinus.db").write_bytes(b"not a database at all" * 100)
    with serving(tmp_path) as served, served.client() as client:
        listing = client.get("/api/v1/rollouts").json()
        assert [line["id"] for line in listing["rollouts"]] == ["support-llm"]
        assert listing["unreadable"][0]["folder"] == "broken"
        assert "not a database" in listing["unreadable"][0]["problem"]
        assert client.get("/readyz").status_code == 503
        assert client.get("/api/v1/rollouts/broken").status_code == 503
        assert "canary_stores_unreadable 1.0" in client.get("/metrics").text


def test_an_empty_or_missing_state_directory_is_an_empty_list(tmp_path: Path) -> None:
    with serving(tmp_path / "none") as served, served.client() as client:
        assert client.get("/api/v1/rollouts").json()["rollouts"] == []
        assert client.get("/readyz").status_code == 200


def test_a_folder_of_another_name_is_part_of_the_id(tmp_path: Path) -> None:
    """Two state folders may hold rollouts of one name."""
    homes.under_way(tmp_path)
    homes.put_back(tmp_path)
    (tmp_path / "fraud-scorer").rename(tmp_path / "Trial")
    with serving(tmp_path) as served, served.client() as client:
        ids = [line["id"] for line in client.get("/api/v1/rollouts").json()["rollouts"]]
        assert ids == ["support-llm", "Trial~fraud-scorer"]
        assert client.get("/api/v1/rollouts/Trial~fraud-scorer").json()["state"]["name"] == "fraud-scorer"


def test_s7_secrets_in_a_plan_are_not_shown(tmp_path: Path) -> None:
    """S7: a marker in every place where a credential may stand comes out nowhere."""
    homes.under_way(tmp_path, secret="marker-c4n4ry")
    with serving(tmp_path) as served, served.client() as client:
        pages = [
            client.get(path).text
            for path in (
                "/api/v1/rollouts",
                "/api/v1/rollouts/support-llm",
                "/api/v1/rollouts/support-llm/events",
                "/api/v1/rollouts/support-llm/series",
                "/metrics",
            )
        ]
    assert "marker-c4n4ry" not in "".join(pages)
    assert "HF_TOKEN: (hidden)" in json.loads(pages[1])["plan"]


def test_metrics_count_what_the_stores_hold(served: Serving) -> None:
    with served.client() as client:
        page = client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["canary_rollouts", ("state", "Analyzing")] == 1
    assert found["canary_weight_ratio", ("name", "support-llm"), ("track", "canary")] == 0.25
    assert found["canary_rollbacks_total", ("reason", "GateFailed")] == 1
    assert found["canary_breach_to_zero_seconds_count",] == 1
    assert found["canary_breach_to_zero_seconds_bucket", ("le", "5.0")] == 1
    assert found["canary_breach_to_zero_seconds_bucket", ("le", "2.5")] == 0


def test_the_description_names_every_route_and_its_problems(served: Serving) -> None:
    with served.client("") as client:
        described = client.get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {
        "/api/v1/rollouts",
        "/api/v1/rollouts/{id_}",
        "/api/v1/rollouts/{id_}/events",
        "/api/v1/rollouts/{id_}/series",
        "/api/v1/rollouts/{id_}/stream",
        "/api/v1/rollouts/{id_}/requests",
        "/api/v1/session",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert all(step["responses"] for path in described["paths"].values() for step in path.values())
