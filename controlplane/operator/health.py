"""Answers /metrics, /healthz and /readyz on one address, and nothing else.

Opened by `operator.py`. Alive means that the event loop turns; ready means that the cluster was read, whether this
replica leads or stands by.
"""

from collections.abc import Callable

from controlplane.adapters.http_listener import Receive, Scope, Send

TEXT = b"text/plain; charset=utf-8"
EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class Health:
    """An ASGI application of three pages."""

    def __init__(self, metrics: Callable[[], bytes], unready: Callable[[], str]) -> None:
        """`unready`: why this replica is not ready, as a clause; empty when it is."""
        self._metrics, self._unready = metrics, unready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, TEXT, b"only GET\n"
        match path:
            case "/healthz":
                return 200, TEXT, b"ok\n"
            case "/readyz":
                why = self._unready()
                return (503, TEXT, f"{why}\n".encode()) if why else (200, TEXT, b"ok\n")
            case "/metrics":
                return 200, EXPOSITION, self._metrics()
            case _:
                return 404, TEXT, b"/metrics, /healthz and /readyz are here\n"
