"""S8 in a cluster, on the API server in memory: every route for every kind of person; who they are and what they may.

`tests/cluster/test_dashboard.py` asks a real API server the same.
"""

from collections.abc import Iterator
from html import escape

import httpx2
import pytest
from starlette.datastructures import Headers

from canary.errors import Unavailable
from controlplane.api import reviews, rights
from controlplane.api.door import Person
from controlplane.api.reviews import ReviewDoor
from controlplane.api.rights import Rights
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.request_annotations import requests_in
from controlplane.simulation.clock import VirtualClock
from tests.controlplane.api.clusters import (
    EDITOR,
    ELSEWHERE,
    EXPIRED,
    FOREIGN,
    PAUSER,
    STRANGER,
    VIEWER,
    People,
    ReviewingKube,
    Shown,
    showing,
)
from tests.controlplane.kubectl.desk import under_way
from tests.controlplane.operator.town import PLACE

CHAT = f"/api/v1/rollouts/{PLACE}~chat"
OTHER = f"/api/v1/rollouts/{ELSEWHERE}~chat"
ACTION = f"{CHAT}/requests"
READS = (CHAT, f"{CHAT}/events", f"{CHAT}/series", f"{CHAT}/stream")
NOBODY = {
    "nobody": "",
    "a wrong audience": FOREIGN,
    "one that ended": EXPIRED,
    "rubbish": "x" * 20_000,
}
PEOPLE = {"viewer": VIEWER, "editor": EDITOR, "pauser": PAUSER, "stranger": STRANGER}
VERBS = ("promote", "pause", "resume", "abort", "approve", "retry")


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """A dashboard that people sign in to, for tests that change nothing."""
    with showing(under_way, sign_in=True) as served:
        yield served


@pytest.fixture
def own() -> Iterator[Shown]:
    """One for a test that changes something."""
    with showing(under_way, sign_in=True) as served:
        yield served


def status(client: httpx2.Client, method: str, path: str, **how: object) -> int:
    """What is answered, without waiting for the end of a stream."""
    with client.stream(method, path, **how) as answer:  # type: ignore[arg-type]  # - httpx's many arguments
        return answer.status_code


def asked(shown: Shown) -> list[tuple[str, str]]:
    """Verb and name of the requests that are written down."""
    object_ = shown.kube.objects(MODEL_CANARY)[PLACE, "chat"]
    return [(each.verb, each.by) for each in requests_in(object_).values() if each]


