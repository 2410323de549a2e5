"""HTTP clients for servers on this machine. Used by `envoy_admin.py`, `processes.py` and `bounded_http.py`."""

import ssl
from pathlib import Path

import httpx2


def loopback_client(
    timeout_s: float | None, *, socket: Path | None = None, keep_connections: bool = True
) -> httpx2.AsyncClient:
    """A client that speaks plain HTTP to 127.0.0.1 and heeds no proxy setting: those are for the world outside.

    With a `socket` it speaks to that file, whatever host a URL names.

    Its TLS context is empty, because loading the certificates of the world takes 40 ms and a megabyte.
    """
    limits = httpx2.Limits() if keep_connections else httpx2.Limits(max_keepalive_connections=0)
    transport = httpx2.AsyncHTTPTransport(
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=limits,
        trust_env=False,
        uds=None if socket is None else str(socket),
    )
    return httpx2.AsyncClient(transport=transport, timeout=timeout_s, trust_env=False)
