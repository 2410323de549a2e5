"""Free ports on this machine, and ports that are kept free. Used by `envoy_process.py`, `prometheus_server.py` and
`process_replica.py`; asks the kernel, keeps no list.
"""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses at this moment."""
    with _bound(host, 0) as bound:
        port: int = bound.getsockname()[1]
        return port


def kept_port(host: str, port: int = 0) -> socket.socket | None:
    """A port on which nobody else can listen until the socket is closed; 0 picks one. None where this one is in use.

    Whoever connects meanwhile is refused, and a server can listen there at once afterwards.
    """
    try:
        kept = _bound(host, port)
    except OSError:
        return None
    # The kernel lets two sockets have a port while both say that they share it: this one does not any more.
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return kept


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        _bound(host, port).close()
    except OSError:
        return False
    return True


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # As servers do: connections of a former server that are still closing do not count.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