@pytest.mark.parametrize("who", NOBODY)
def test_s8_nobody_is_told_or_does_anything(shown: Shown, who: str) -> None:
    """No token, one that was made for somebody else, one that has expired, and what is none."""
    with shown.client(NOBODY[who]) as client:
        for path in ("/api/v1/rollouts", "/api/v1/session", OTHER, *READS):
            answer = client.get(path)
            assert (path, answer.status_code) == (path, 401)
            assert "--audience serinus" in answer.json()["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for verb in VERBS:
            assert client.post(ACTION, json={"verb": verb}).status_code == 401
        assert client.delete("/api/v1/session").status_code == 401
        assert client.get("/metrics").status_code == 401
    assert asked(shown) == []


@pytest.mark.parametrize("header", ["X-Forwarded-User", "X-Remote-User", "X-Forwarded-Email", "Impersonate-User"])
def test_s8_no_header_of_a_proxy_says_who_anybody_is(shown: Shown, header: str) -> None:
    with shown.client("") as client:
        assert client.get(CHAT, headers={header: "ed"}).status_code == 401
    with shown.client(STRANGER) as client:
        assert client.get(CHAT, headers={header: "ed"}).status_code == 403
        assert client.get("/api/v1/session", headers={header: "ed"}).json()["user"] == "otto"


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("path", READS)
def test_s8_reading_is_for_those_who_may_read_there(shown: Shown, who: str, path: str) -> None:
    with shown.client(PEOPLE[who]) as client:
        assert status(client, "GET", path) == (403 if who == "stranger" else 200)


def test_s8_the_list_has_the_namespaces_that_one_may_list(shown: Shown) -> None:
    for who, token in PEOPLE.items():
        with shown.client(token) as client:
            lines = client.get("/api/v1/rollouts").json()["rollouts"]
        assert [line["id"] for line in lines] == ([] if who == "stranger" else [f"{PLACE}~chat"])


def test_s8_who_may_not_look_is_not_told_whether_there_is_anything(shown: Shown) -> None:
    with shown.client(STRANGER) as client:
        there, not_there = client.get(CHAT), client.get(f"/api/v1/rollouts/{PLACE}~nobody")
    assert (there.status_code, there.json()) == (not_there.status_code, not_there.json())
    assert (there.status_code, "the role view" in there.json()["detail"]) == (403, True)


@pytest.mark.parametrize("verb", VERBS)
def test_s8_asking_is_for_those_who_may_patch_or_have_that_verb(own: Shown, verb: str) -> None:
    for who, token in PEOPLE.items():
        with own.client(token) as client:
            answer = client.post(ACTION, json={"verb": verb})
            allowed = who == "editor" or (who, verb) == ("pauser", "pause")
            late = 409 if verb == "retry" else 202
            assert (who, answer.status_code) == (who, late if allowed else 403)
            if not allowed:
                assert "Nothing was changed" in answer.json()["detail"] or who == "stranger"
    wanted = [] if verb == "retry" else [(verb, "ed")] + [("pause", "paul")] * (verb == "pause")
    assert sorted(asked(own)) == sorted(wanted)


def test_s8_the_page_is_told_what_one_may_ask_for(shown: Shown) -> None:
    found = {}
    for who in ("viewer", "pauser", "editor"):
        with shown.client(PEOPLE[who]) as client:
            found[who] = client.get(CHAT).json()["may"]
    assert found == {"viewer": [], "pauser": ["pause"], "editor": [*VERBS]}


def test_s8_a_cookie_alone_never_acts(own: Shown) -> None:
    """CSRF and Origin, on each route that changes something."""
    ours = {"origin": own.url}
    with own.client("") as client:
        assert client.post("/api/v1/session", headers=ours, json={"token": EDITOR}).status_code == 204
        told = client.get("/api/v1/session").json()
        assert (told["user"], told["signs_out"], told["read_only"]) == ("ed", True, False)
        key = {"x-serinus-token": told["token"]}
        evil = {"origin": "https://evil.example"}
        for method, path, body in (
            *(("POST", ACTION, {"verb": verb}) for verb in VERBS),
            ("DELETE", "/api/v1/session", None),
        ):
            for headers in ({}, ours, key, evil, evil | key, ours | {"x-serinus-token": EDITOR}):
                assert client.request(method, path, headers=headers, json=body).status_code == 403
        assert asked(own) == []
        assert client.post(ACTION, headers=ours | key, json={"verb": "pause"}).status_code == 202
        assert client.delete("/api/v1/session", headers=ours | key).status_code == 204
        assert client.get("/api/v1/session").status_code == 401
    assert asked(own) == [("pause", "ed")]


def test_s8_signing_in_is_for_our_page_and_for_tokens_that_open_something(shown: Shown) -> None:
    with shown.client("") as client:
        good = {"token": VIEWER}
        assert client.post("/api/v1/session", json=good).status_code == 403
        assert client.post("/api/v1/session", json=good, headers={"origin": "https://evil.example"}).status_code == 403
        for token in (FOREIGN, EXPIRED, " ", "a b", "é", "x\nx"):
            refused = client.post("/api/v1/session", json={"token": token}, headers={"origin": shown.url})
            assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        long = client.post("/api/v1/session", json={"token": "x" * 5000}, headers={"origin": shown.url})
        assert long.status_code == 413


def test_s8_the_cookie_is_strict_hidden_from_scripts_and_secure_over_tls(shown: Shown) -> None:
    with shown.client("") as client:
        given = {"json": {"token": VIEWER}}
        plain = client.post("/api/v1/session", headers={"origin": shown.url}, **given).headers["set-cookie"]  # type: ignore[arg-type]  # - httpx's many arguments
        safe = {"origin": shown.url.replace("http:", "https:")}
        secure = client.post("/api/v1/session", headers=safe, **given).headers["set-cookie"]  # type: ignore[arg-type]  # - likewise
    for cookie in (plain, secure):
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    assert secure.startswith("__Host-serinus-session=")
    assert ("Secure" in secure, "Secure" in plain) == (True, False)


def test_a_page_sends_somebody_unknown_to_sign_in_and_brings_them_back(shown: Shown) -> None:
    with shown.client("") as client:
        sent = client.get(f"/rollouts/{PLACE}~chat")
        assert (sent.status_code, sent.headers["location"]) == (303, f"/sign-in?next=/rollouts/{PLACE}~chat")
        page = client.get("/sign-in")
        assert "kubectl create token NAME --namespace NAMESPACE --audience serinus" in page.text
        assert client.get("/", params={"token": VIEWER}).status_code == 303  # an address is no place for a token
    with shown.client(VIEWER) as client:
        assert client.get("/").status_code == 200


MOMENT = "/rollouts/models~chat?attempt=3&at=2026-11-21T09:00:00Z"


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        (
            "/rollouts/models~chat?attempt=3&at=2026-11-21T09:00:00Z",
            "/rollouts/models~chat?attempt=3&at=2026-11-21T09:00:00Z",
        ),
        ("/?show=need&phase=paused", "/?show=need&phase=paused"),
        ("//evil.example.com", "/"),
        ("https://evil.example.com", "/"),
        ("/\\evil.example.com", "/"),
        ("/rollouts/../../evil?x", "/"),
        ("/rollouts/a\r\nset-cookie: x=1", "/"),
        ("javascript:alert(1)", "/"),
        ("/sign-in?next=/", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_to_what_was_asked_for_and_never_to_another_site(shown: Shown, asked: str, leads: str) -> None:
    """By the page's own form, which needs no script; its address is in the page as text only."""
    with shown.client("") as client:
        page = client.get("/sign-in", params={"next": asked})
        assert f'name="next" value="{escape(leads)}"' in page.text
        form = {"token": VIEWER, "next": asked}
        sent = client.post("/sign-in", data=form, headers={"origin": shown.url})
        assert (sent.status_code, sent.headers["location"]) == (303, leads)
        assert f"serinus-session={VIEWER}" in sent.headers["set-cookie"]


def test_the_form_is_refused_to_other_sites_and_says_why_a_token_opens_nothing(shown: Shown) -> None:
    with shown.client("") as client:
        good = {"token": VIEWER}
        for headers in ({}, {"origin": "null"}, {"origin": "https://evil.example"}):
            assert client.post("/sign-in", data=good, headers=headers).status_code == 403
        for token, code in ((FOREIGN, 401), ("", 401), ("<script>", 401), ("x" * 5000, 413)):
            refused = client.post("/sign-in", data={"token": token, "next": "/?q=a"}, headers={"origin": shown.url})
            assert (refused.status_code, "set-cookie" in refused.headers) == (code, False)
            assert 'role="alert"' in refused.text
            assert token[:6] not in refused.text or not token
            assert 'value="/?q=a"' in refused.text


def test_a_page_is_brought_back_with_what_it_was_asked_to_show_but_never_with_a_token(shown: Shown) -> None:
    with shown.client("") as client:
        sent = client.get(f"/rollouts/{PLACE}~chat?attempt=1&token=secret")
        assert sent.headers["location"] == f"/sign-in?next=/rollouts/{PLACE}~chat%3Fattempt%3D1"


def test_health_is_open_and_says_nothing_of_rollouts(shown: Shown) -> None:
    with shown.client("") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert "chat" not in client.get("/api/v1/openapi.json").text


def test_read_only_lets_an_editor_read_sign_in_and_out_and_nothing_else() -> None:
    with showing(under_way, sign_in=True, read_only=True) as shown, shown.client("") as client:
        ours = {"origin": shown.url}
        assert client.post("/api/v1/session", headers=ours, json={"token": EDITOR}).status_code == 204
        told = client.get("/api/v1/session").json()
        ours |= {"x-serinus-token": told["token"]}
        assert (told["read_only"], client.get(CHAT).json()["may"]) == (True, [])
        assert "--read-only" in client.post(ACTION, headers=ours, json={"verb": "pause"}).json()["detail"]
        assert client.delete("/api/v1/session", headers=ours).status_code == 204
        assert asked(shown) == []


def test_while_nobody_can_be_known_the_page_stays_and_nothing_is_told(own: Shown) -> None:
    own.within(own.kube.stop)
    with own.client(VIEWER) as client:
        assert client.get("/").status_code == 200
        answer = client.get(CHAT)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


def on_a_desk() -> ReviewingKube:
    """A server in memory, asked without a dashboard."""
    kube = ReviewingKube(VirtualClock())
    kube.people = People()
    return kube


async def test_a_token_is_asked_about_once_a_minute_and_then_again() -> None:
    """So that one that was withdrawn opens nothing after a minute."""
    kube = on_a_desk()
    moment = 0.0
    door = ReviewDoor(kube, lambda: moment)
    headers = Headers({"authorization": f"Bearer {VIEWER}"})
    for _ in range(5):
        assert await door.admit(headers, "") is not None
    assert kube.people.asked == ["TokenReview"]
    del kube.people.tokens[VIEWER]
    moment = reviews.FRESH - 0.1
    assert await door.admit(headers, "") is not None
    moment = reviews.FRESH
    assert await door.admit(headers, "") is None
    assert reviews.FRESH <= 60
    assert VIEWER.encode() not in repr(door._known).encode()


@pytest.mark.parametrize("name", ["system:anonymous", ""])
async def test_s8_an_api_server_that_knows_somebody_as_nobody_lets_nobody_in(name: str) -> None:
    """One that takes any token may call its bearer anonymous, with our audience and everything."""

    class Lax(ReviewingKube):
        async def create(self, resource: object, object_: object) -> dict[str, object]:
            return {"status": {"authenticated": True, "audiences": ["serinus"], "user": {"username": name}}}

    door = ReviewDoor(Lax(VirtualClock()), lambda: 0.0)
    assert await door.admit(Headers({"authorization": "Bearer any-token"}), "") is None
    assert await door.opened("any-token", "https://serinus.example.com", "") is None


async def test_a_server_that_does_not_know_of_audiences_lets_nobody_in() -> None:
    class Old(ReviewingKube):
        async def create(self, resource: object, object_: object) -> dict[str, object]:
            return {"status": {"authenticated": True, "user": {"username": "ed"}}}

    door = ReviewDoor(Old(VirtualClock()), lambda: 0.0)
    assert await door.admit(Headers({"authorization": f"Bearer {EDITOR}"}), "") is None


async def test_a_right_that_was_taken_away_is_gone_at_once_for_actions_and_in_seconds_for_reading() -> None:
    kube = on_a_desk()
    moment = 0.0
    asks, ed = Rights(kube, lambda: moment), Person("ed")
    await asks.demand(ed, "pause", PLACE, "chat")
    kube.people.rights = {right for right in kube.people.rights if right[0] != "ed"}
    with pytest.raises(Exception, match="may not pause chat"):
        await asks.demand(ed, "pause", PLACE, "chat")
    await asks.demand(ed, "get", PLACE, "chat")
    moment = rights.FRESH
    with pytest.raises(Exception, match="may not see"):
        await asks.demand(ed, "get", PLACE, "chat")


async def test_a_stream_ends_with_the_right_to_watch_and_is_silent_while_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rights, "RECHECKED", 0.0)
    answers: list[Exception | None] = [None, Unavailable("away"), None]

    async def messages() -> object:
        while True:
            yield b"news"

    async def demand() -> None:
        answer = answers.pop(0)
        if answer:
            raise answer

    heard = [message async for message in rights.kept(messages(), demand)]  # type: ignore[arg-type]  # - endless news
    assert heard == [b"news", rights.LOST]
