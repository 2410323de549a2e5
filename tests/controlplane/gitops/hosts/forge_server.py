"""Serves a forge's API on loopback: its routes, its words for refusals, its pages, and what trouble a test chose."""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.controlplane.gitops.hosts.forge import ROOTS, Asked, Forge, Kind, Refuses, Trouble
from tests.controlplane.gitops.hosts.forge_routes import Answer, hub_routes, lab_routes
from tests.controlplane.gitops.origin import Origin


def _refusal(forge: Forge, refuses: Refuses) -> Answer:
    """An error in each host's own words."""
    words = list(refuses.words)
    if forge.kind == "gitlab":
        status = 409 if refuses.status == 409 else refuses.status
        text = "Another open merge request already exists for this source branch: !1"
        return status, {"message": [text] if status == 409 else words[0]}
    if forge.kind == "gitea":
        return refuses.status, {"message": words[0], "url": "https://gitea.example/api/swagger", "errors": []}
    status = 422 if refuses.status == 409 else refuses.status
    if status == 422:
        errors = [{"resource": "PullRequest", "code": "custom", "message": words[0]}]
        return 422, {"message": "Validation Failed", "errors": errors, "documentation_url": "https://docs.github.com/"}
    return status, {"message": words[0], "documentation_url": "https://docs.github.com/rest", "status": str(status)}


UNAUTHORIZED: Mapping[Kind, Any] = {
    "github": {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
    "gitlab": {"message": "401 Unauthorized"},
    "gitea": {"message": "invalid username, password or token", "url": "https://gitea.example/api/swagger"},
}


@contextmanager
def forge_for(kind: Kind, origin: Origin) -> Iterator[Forge]:
    """Serve one host's API for a repository."""
    forge = Forge(kind, origin)
    routes = lab_routes(forge) if kind == "gitlab" else hub_routes(forge)
    scheme = "token" if kind == "gitea" else "Bearer"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Stay quiet."""

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.loads(raw) if raw else None
            split = urlsplit(self.path)
            given = self.headers.get("authorization", "")
            forge.asked.append(Asked(self.command, self.path, given, body))
            if forge.hangs is not None:
                forge.hangs.wait(30)
            trouble = self._trouble(split.path)
            if trouble is not None and not trouble.after:
                self._send(trouble.status, trouble.body, trouble.headers)
                return
            if given != f"{scheme} {forge.token}":
                self._send(401, json.dumps(UNAUTHORIZED[kind]), {})
                return
            query = {key: values[0] for key, values in parse_qs(split.query).items()}
            with forge.lock:
                status, answer = self._routed(split.path.removeprefix(ROOTS[kind]), query, body)
            if trouble is not None:
                self._send(trouble.status, trouble.body, trouble.headers)
                return
            headers: Mapping[str, str] = {}
            if isinstance(answer, list) and not (kind == "gitea" and "/comments" in split.path):
                answer, headers = self._page(answer, query)
            self._send(status, json.dumps(answer), headers)

        def _trouble(self, path: str) -> Trouble | None:
            for each in forge.trouble:
                if each.times and each.path in path and each.method in {"", self.command}:
                    each.times -= 1
                    return each
            return None

        def _routed(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
            for method, expression, answer in routes:
                if method == self.command and (found := re.fullmatch(expression, path)):
                    try:
                        return answer(query, body, *map(unquote, found.groups()))
                    except Refuses as refuses:
                        return _refusal(forge, refuses)
            return _refusal(forge, Refuses(404, "Not Found"))

        def _page(self, entries: list[Any], query: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
            number, size = int(query.get("page", "1")), int(query.get("per_page", query.get("limit", "30")))
            size = min(size, forge.page)
            more = number * size < len(entries)
            # An address that must not be followed: the token would go there.
            link = {"link": f'<http://127.0.0.1:1/elsewhere?page={number + 1}>; rel="next"'} if more else {}
            return entries[(number - 1) * size : number * size], link

        def _send(self, status: int, words: str, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value.replace("IN_A_MINUTE", str(int(time.time()) + 60)))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(words.encode())))
            with suppress(ConnectionError):  # who asked has given up
                self.end_headers()
                self.wfile.write(words.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        forge.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield forge
        finally:
            if forge.hangs is not None:
                forge.hangs.set()
            server.shutdown()
            thread.join()
