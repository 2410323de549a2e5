"""The dashboard of a cluster over a real port: what the operator left is shown, followed and asked by one person."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from canary.errors import Unavailable
from controlplane.kubernetes.allowance import weight
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import LEASE, MODEL_CANARY, ROLLOUT_HISTORY
from controlplane.operator.request_annotations import requests_in
from tests.controlplane.api.clusters import Shown, lease, showing
from tests.controlplane.api.serving import until
from tests.controlplane.kubectl.desk import broken, faulty, good, under_way
from tests.controlplane.operator.town import PLACE

CHAT = f"/api/v1/rollouts/{PLACE}~chat"


@pytest.fixture(scope="module")
def back() -> Iterator[Shown]:
    """A rollout that was put back, for tests that only look."""
    with showing(broken, objects=[(LEASE, lease())]) as shown:
        yield shown


@pytest.fixture
def going() -> Iterator[Shown]:
    """A rollout under way, for a test that changes something."""
    with showing(under_way, objects=[(LEASE, lease())]) as shown:
        yield shown


@contextmanager
def listening(shown: Shown, last: str = "") -> Iterator[Iterator[tuple[str, Any]]]:
    """Messages of the stream as kind and data."""
    headers = {"last-event-id": last} if last else {}
    with shown.client() as client, client.stream("GET", f"{CHAT}/stream", headers=headers) as answer:
        assert answer.status_code == 200
        yield _messages(answer)


def _messages(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield fields.get("event", ""), json.loads(fields["data"])
            fields = {}


def canary(shown: Shown) -> dict[str, Any]:
    """The ModelCanary as the server has it."""
    return shown.within(lambda: shown.kube.objects(MODEL_CANARY)[PLACE, "chat"])


def write(shown: Shown, **status: Any) -> None:
    """A new status, as the operator writes it."""
    before = canary(shown)
    after = {**before, "status": {**before["status"], **status}}
    shown.within(lambda: shown.kube.seed(MODEL_CANARY, after))


def test_the_list_and_the_detail_say_what_the_status_says(back: Shown) -> None:
    status = canary(back)["status"]
    with back.client() as client:
        (line,) = client.get("/api/v1/rollouts").json()["rollouts"]
        found = client.get(CHAT).json()
    assert (line["id"], line["phase"], line["result"]) == (f"{PLACE}~chat", "RolledBack", "rolled_back")
    assert line["sentence"] == found["state"]["sentence"]
    assert status["message"].startswith(line["sentence"])
    assert found["state"]["version"] == status["version"]
    assert "error_rate <= 5%" in found["plan"]


def test_the_whole_history_is_read_though_a_status_keeps_its_newest_only(back: Shown) -> None:
    book = back.within(lambda: back.kube.objects(ROLLOUT_HISTORY)[PLACE, "chat"])
    kept = [json.loads(line)["id"] for line in book["data"]["events.jsonl"].splitlines()]
    with back.client() as client:
        events = client.get(f"{CHAT}/events").json()
        charted = client.get(f"{CHAT}/series").json()
    assert [event["id"] for event in events] == kept
    assert events[-1]["result"] == "rolled_back"
    assert (charted["source"], 0.5 in charted["asked"]) == ("events", True)


@pytest.mark.parametrize(
    "id_", ["chat", f"{PLACE}~nobody", "nowhere~chat", f"{PLACE}~chat~x", f"{PLACE}~../chat", "~", "a~B"]
)
def test_what_is_not_there_is_not_found_whatever_it_looks_like(back: Shown, id_: str) -> None:
    with back.client() as client:
        assert client.get(f"/api/v1/rollouts/{id_}").status_code == 404


def test_replicas_are_the_pods_that_are_there_and_metrics_are_left_to_the_operator(going: Shown) -> None:
    """What the operator last noted of them is not claimed: this cluster makes no pods."""
    with going.client() as client:
        state = client.get(CHAT).json()["state"]
        assert client.get("/metrics").status_code == 404
        assert client.get("/readyz").status_code == 200
    assert [arm["ready"] for arm in state["arms"]] == [0, 0]
    assert [arm["in_force"]["text"] for arm in state["arms"]] == ["95 %", "5 %"]
    assert state["controller"]["running"]
    assert "serinus-0" in state["controller"]["text"]


def test_a_lease_that_nobody_renews_is_said_on_every_page() -> None:
    with showing(under_way, objects=[(LEASE, lease("2020-01-01T00:00:00.000000Z"))]) as shown, shown.client() as client:
        state = client.get(CHAT).json()["state"]
        (line,) = client.get("/api/v1/rollouts").json()["rollouts"]
    assert not state["controller"]["running"]
    assert "was last renewed" in state["controller"]["text"]
    assert line["sentence"] == state["controller"]["text"]
    abort = next(action for action in state["actions"] if action["verb"] == "abort")
    assert "the request waits until one does" in abort["effect"]


def test_an_action_is_the_annotation_that_kubectl_canary_writes(going: Shown) -> None:
    with going.client() as client:
        taken = client.post(f"{CHAT}/requests", json={"verb": "promote", "full": True})
        assert (taken.status_code, taken.json()["by"]) == (202, "ada@example.com")
        (waiting,) = client.get(CHAT).json()["waiting"]
    (asked,) = [each for each in requests_in(canary(going)).values() if each]
    assert (asked.id, asked.verb, asked.by, asked.full) == (taken.json()["id"], "promote", "ada@example.com", True)
    assert (waiting["verb"], waiting["by"]) == ("promote", "ada@example.com")


def test_promote_takes_a_share_as_the_plan_writes_it_and_shows_it_while_it_waits(going: Shown) -> None:
    with going.client() as client:
        taken = client.post(f"{CHAT}/requests", json={"verb": "promote", "to": "75%"})
        (waiting,) = client.get(CHAT).json()["waiting"]
    (asked,) = [each for each in requests_in(canary(going)).values() if each]
    assert (taken.status_code, asked.to, asked.full) == (202, 0.75, False)
    assert (waiting["to"], waiting["full"]) == (0.75, False)


@pytest.mark.parametrize(
    "asked",
    [
        {"verb": "promote", "to": "75%", "full": True},
        {"verb": "abort", "to": "75%"},
        {"verb": "promote", "to": "75"},
        {"verb": "promote", "to": 75},
    ],
)
def test_a_share_that_cannot_be_meant_is_refused_and_nothing_asked(asked: dict[str, object], going: Shown) -> None:
    with going.client() as client:
        assert client.post(f"{CHAT}/requests", json=asked).status_code == 422
        assert client.get(CHAT).json()["waiting"] == []


def test_one_that_was_put_back_can_be_asked_to_begin_once_more_and_nothing_else(back: Shown) -> None:
    with back.client() as client:
        allowed = [a["verb"] for a in client.get(CHAT).json()["state"]["actions"] if a["allowed"]]
        refused = client.post(f"{CHAT}/requests", json={"verb": "pause"})
        taken = client.post(f"{CHAT}/requests", json={"verb": "retry"})
    assert allowed == ["retry"]
    assert (refused.status_code, taken.status_code) == (409, 202)


def test_one_that_was_promoted_cannot_begin_once_more() -> None:
    with showing(good) as shown, shown.client() as client:
        answer = client.post(f"{CHAT}/requests", json={"verb": "retry"})
    assert (answer.status_code, "promoted" in answer.json()["detail"]) == (409, True)


def test_the_api_servers_no_is_the_dashboards_no(going: Shown) -> None:
    said = 'modelcanaries.serinus.dev "chat" is forbidden: User "ada" cannot patch resource "modelcanaries"'
    going.within(lambda: going.kube.fail_next(Rejected(said), verb="patch"))
    with going.client() as client:
        answer = client.post(f"{CHAT}/requests", json={"verb": "pause"})
    assert answer.status_code == 403
    assert said in answer.json()["detail"]
    assert requests_in(canary(going)) == {}


def test_a_spec_that_is_refused_stands_beside_the_rollouts() -> None:
    with showing(faulty) as shown, shown.client() as client:
        listing = client.get("/api/v1/rollouts").json()
        alone = client.get(CHAT)
    (problem,) = listing["unreadable"]
    assert listing["rollouts"] == []
    assert (problem["folder"], "sticky" in problem["problem"]) == (f"{PLACE}/chat", True)
    assert (alone.status_code, "sticky" in alone.json()["detail"]) == (404, True)


def test_s14_one_that_waits_says_so_and_more_than_a_plan_can_be_is_not_kept(going: Shown) -> None:
    waits = canary(going)
    queued = {"type": "Queued", "status": "True", "message": "It begins after chat."}
    meta = {**waits["metadata"], "name": "waits", "uid": "2"}
    spec = {**waits["spec"], "extra": [{}] * 100_000}
    going.within(
        lambda: going.kube.seed(
            MODEL_CANARY, {**waits, "metadata": meta, "spec": spec, "status": {"conditions": [queued]}}
        )
    )
    with going.client() as client:
        until(lambda: bool(client.get("/api/v1/rollouts").json()["unreadable"]))
        [problem] = client.get("/api/v1/rollouts").json()["unreadable"]
    assert problem == {**problem, "folder": f"{PLACE}/waits", "problem": "It begins after chat."}
    kept = going.cluster.canaries.get(PLACE, "waits")
    assert kept is not None
    assert weight(kept) < 100_000


def test_a_status_that_somebody_else_wrote_spoils_no_other(going: Shown) -> None:
    other = canary(going)
    other = {
        **other,
        "metadata": {**other["metadata"], "name": "spoilt", "uid": "2"},
        "status": {"version": 1, "state": {"phase": 7}},
    }
    going.within(lambda: going.kube.seed(MODEL_CANARY, other))
    with going.client() as client:
        until(lambda: bool(client.get("/api/v1/rollouts").json()["unreadable"]))
        listing = client.get("/api/v1/rollouts").json()
        assert client.get(f"/api/v1/rollouts/{PLACE}~spoilt").status_code == 503
    assert [line["name"] for line in listing["rollouts"]] == ["chat"]
    assert [each["folder"] for each in listing["unreadable"]] == [f"{PLACE}/spoilt"]


@pytest.mark.parametrize(
    "spoil",
    [
        {"plan": "no plan of this release: ["},
        {"plan": ""},
        {"state": {"began": 1e300}},
        {"state": {"stage": 99}},
        {"state": {"attempt": "many"}},
        {"conditions": ["Accepted"]},
        {"version": {"seven": 7}},
    ],
)
def test_s14_whatever_one_status_holds_the_others_are_listed(going: Shown, spoil: dict[str, Any]) -> None:
    """What its own reader makes of it is said in its place, and the list is everybody's."""
    other = canary(going)
    status = {
        **other["status"],
        **spoil,
        "state": {**other["status"]["state"], "name": "spoilt", **spoil.get("state", {})},
    }
    other = {**other, "metadata": {**other["metadata"], "name": "spoilt", "uid": "2"}, "status": status}
    going.within(lambda: going.kube.seed(MODEL_CANARY, other))
    with going.client() as client:

        def shown() -> set[str]:
            listing = client.get("/api/v1/rollouts").json()
            names = [each["name"] for each in listing["rollouts"]]
            return {*names, *(each["folder"].replace("~", "/").rpartition("/")[2] for each in listing["unreadable"])}

        until(lambda: shown() == {"chat", "spoilt"})
        assert "chat" in [each["name"] for each in client.get("/api/v1/rollouts").json()["rollouts"]]


