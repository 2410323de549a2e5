"""The plugin's client against a small HTTP server: what a real API server cannot be asked to do."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from canary.errors import Unavailable
from controlplane.kubectl.client import ThinClient
from controlplane.kubectl.kubeconfig import Target
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import CONFIG_MAP

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str]]


class Server:
    """Answers as a test says; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _request: (200, json.dumps({"metadata": {"name": "a"}}))
        self.asked: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(dict(self.headers) | {"path": self.path})
                status, text = outer.answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has gone is no news."""

        self.http = Quiet(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def target(server: str, folder: Path, **user: str) -> Target:
    """A user of this server."""
    return Target(server, "models", "here", "ann", {}, user, folder)


def got(client: ThinClient, times: int = 1) -> dict[str, Any]:
    """The last of so many answers."""

    async def asked() -> dict[str, Any]:
        try:
            for _ in range(times - 1):
                await client.get(CONFIG_MAP, "models", "a")
            return await client.get(CONFIG_MAP, "models", "a")
        finally:
            await client.close()

    return asyncio.run(asked())


def test_who_we_are_and_for_whom_we_act_is_in_every_request(server: Server, tmp_path: Path) -> None:
    got(ThinClient(target(server.url, tmp_path, token="t"), on_behalf_of="bob"))
    (asked,) = server.asked
    assert asked["path"] == "/api/v1/namespaces/models/configmaps/a"
    assert asked["Authorization"] == "Bearer t"
    assert asked["Impersonate-User"] == "bob"
    assert asked["User-Agent"].startswith("kubectl-canary/")


def test_a_token_that_was_replaced_is_read_again_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old", encoding="utf-8")

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        (tmp_path / "token").write_text("new", encoding="utf-8")
        accepted = request.headers["Authorization"] == "Bearer new"
        return (200, '{"metadata": {}}') if accepted else (401, '{"kind": "Status", "message": "Unauthorized"}')

    server.answer = answer
    got(ThinClient(target(server.url, tmp_path, tokenFile="token")))
    assert [each["Authorization"] for each in server.asked] == ["Bearer old", "Bearer new"]


def test_a_token_that_stays_refused_is_tried_once(server: Server, tmp_path: Path) -> None:
    server.answer = lambda _request: (401, '{"kind": "Status", "message": "Unauthorized"}')
    with pytest.raises(Unavailable, match="does not accept who we are"):
        got(ThinClient(target(server.url, tmp_path, token="t")))
    assert len(server.asked) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(server: Server, tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        request.close_connection = True  # without saying so in a header, as a server that is restarted does
        return 200, '{"metadata": {}}'

    server.answer = answer
    assert got(ThinClient(target(server.url, tmp_path)), times=3) == {"metadata": {}}


def test_s14_a_name_that_leads_elsewhere_is_not_sent(server: Server, tmp_path: Path) -> None:
    async def asked() -> None:
        client = ThinClient(target(server.url, tmp_path))
        for each in (
            client.get(CONFIG_MAP, "models", "../../other/configmaps/a"),
            client.list(CONFIG_MAP, "../other"),
            client.delete(CONFIG_MAP, "models", ""),
            client.apply(CONFIG_MAP, {"metadata": {"namespace": "models", "name": "a?force=true"}}),
        ):
            with pytest.raises(Rejected, match="cannot be the name of"):
                await each
        await client.close()

    asyncio.run(asked())
    assert server.asked == []


def test_r3_one_object_of_thousands_of_levels_hides_no_other(server: Server, tmp_path: Path) -> None:
    """Python's own reader ends at a thousand levels, with a traceback."""

    async def asked() -> list[str]:
        client = ThinClient(target(server.url, tmp_path))
        try:
            return [each["metadata"]["name"] for each in (await client.list(CONFIG_MAP)).items]
        finally:
            await client.close()

    deep = '{"a":' * 9_000 + "1" + "}" * 9_000
    items = ",".join(
        f'{{"metadata": {{"name": "{name}"}}, "spec": {spec}}}' for name, spec in (("a", deep), ("z", "{}"))
    )
    server.answer = lambda _request: (200, f'{{"items": [{items}], "metadata": {{"resourceVersion": "1"}}}}')
    assert asyncio.run(asked()) == ["a", "z"]


def test_what_is_no_api_server_says_so(server: Server, tmp_path: Path) -> None:
    server.answer = lambda _request: (200, "<html>Log in</html>")
    with pytest.raises(Unavailable, match="is it an API server"):
        got(ThinClient(target(server.url, tmp_path)))


def test_silence_is_bounded_and_nobody_is_an_error_of_the_world(server: Server, tmp_path: Path) -> None:
    over = threading.Event()
    server.answer = lambda _request: (200, "{}" if over.wait(30) else "")
    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        got(ThinClient(target(server.url, tmp_path), timeout=0.2))
    over.set()
    with pytest.raises(Unavailable, match="does not answer"):
        got(ThinClient(target("http://127.0.0.1:1", tmp_path)))
