"""Counters that outlive the process: kept in a small file of JSON, added to by whoever works, read by `/metrics`.

Used for the git operations of a controller and the alerts of a rollout on this machine. Cheap enough for every
operation; a file that cannot be written costs the counters, never the work.
"""

from collections import Counter
from contextlib import suppress
from pathlib import Path

from canary.errors import Unavailable
from controlplane.private_files import read_json, write_json

Key = tuple[str, str]
"""What was done, and how it went."""
git_operations: Counter[Key] = Counter()
"""Git operations of this process, for the operator's page."""
OPERATIONS, ALERTS = "operations.json", "alerts.counts.json"
"""Files beside a controller's ledger and beside a rollout's state."""


class Counts:
    """One file of counters. One process writes it, any number may read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._counts = read_counts(file)

    def add(self, what: str, outcome: str) -> None:
        """One more; written at once, for operations are seconds apart."""
        self._counts[what, outcome] += 1
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json(self._file, [[*key, count] for key, count in sorted(self._counts.items())])


def read_counts(file: Path) -> Counter[Key]:
    """What the file has; nothing where it is missing or damaged."""
    found: Counter[Key] = Counter()
    with suppress(Unavailable, ValueError, TypeError, OverflowError):
        for what, outcome, count in read_json(file) or ():
            found[str(what), str(outcome)] += int(count)
    return found
