"""What one machine's folders tell of a rollout's surroundings: processes, the git controller's book, alerts delivered.

Used by the places of a state directory. Files are read again only when they have changed; a file that is missing or
makes no sense leaves its panel empty and never the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from canary.alert import TITLES
from canary.errors import SerinusError
from canary.rollout import Rollout
from canary.snapshot import Snapshot
from canary.weights import ARMS
from controlplane.adapters.process_child import child_of, port_of
from controlplane.adapters.process_record import ProcessRecord, ProcessRecords
from controlplane.adapters.processes import RECORDS_FILE
from controlplane.alerts.delivery_log import lines_of
from controlplane.gitops.git_state import GitState, GitStateStore
from controlplane.private_files import read_json
from controlplane.view.facts import ChannelReport, Commit, GitOrigin, Replica, RolloutFacts
from controlplane.view.text import clean
from controlplane.view.weblinks import commit_link, file_link, pull_link, repository_link

ALERTS_FILE, LEDGER_FILE, CONTROLLER = "alerts.jsonl", "ledger.json", "_controller"
MADE = {"promote": "the canary became stable", "put back": "the file was put back"}


def local_facts(folder: Path, rollout: Rollout, seen: Snapshot) -> RolloutFacts:
    """What is known around this rollout, whose state is in `folder`."""
    return RolloutFacts(
        replicas=tuple(_replicas(folder / RECORDS_FILE, seen)),
        origin=_origin(_book_of(folder, rollout.name), rollout),
        channels=tuple(_channels(_lines(folder / ALERTS_FILE), rollout)),
    )


def prometheus_port(folder: Path) -> int | None:
    """Where the rollout's own Prometheus answers on this machine; None while none of its runs."""
    try:
        record = read_json(folder / "prometheus" / "prometheus.json")
    except SerinusError:
        return None
    child = child_of(record)
    return port_of(record) if child is not None and child.alive else None


def _replicas(file: Path, seen: Snapshot) -> Iterable[Replica]:
    """The processes on record that still run or ought to, stable first."""
    try:
        records = ProcessRecords(file).all()
    except SerinusError:
        return
    for arm in reversed(ARMS) if ARMS[0] == "canary" else ARMS:
        problem = (seen.stable if arm == "stable" else seen.canary).problem
        for name, record in sorted(records.items()):
            if name.startswith(f"{arm}-"):
                alive = record.child.alive
                ready = alive and record.ready_since is not None and not record.stopping
                yield Replica(
                    arm=arm,
                    name=name,
                    ready=ready,
                    since=record.child.created if alive else None,
                    restarts=record.starts - 1,
                    place=f"pid {record.child.pid}, port {record.port}",
                    trouble="" if ready else _trouble(record, problem, alive=alive),
                )


def _trouble(record: ProcessRecord, problem: str, *, alive: bool) -> str:
    if not alive:
        return "its process has ended" + (f": {problem}" if problem else "")
    return "it is being stopped" if record.stopping else problem or "it is not ready yet"


def _book_of(folder: Path, name: str) -> GitState | None:
    """The book of the git controller that follows this rollout: beside it, above it (`--state`), in it (the demo)."""
    places = [folder.parent / CONTROLLER, folder / "controller"]
    if folder.parent.name == "rollouts":
        places.append(folder.parent.parent)
    for place in places:
        file = place / LEDGER_FILE
        stamp = _stamp(file)
        if stamp and (book := _read_book(file, stamp)) is not None and name in book.origins:
            return book
    return None


@lru_cache(maxsize=64)
def _read_book(file: Path, stamp: tuple[int, int]) -> GitState | None:
    try:
        return GitStateStore(file).state
    except SerinusError:
        return None


def _origin(book: GitState | None, rollout: Rollout) -> GitOrigin | None:
    found = book.origins.get(rollout.name) if book else None
    if book is None or found is None:
        return None
    of = f"{rollout.name}/{rollout.attempt}"
    brought_by = next((each.pull for each in book.reports.values() if each.commit == found.commit and each.pull), None)
    made = book.made.get(rollout.name)
    written = None
    if made is not None and made.rollout == of:
        written = Commit(made.commit, MADE[made.kind], commit_link(book.url, made.commit))
    proposed = next((each for each in book.proposals if each.writing.rollout == of and each.number), None)
    waits = any(each.rollout == of for each in book.writings)
    rejection = book.rejected.get(rollout.name, {}).get(rollout.revision)
    return GitOrigin(
        repository=repository_link(book.url) or book.url,
        path=found.path,
        line=found.line,
        commit=Commit(found.commit, found.subject, commit_link(book.url, found.commit)),
        author=found.author,
        file_link=file_link(book.url, found.commit, found.path, found.line),
        ours=found.revision == rollout.revision,
        pull_request=Commit(f"#{brought_by}", "", pull_link(book.url, brought_by)) if brought_by else None,
        proposed=Commit(f"#{proposed.number}", proposed.moot or "waits to be merged", proposed.url)
        if proposed
        else None,
        written=written,
        waits="the commit about its end is not made yet; it is tried again" if waits else "",
        rejected="" if rejection is None else rejection.sentence,
    )


def _channels(lines: Sequence[Mapping[str, Any]], rollout: Rollout) -> Iterable[ChannelReport]:
    """What each channel was told of this attempt, in the order in which they were set up."""
    attempt = f"{rollout.name}/{rollout.attempt}/"
    for channel in dict.fromkeys(str(line["channel"]) for line in lines if "channel" in line):
        mine = [line for line in lines if line.get("channel") == channel]
        arrived = [line for line in mine if "delivered" in line and str(line.get("key", "")).startswith(attempt)]
        last = arrived[-1] if arrived else None
        failed: Mapping[str, Any] = next(
            (line for line in reversed(mine) if "failed" in line or "delivered" in line), {}
        )
        yield ChannelReport(
            channel=channel,
            delivered=len(arrived),
            last=_seconds(last, "delivered"),
            about="" if last is None else _about(last, rollout.name),
            trouble=str(failed.get("said") or "") if "failed" in failed else "",
            trouble_since=_seconds(failed, "failed"),
        )


def _about(line: Mapping[str, Any], name: str) -> str:
    kind = str(line.get("key", "")).rpartition("/")[2]
    title = next((words for each, words in TITLES.items() if each == kind), kind).format(clean(name))
    return f"{title} (it is over)" if line.get("state") == "resolved" else title


def _seconds(line: Mapping[str, Any] | None, key: str) -> float | None:
    value = None if line is None else line.get(key)
    return float(value) if isinstance(value, int | float) else None


def _lines(file: Path) -> Sequence[Mapping[str, Any]]:
    stamp = _stamp(file)
    return _read_lines(file, stamp) if stamp else ()


@lru_cache(maxsize=64)
def _read_lines(file: Path, stamp: tuple[int, int]) -> Sequence[Mapping[str, Any]]:
    """What the file says while it has this stamp."""
    return lines_of(file)


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes whenever the file does; None where there is none."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
