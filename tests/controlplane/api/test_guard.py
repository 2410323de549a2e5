"""S8: who may call what. Every route, every kind of caller, against the real server."""

from pathlib import Path

import httpx2
import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from controlplane.adapters.rate_limiter import RateLimiter
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.api.door import KeyDoor
from controlplane.api.guard import Guard, Rules
from controlplane.api.keys import load_or_create
from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving

SECRET = (
    ("GET", "/api/v1/rollouts"),
    ("GET", "/api/v1/rollouts/support-llm"),
    ("GET", "/api/v1/rollouts/support-llm/events"),
    ("GET", "/api/v1/rollouts/support-llm/series"),
    ("GET", "/api/v1/rollouts/support-llm/stream"),
    ("GET", "/api/v1/session"),
    ("GET", "/metrics"),
    ("POST", "/api/v1/rollouts/support-llm/requests"),
)
OPEN = ("/", "/healthz", "/readyz", "/rollouts/support-llm", "/static/main.js", "/api/v1/openapi.json")
ACTION = "/api/v1/rollouts/support-llm/requests"


def problem(answer: httpx2.Response, status: int) -> str:
    """The sentence of a problem with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    return str(body["detail"])


async def waiting(home: Path) -> list[tuple[str, str, bool]]:
    """What has been asked of the rollout and waits for an answer."""
    store = SqliteStore(home / "support-llm" / "serinus.db")
    found: list[tuple[str, str, bool]] = [
        (request.verb, request.by, request.full) for request in await store.requests("support-llm")
    ]
    await store.close()
    return found


@pytest.mark.parametrize("token", ["", "wrong", "wrong" * 1000])
@pytest.mark.parametrize(("method", "path"), SECRET)
def test_s8_without_the_token_nothing_is_told_and_nothing_is_done(
    served: Serving, method: str, path: str, token: str
) -> None:
    with served.client(token) as client:
        assert "serinus dashboard" in problem(client.request(method, path, json={"verb": "abort"}), 401)


@pytest.mark.parametrize("path", OPEN)
def test_the_page_itself_and_health_need_no_token(served: Serving, path: str) -> None:
    with served.client("") as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_s8_a_foreign_name_is_refused_even_with_the_token(served: Serving, host: str) -> None:
    """DNS rebinding: a foreign name that leads here."""
    with served.client() as client:
        for path in ("/", "/healthz", "/api/v1/rollouts"):
            problem(client.get(path, headers={"host": host}), 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8080", "10.0.0.7"])
def test_own_names_and_plain_addresses_are_welcome(served: Serving, host: str) -> None:
    with served.client() as client:
        assert client.get("/api/v1/rollouts", headers={"host": host}).status_code == 200


def test_a_name_that_was_allowed_is_welcome(tmp_path: Path) -> None:
    with serving(tmp_path, hosts=frozenset({"rollouts.example"})) as served, served.client() as client:
        assert client.get("/readyz", headers={"host": "rollouts.example:8090"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"])
@pytest.mark.parametrize(("method", "path"), SECRET)
def test_s8_pages_of_other_sites_are_refused_even_with_the_token(
    served: Serving, method: str, path: str, origin: str
) -> None:
    with served.client() as client:
        problem(client.request(method, path, headers={"origin": origin}, json={"verb": "abort"}), 403)


def test_s8_the_address_with_the_token_gives_a_cookie_that_only_reads(own: Serving) -> None:
    """The cookie is strict and hidden from scripts; an action needs the page's key and its origin besides."""
    with own.client("") as client:
        opened = client.get("/", params={"token": own.keys.token})
        assert (opened.status_code, opened.headers["location"]) == (303, f"/#key={own.keys.header}")
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert own.keys.token not in cookie
        asked = {"verb": "pause"}
        ours, key = {"origin": own.url}, {"x-serinus-token": own.keys.header}
        assert client.get("/api/v1/session", headers=key).json()["token"] == own.keys.header
        problem(client.post(ACTION, json=asked), 403)
        problem(client.post(ACTION, headers=ours, json=asked), 403)
        problem(client.post(ACTION, headers=key, json=asked), 403)
        problem(client.post(ACTION, headers=ours | {"x-serinus-token": own.keys.cookie}, json=asked), 403)
        assert client.post(ACTION, headers=ours | key, json=asked).status_code == 202


