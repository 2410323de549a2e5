"""HTTP clients for servers on this machine. Used by `envoy_admin.py` and `processes.py`."""

import ssl

import httpx2


def loopback_client(timeout_s: float, *, base_url: str = "", keep_connections: bool = True) -> httpx2.AsyncClient:
    """A client that speaks plain HTTP to 127.0.0.1 and heeds no proxy setting: those are for the world outside.

    Its TLS context is empty, because loading the certificates of the world takes 40 ms and a megabyte.
    """
    limits = httpx2.Limits() if keep_connections else httpx2.Limits(max_keepalive_connections=0)
    return httpx2.AsyncClient(
        base_url=base_url,
        timeout=timeout_s,
        limits=limits,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
