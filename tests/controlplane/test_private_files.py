"""Files of ours: whole or absent, for their owner alone, never written through a link, read in bounds."""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput, SerinusError, Unavailable
from controlplane import private_files
from controlplane.adapters import envoy_config
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_config import Address
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.process_child import child_of
from controlplane.adapters.process_record import ProcessRecords
from controlplane.alerts.delivery_log import lines_of
from controlplane.gitops.git_state import GitStateStore
from controlplane.observability.counts import read_counts
from controlplane.observability.serving import read_served
from controlplane.private_files import (
    open_private,
    private_folder,
    read_file,
    read_json,
    repair,
    replace_file,
    write_json,
)
from controlplane.readmodel.panels_local import prometheus_port
from controlplane.view.live import read_live, read_samples
from tests.controlplane.other_user import AS_ROOT, NOBODY, exposed, open_to_all, readable


@pytest.fixture
def careless() -> Iterator[None]:
    """A user whose programs let everybody read and write what they make."""
    before = os.umask(0)
    yield
    os.umask(before)


def foreign(folder: Path) -> Path:
    """A folder of another user: made so where the tests are root, root's own where they are not."""
    if not AS_ROOT:
        return Path("/usr")
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": [1, 2.5, "ü"]})
    write_json(tmp_path / "file.json", {"a": None})
    assert read_json(tmp_path / "file.json") == {"a": None}
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\x00", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{"])
def test_what_is_no_json_is_no_value(tmp_path: Path, content: bytes) -> None:
    """A power cut leaves the first three; the next are nested deeper than any program may follow."""
    (tmp_path / "file.json").write_bytes(content)
    assert read_json(tmp_path / "file.json") is None


def test_a_missing_file_is_no_value(tmp_path: Path) -> None:
    assert read_json(tmp_path / "file.json") is None


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("folder", "link"):
        with pytest.raises(Unavailable, match=f"{name} cannot be read"):
            read_json(tmp_path / name)
    monkeypatch.setattr(private_files, "MOST_BYTES", 3)
    (tmp_path / "large").write_text("1234")
    with pytest.raises(Unavailable, match="more than 3 bytes"):
        read_file(tmp_path / "large", 3)


def test_a_value_that_cannot_be_written_leaves_the_former_one(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", object())
    assert read_json(tmp_path / "file.json") == 1


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_reading_it_ends_in_a_value_or_none(content: bytes) -> None:
    with open_to_all() as folder:
        (folder / "file.json").write_bytes(content)
        read_json(folder / "file.json")


@pytest.mark.usefixtures("careless")
def test_s7_what_is_made_is_for_its_owner_alone_whatever_the_umask_says() -> None:
    """Also the folders that are made on the way, and a file that was open before."""
    with open_to_all() as shared:
        private_folder(shared / "home" / "state")
        state = shared / "home" / "state"
        write_json(state / "processes.json", {"a": 1})
        with open_private(state / "alerts.jsonl", "a") as opened:
            opened.write("line\n")
        (state / "lock").write_text("from an older build")
        assert readable(state) == []
        open_private(state / "lock", "a+").close()
        assert exposed(shared / "home") == []
        assert readable(shared / "home") == []


def test_s7_a_folder_that_an_older_build_left_open_is_closed_with_all_that_is_in_it() -> None:
    with open_to_all() as shared:
        state = shared / "state"
        (state / "envoy").mkdir(parents=True)
        for name in ("serinus.db", "processes.json", "envoy/bootstrap.json", "samples-chat-1.jsonl"):
            (state / name).write_text("secret")
            (state / name).chmod(0o644)
        (state / "askpass").write_text("#!/bin/sh")
        (state / "askpass").chmod(0o755)
        assert len(readable(state)) == 7
        private_folder(state)
        repair(state)
        assert exposed(state) == []
        assert readable(state) == []
        assert stat.S_IMODE((state / "askpass").stat().st_mode) == 0o700


def test_a_folder_that_was_only_lent_keeps_its_permissions_and_its_other_files(tmp_path: Path) -> None:
    """`--state .` in a project: what Serinus makes there is closed, and nothing else is touched."""
    (tmp_path / "canary.yml").write_text("")
    (tmp_path / "link").symlink_to("canary.yml")
    (tmp_path / "serinus.db").write_text("")
    for name, mode in ((".", 0o755), ("canary.yml", 0o644), ("serinus.db", 0o644)):
        (tmp_path / name).chmod(mode)
    private_folder(tmp_path)
    repair(tmp_path)
    assert exposed(tmp_path) == ["0755 .", "0644 canary.yml"]


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o775])
def test_s7_a_folder_in_which_others_could_replace_files_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "of-somebody").write_text("")
    tmp_path.chmod(mode)
    with pytest.raises(BadInput, match=r"shared by all users|can be written by other users .* Nothing was started"):
        private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode


def test_s7_a_link_and_a_folder_of_another_user_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(BadInput, match="link is a link"):
        private_folder(tmp_path / "link")
    with pytest.raises(BadInput, match=r"belongs to (nobody|root)"):
        private_folder(foreign(tmp_path / "theirs"))


def test_s7_nothing_is_written_through_a_link_that_lies_in_wait(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for mode in ("w", "a", "wb", "a+"):
        (tmp_path / "lock").symlink_to(victim)
        with pytest.raises(OSError, match="symbolic links"):
            open_private(tmp_path / "lock", mode)
        (tmp_path / "lock").unlink()
    (tmp_path / ".askpass.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        replace_file(tmp_path / "askpass", "#!/bin/sh")
    (tmp_path / "askpass").symlink_to(victim)
    replace_file(tmp_path / "askpass", "#!/bin/sh")
    assert victim.read_text() == "precious"


def test_s7_a_link_among_our_files_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "v1-0.log").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match=r"v1-0\.log is a link, and Serinus made none"):
        repair(tmp_path)


