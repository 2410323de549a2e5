"""A server that tells what it is as vLLM does, and says nothing else: run as a program, or in a thread by tests.

`python served_model.py --port N --template T --version V --context C [--mute]`; `--mute` answers readiness alone.
"""

import argparse
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class ServedModel(ThreadingHTTPServer):
    """Its settings, and the paths that it was asked for."""

    daemon_threads = True

    def __init__(self, port: int, told: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.told = told
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: ServedModel

    def do_GET(self) -> None:
        told = self.server.told
        card = {"id": told["model"], "max_model_len": told["context"]}
        pages: dict[str, Any] = {"/v1/models": {"data": [card]}, "/version": {"version": told["version"]}}
        self._answer({} if self.path == "/health" else None if told["mute"] else pages.get(self.path))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        told = self.server.told
        text = request.get("prompt") or f"{told['template']}{request.get('messages')}"
        found = {"tokens": [zlib.crc32(f"{told['tokenizer']}{word}".encode()) for word in text.split()]}
        self._answer(found if self.path == "/tokenize" and not told["mute"] else None)

    def log_message(self, *_: object) -> None:
        """Nothing is written."""

    def _answer(self, body: dict[str, Any] | None) -> None:
        self.server.asked.append(self.path)
        text = json.dumps(body or {}).encode()
        self.send_response(404 if body is None else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def settings(argv: Sequence[str] = ()) -> tuple[int, dict[str, Any]]:
    """Port and what is told, from a command line."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    for name, default in (("model", "m"), ("tokenizer", "words"), ("template", "plain"), ("version", "0.24.0")):
        options.add_argument(f"--{name}", default=default)
    options.add_argument("--context", type=int, default=4096)
    options.add_argument("--mute", action="store_true")
    told = vars(options.parse_args(argv))
    return told.pop("port"), told


@contextmanager
def served(*argv: str) -> Iterator[ServedModel]:
    """A server in a thread, with these flags."""
    with ServedModel(*settings(argv)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    import sys

    ServedModel(*settings(sys.argv[1:])).serve_forever()
