"""What a later run has to know of the processes that this one started: `processes.json` in the state folder.

Written at every start and stop of a replica, read once when a run begins (`processes.py`). Says nothing about whether a
process still runs: that is asked of the system, with the creation time that stands here.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from canary.spec.models import Variant
from canary.weights import Arm
from controlplane.adapters.process_child import Child, child_of, port_of
from controlplane.private_files import read_json, write_json


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One replica as it was last started."""

    child: Child
    port: int
    """Kept for its next start, so that its address stays the same."""
    digest: str
    """Of its command line and environment: what must be equal for the process to be taken over."""
    ready_since: float | None = None
    """Seconds since the epoch; None while it has not been ready."""
    stopping: bool = False
    """True once it was asked to end: such a process is not taken over."""
    starts: int = 1
    """How often the replica was started, this time included; for people."""


class ProcessRecords:
    """The file, read once and replaced at every change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._records = dict(_read(file))

    def get(self, replica: str) -> ProcessRecord | None:
        """The record of this replica."""
        return self._records.get(replica)

    def all(self) -> Mapping[str, ProcessRecord]:
        """Every record by the replica's name."""
        return dict(self._records)

    def serves(self, replica: str, digest: str) -> bool:
        """Whether this replica's process runs, is this command, and was not asked to end."""
        record = self._records.get(replica)
        return record is not None and record.digest == digest and not record.stopping and record.child.alive

    def of_arm(self, arm: Arm) -> list[str]:
        """Names of all replicas on record for this arm, of whatever run."""
        return [name for name in self._records if name.startswith(f"{arm}-")]

    def put(self, replica: str, record: ProcessRecord) -> None:
        """Write it down; raises OSError when the disk does not take it."""
        self._records[replica] = record
        self._write()

    def note_ready(self, replica: str, since: float) -> None:
        """Write down since when it is ready (seconds since the epoch)."""
        self._amend(replica, lambda record: replace(record, ready_since=since))

    def note_stopping(self, replica: str) -> None:
        """Write down that it was asked to end."""
        self._amend(replica, lambda record: replace(record, stopping=True))

    def rename(self, replica: str, name: str) -> None:
        """Give a replica's process another name; who had that name is on record as `<name>-former` until it ends."""
        if former := self._records.pop(name, None):
            self._records[f"{name}-former"] = former
        self._records[name] = self._records.pop(replica)
        self._write_if_possible()

    def forget(self, replica: str, child: Child) -> None:
        """Strike out this process, unless the replica has another one by now."""
        record = self._records.get(replica)
        if record is not None and record.child == child:
            del self._records[replica]
            self._write_if_possible()

    def _amend(self, replica: str, amended: Callable[[ProcessRecord], ProcessRecord]) -> None:
        if record := self._records.get(replica):
            self._records[replica] = amended(record)
            self._write_if_possible()

    def _write_if_possible(self) -> None:
        """What is noted after the start only makes a take-over smoother; a full disk must not end the supervision."""
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        write_json(self._file, {name: _to_json(record) for name, record in sorted(self._records.items())})


def digest_of(variant: Variant, folder: Path) -> str:
    """What makes two starts of a variant the same process: all that it is started with, but for the port."""
    prompt = variant.system_prompt.model_dump() if variant.system_prompt else None
    parts = [variant.name, list(variant.command), dict(variant.env), prompt, str(folder), *variant.pass_env]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(file: Path) -> Iterator[tuple[str, ProcessRecord]]:
    """Every entry that makes sense."""
    entries = read_json(file)
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        child, port = child_of(entry), port_of(entry)
        if child is None or port is None:
            continue
        since, starts = entry.get("readySince"), entry.get("starts")
        yield (
            str(name),
            ProcessRecord(
                child=child,
                port=port,
                digest=str(entry.get("digest")),
                ready_since=since if isinstance(since, float) else None,
                stopping=bool(entry.get("stopping")),
                starts=starts if isinstance(starts, int) else 1,
            ),
        )


def _to_json(record: ProcessRecord) -> dict[str, object]:
    return {
        "pid": record.child.pid,
        "created": record.child.created,
        "port": record.port,
        "digest": record.digest,
        "readySince": record.ready_since,
        "stopping": record.stopping,
        "starts": record.starts,
    }