def test_s7_a_server_of_another_port_that_is_sent_the_cookie_learns_no_key_and_acts_on_nothing(own: Serving) -> None:
    """Browsers send cookies of 127.0.0.1 to every port; such a server can claim any origin, and only look."""
    with own.client("") as browser:
        browser.get("/", params={"token": own.keys.token})
        stolen = {"cookie": f"{own.keys.cookie_name}={browser.cookies[own.keys.cookie_name]}", "origin": own.url}
    with own.client("") as thief:
        told = thief.get("/api/v1/session", headers=stolen)
        assert (told.status_code, told.json()["token"]) == (200, "")
        paths = ("/api/v1/session", "/", "/api/v1/rollouts", "/api/v1/rollouts/support-llm")
        everything = "".join(thief.get(path, headers=stolen).text for path in paths)
        assert own.keys.token not in everything
        assert own.keys.header not in everything
        for key in ("", own.keys.cookie, own.keys.cookie_name):
            said = problem(thief.post(ACTION, headers=stolen | {"x-serinus-token": key}, json={"verb": "promote"}), 403)
            assert "serinus dashboard" in said


def test_s8_a_wrong_token_in_the_address_gives_no_cookie(served: Serving) -> None:
    with served.client("") as client:
        answer = client.get("/", params={"token": "wrong"})
        problem(answer, 401)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", [b"serinus=x", b"=", b"a b; ;;", b"\xe9=\xff", b"x" * 5000])
def test_s8_strange_cookies_and_tokens_are_none(served: Serving, cookie: bytes) -> None:
    with served.client("") as client:
        problem(client.get("/api/v1/session", headers=[(b"cookie", cookie)]), 401)
        problem(client.get("/metrics", headers=[(b"authorization", b"Bearer " + cookie)]), 401)


async def test_s8_read_only_shows_everything_and_allows_nothing(tmp_path: Path) -> None:
    homes.under_way(tmp_path)
    with serving(tmp_path, read_only=True) as served, served.client() as client:
        assert client.get("/api/v1/rollouts/support-llm").status_code == 200
        assert client.get("/api/v1/session").json()["token"] == ""
        assert "--read-only" in problem(client.post(ACTION, json={"verb": "abort"}), 403)
    assert await waiting(tmp_path) == []


async def test_with_the_token_a_request_lands_where_the_loop_finds_it(own: Serving) -> None:
    with own.client() as client:
        taken = client.post(ACTION, json={"verb": "promote", "full": True})
        assert (taken.status_code, taken.json()["by"]) == (202, "ada")
    assert await waiting(own.home) == [("promote", "ada", True)]


def test_s8_a_large_body_is_refused_before_it_is_read(served: Serving) -> None:
    with served.client() as client:
        problem(client.post(ACTION, content=b"x" * 70_000, headers={"content-type": "application/json"}), 413)
        problem(client.post(ACTION, content=iter([b"{}"]), headers={"content-type": "application/json"}), 413)


def test_s12_every_answer_carries_the_rules_for_browsers(served: Serving) -> None:
    with served.client("") as client:
        for path in ("/", "/api/v1/rollouts", "/static/main.js", "/nothing"):
            headers = client.get(path).headers
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
            assert "access-control-allow-origin" not in headers


def test_s9_an_address_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    """Before anything is looked up; health is answered all the same, for whoever watches over the process."""
    with serving(tmp_path, burst=5) as served, served.client("wrong") as client:
        statuses = [client.get("/api/v1/rollouts").status_code for _ in range(5)]
        assert statuses == [401] * 5
        # From then on nothing is read any more, whatever it is.
        spent = client.get("/api/v1/rollouts")
        assert (spent.status_code, spent.headers["retry-after"], spent.headers["connection"]) == (429, "5", "close")
        with served.client() as owner:
            assert owner.post(ACTION, json={"verb": "abort"}).status_code == 429


async def test_s9_health_is_no_request_that_counts(tmp_path: Path) -> None:
    told: list[int] = []

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await Response(status_code=204)(_scope, _receive, send)

    async def send(message: Message) -> None:
        told.extend([message["status"]] if message["type"] == "http.response.start" else [])

    async def receive() -> Message:
        return {"type": "http.request"}

    guard = Guard(answer, Rules(KeyDoor(load_or_create(tmp_path), "ada"), rate=RateLimiter(1.0, 0.0)))
    for path in ("/healthz", "/readyz", "/healthz", "/", "/", "/healthz"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"localhost")]}
        await guard({**scope, "client": ("198.51.100.1", 1)}, receive, send)
    assert told == [204, 204, 204, 204, 429, 204]
