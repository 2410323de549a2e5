"""Counters that outlive the process: kept in a small file of JSON, added to by whoever works, read by `/metrics`.

Used for the git operations of a controller and the alerts of a rollout on this machine. Cheap enough for every
operation; a file that cannot be written costs the counters, never the work.
"""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

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
            self._file.parent.mkdir(parents=True, exist_ok=True)
            written = self._file.with_suffix(".new")
            written.write_text(json.dumps([[*key, count] for key, count in sorted(self._counts.items())]))
            written.replace(self._file)


def read_counts(file: Path) -> Counter[Key]:
    """What the file has; nothing where it is missing or damaged."""
    found: Counter[Key] = Counter()
    with suppress(OSError, ValueError, TypeError):
        for what, outcome, count in json.loads(file.read_text(encoding="utf-8")):
            found[str(what), str(outcome)] += int(count)
    return found