def test_a_change_is_pushed_by_the_watch(going: Shown) -> None:
    """Without a question to the API server: only the watch tells."""
    with listening(going) as messages:
        assert next(data for kind, data in messages if kind == "state")["version"]
        before = going.within(lambda: sum(going.kube.counts.values()))
        write(going, version=900)
        assert next(data for kind, data in messages if kind == "state" and data["version"] == 900)
        asked = {request.resource for request in going.kube.counts}
        after = going.within(lambda: sum(n for r, n in going.kube.counts.items() if r.resource != "leases"))
    assert after <= before
    assert asked <= {"modelcanaries", "leases", "rollouthistories", "pods"}


def test_when_the_api_server_goes_away_the_page_is_told_and_goes_on_afterwards(going: Shown) -> None:
    """What may be behind is never sent as if it were of now; then the watch goes on and nothing was missed."""
    with listening(going) as messages:
        assert next(kind for kind, _ in messages if kind == "state")
        going.within(going.kube.stop)
        problem = next(data["detail"] for kind, data in messages if kind == "problem")
        assert problem.startswith("Not live: ")
        with going.client() as client:
            listing = client.get("/api/v1/rollouts").json()
            told = client.get(CHAT).json()["state"]
            assert told["stale"].startswith("Not live: ")
            assert told["stale_since"] <= told["at"]
            assert client.get("/").status_code == client.get("/readyz").status_code == 200
            assert client.post(f"{CHAT}/requests", json={"verb": "pause"}).status_code == 503
        assert (listing["stale"], listing["unreadable"]) == (told["stale"], [])
        assert [line["name"] for line in listing["rollouts"]] == ["chat"]
        write(going, version=901)
        going.within(lambda: setattr(going.kube, "down", False))
        data = next(data for kind, data in messages if kind == "state")
        assert (data["version"], data["stale"]) == (901, "")


