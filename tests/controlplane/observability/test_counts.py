"""Counters in a file: over restarts, and never in the way."""

from pathlib import Path

from controlplane.observability.counts import Counts, read_counts


def test_they_go_on_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "new" / "operations.json"
    Counts(file).add("fetch", "ok")
    again = Counts(file)
    again.add("fetch", "ok")
    again.add("push", "rejected")
    assert read_counts(file) == {("fetch", "ok"): 2, ("push", "rejected"): 1}


def test_a_file_that_is_damaged_or_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    file = tmp_path / "operations.json"
    file.write_text('[["fetch", "ok"')
    assert not read_counts(file)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    Counts(in_the_way / "operations.json").add("fetch", "ok")
    assert in_the_way.read_text() == ""
