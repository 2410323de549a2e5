"""Who listens on a port, as the kernel says it and where it says nothing."""

import os
import socket
from pathlib import Path

import psutil
import pytest

from controlplane.adapters import process_listener
from controlplane.adapters.process_child import Child
from controlplane.adapters.process_listener import holder, still_holds
from tests.controlplane.other_user import THEIRS, listening

ME = Child(os.getpid(), psutil.Process().create_time())
GONE = Child(os.getpid(), 1.0)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_a_socket_of_the_program_itself_is_its_own_whatever_it_is_bound_to(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as own:
        if ":" in address:
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        own.bind((address, 0))
        port = own.getsockname()[1]
        assert holder(ME, port).kind == "nobody"
        own.listen()
        held = holder(ME, port)
        assert (held.kind, held.uid) == ("own", os.geteuid())
        assert still_holds(held)
    assert not still_holds(held)
    assert holder(ME, port).kind == "nobody"


def test_s7_a_process_that_the_program_did_not_start_is_somebody_else_and_is_named() -> None:
    """And so is our own, for a program whose number belongs to another process by now."""
    port = free()
    with listening(port) as pid:
        other = Child(pid, psutil.Process(pid).create_time())
        stranger = Child(os.getppid(), psutil.Process(os.getppid()).create_time())
        assert holder(ME, port).kind == "own", "a child is the program's own"
        assert holder(other, port).kind == "own"
        gone = holder(GONE, port)
        assert (gone.kind, THEIRS in gone.words) == ("other", True)
        assert stranger.pid != pid


def test_s7_a_socket_beside_ours_on_the_same_port_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SO_REUSEPORT several have one port: all of them have to be the program's."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as own:
        port = own.getsockname()[1]
        found = list(process_listener._listeners(port))
        foreign = [*found, process_listener.PortListener(found[0].address, 65534, "1")]
        monkeypatch.setattr(process_listener, "_listeners", lambda _port: iter(foreign))
        assert holder(ME, port).kind == "other"


def test_the_most_exact_address_is_the_one_that_is_reached() -> None:
    exact, v4, v6 = (process_listener.PortListener(a, 0, a) for a in ("0100007F", "0" * 8, "0" * 32))
    elsewhere = process_listener.PortListener("0200007F", 0, "x")
    assert process_listener._reached([v6, v4, exact, elsewhere]) == [exact]
    assert process_listener._reached([v6, v4]) == [v4]
    assert process_listener._reached([v6, elsewhere]) == [v6]
    assert process_listener._reached([elsewhere]) == []


@pytest.mark.parametrize("table", ["", "no table at all\nreally: none\n"])
def test_where_the_kernel_does_not_say_the_program_s_own_processes_are_asked(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: an own socket is found, nobody is nobody, and others cannot be named."""
    file = tmp_path / "tcp"
    if table:
        file.write_text(table)
    monkeypatch.setattr(process_listener, "TABLES", (file, tmp_path / "tcp6"))
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        assert holder(ME, port).kind == "own"
        assert holder(GONE, port).kind == "other"
    assert holder(ME, port).kind == "nobody"


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