def test_one_that_is_deleted_is_said_to_be_gone(going: Shown) -> None:
    with listening(going) as messages:
        assert next(kind for kind, _ in messages if kind == "state")
        bare = canary(going)
        bare["metadata"].pop("finalizers", None)
        going.within(lambda: going.kube.seed(MODEL_CANARY, bare))
        going.run(going.kube.delete(MODEL_CANARY, PLACE, "chat"))
        assert "It is gone" in next(data["detail"] for kind, data in messages if kind == "problem")
    with going.client() as client:
        assert client.get(CHAT).status_code == 404


def test_who_may_not_read_the_history_sees_what_the_status_keeps() -> None:
    with showing(under_way) as shown, shown.client() as client:
        shown.within(lambda: shown.kube.fail_next(Rejected("forbidden"), resource=ROLLOUT_HISTORY, times=99))
        events = client.get(f"{CHAT}/events").json()
        shown.within(lambda: shown.kube.fail_next(Unavailable("away"), resource=ROLLOUT_HISTORY))
    kept = canary_ids(shown)
    assert [event["id"] for event in events] == kept


def canary_ids(shown: Shown) -> list[str]:
    """Ids of the events in the status."""
    objects = shown.kube.objects(MODEL_CANARY)
    return [event["id"] for event in objects[PLACE, "chat"]["status"]["history"]]