def test_s7_a_file_of_another_user_is_neither_written_nor_kept(tmp_path: Path) -> None:
    """As root it is nobody's; as anybody else it is root's, which the kernel itself protects from us."""
    theirs = tmp_path / "processes.json"
    if AS_ROOT:
        theirs.write_text("{}")
        os.chown(theirs, NOBODY, NOBODY)
        with pytest.raises(BadInput, match="belongs to nobody"):
            repair(tmp_path)
    with pytest.raises(PermissionError):
        open_private(theirs if AS_ROOT else Path("/etc/passwd"), "a")


def test_room_that_was_kept_is_used_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is the same but for spaces at its end, and it fails as before where no room was kept."""
    for name in ("kept", "not-kept"):
        write_json(tmp_path / name, {"weight": 5}, spare=name == "kept")

    def full(_file: Path, _data: bytes, *, durable: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files, "_write", full)
    write_json(tmp_path / "kept", {"weight": 0}, spare=True)
    assert read_json(tmp_path / "kept") == {"weight": 0}
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "not-kept", {"weight": 0})
    assert read_json(tmp_path / "not-kept") == {"weight": 5}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PROCESS = {"pid": 4711, "created": 1.5, "port": 40123}
ROUTES = envoy_config.routes({"canary-0": 50_000, "stable-0": 950_000}, {}, None, None)
CLUSTERS = envoy_config.clusters({"canary-0": Address("127.0.0.1", 40123), "stable-0": Address("127.0.0.1", 40124)})
WHOLE: Mapping[str, tuple[object, Callable[[Path], object]]] = {
    "processes.json": (
        {"stable-0": {**PROCESS, "digest": "d", "readySince": 1.0}},
        lambda file: ProcessRecords(file).all(),
    ),
    "envoy.json": (
        {
            **PROCESS,
            "listen": "127.0.0.1:8080",
            "counters": "127.0.0.1:8081",
            "admin": "/state/envoy/admin.sock",
            "boundsMs": [1.0],
        },
        lambda file: EnvoyProcess(file.parent, print)._recorded(),
    ),
    "routes.json": ({"version_info": "3 canary=50000", "resources": ROUTES}, lambda file: _routes(file.parent)),
    "clusters.json": ({"version_info": "3 canary=50000", "resources": CLUSTERS}, lambda file: _routes(file.parent)),
    "prometheus/prometheus.json": ({**PROCESS, "configuration": {}}, lambda file: prometheus_port(file.parent.parent)),
    "live.json": (
        {"name": "chat", "attempt": 1, "events": 2, "at": 1.0, "seen": {}},
        lambda file: read_live(file.parent, "chat"),
    ),
    "serving.json": ({"model": "m", "versions": {"v1": {"requests": 1.0}}}, lambda file: read_served(file.parent)),
    "samples-chat-1.jsonl": ({"t": 1.0, "asked": 0.5}, lambda file: read_samples(file.parent, "chat", 1)),
    "operations.json": ([["fetch", "ok", 3]], read_counts),
    "alerts.jsonl": ({"channel": "slack", "key": "chat/1/x", "number": 1, "at": 1.0, "delivered": 1.0}, lines_of),
    "ledger.json": ({"head": "c1", "withdrawn": {"chat": "gone"}, "writings": []}, GitStateStore),
}
"""The files that are read again, each with what it holds and who reads it."""


def _routes(folder: Path) -> None:
    """What a router begins with; the file beside the damaged one is whole."""
    for name in ("routes.json", "clusters.json"):
        if not (folder / name).exists():
            write_json(folder / name, WHOLE[name][0])
    EnvoyRouter(folder, listen="127.0.0.1:0", now=lambda: 0.0)._take_up_files()


def _damaged(whole: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """The same value with something else in one place."""
    if not whole or not isinstance(whole, dict | list) or draw(st.integers(0, 4)) == 0:
        return draw(JSON)
    copy: Any = whole.copy()
    where = draw(st.sampled_from(list(whole) if isinstance(whole, dict) else range(len(whole))))
    copy[where] = _damaged(copy[where], draw)
    return copy


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
def test_a_damaged_file_of_ours_ends_in_a_value_or_in_a_sentence(name: str, data: st.DataObject) -> None:
    whole, reader = WHOLE[name]
    with open_to_all() as folder:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(_damaged(whole, data.draw)))
        with suppress(SerinusError):
            reader(file)


@pytest.mark.parametrize("name", WHOLE)
def test_s7_a_file_of_a_hundred_thousand_brackets_ends_in_a_value_or_in_a_sentence(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    for content in ("[" * 100_000, '{"a":' * 100_000, "1e999", "\0"):
        file.write_text(content)
        with suppress(SerinusError):
            WHOLE[name][1](file)


def test_s7_no_record_makes_us_signal_ourselves_or_everything() -> None:
    """Signals to the process groups 0 and 1 mean that."""
    for pid in (0, 1, -1, -4711, 2**31, True, "4711x", None, float("inf")):
        assert child_of({"pid": pid, "created": 1.0}) is None
    assert child_of({"pid": 4711, "created": float("nan")}) is None
    assert child_of({"pid": 4711, "created": 1.0}) is not None
