"""A git host on loopback, for tests: `git http-backend` behind the standard library's server, with a token to know.

Used by the tests that need a real way over HTTP. Says out loud what it was given, as some hosts do, so that redaction
has something to do.
"""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.controlplane.gitops.origin import ENVIRONMENT


class Host:
    """What the host expects and what it saw."""

    def __init__(self, folder: Path, token: str, address: str = "127.0.0.1") -> None:
        self.folder, self.address = folder, address
        self.token = token
        self.refuses_with = 0
        """A status that every request is answered with; 0 for none."""
        self.redirects_to = ""
        self.answers = threading.Event()
        """While it is not set, requests wait for it."""
        self.answers.set()
        self.authorizations: list[str] = []
        self.port = 0

    def url(self, name: str) -> str:
        """The address of a repository in the folder."""
        return f"http://{self.address}:{self.port}/{name}"

    def url_by_name(self, name: str) -> str:
        """The same by a name, which leads to another address of this machine unless somebody says otherwise."""
        return f"http://localhost:{self.port}/{name}"


@contextmanager
def hosted(folder: Path, token: str, address: str = "127.0.0.1") -> Iterator[Host]:
    """Serve the repositories in a folder to whoever knows the token."""
    host = Host(folder, token, address)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Stay quiet."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = self.headers.get("authorization", "")
            host.authorizations.append(given)
            host.answers.wait()
            if host.redirects_to:
                self.send_response(302)
                self.send_header("location", f"{host.redirects_to}{self.path}")
                self.end_headers()
                return
            if host.refuses_with:
                self._say(host.refuses_with, f"no, not with {given} and {host.token}")
                return
            wanted = "Basic " + base64.b64encode(f"bot:{host.token}".encode()).decode()
            if given != wanted:
                self._say(401, f"not with {given}")
                return
            self._run(body)

        def _say(self, status: int, words: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("www-authenticate", 'Basic realm="git"')
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words.encode())

        def _run(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            done = subprocess.run(
                ["git", "http-backend"],
                input=body,
                capture_output=True,
                check=True,
                env={
                    **ENVIRONMENT,
                    "GIT_PROJECT_ROOT": os.fspath(host.folder),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REMOTE_USER": "bot",
                    "REMOTE_ADDR": "127.0.0.1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "CONTENT_TYPE": self.headers.get("content-type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                },
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            with suppress(ConnectionError):  # a controller that leaves does not wait for the answer
                self.end_headers()
                self.wfile.write(content)

    with ThreadingHTTPServer((address, 0), Handler) as server:
        host.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield host
        finally:
            host.answers.set()
            server.shutdown()
            thread.join()
