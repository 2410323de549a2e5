"""What a later run learns of the processes of this one."""

import os
from pathlib import Path

import psutil

from canary.spec.models import Variant
from controlplane.adapters.process_child import Child
from controlplane.adapters.process_record import ProcessRecord, ProcessRecords, digest_of

ME = Child(os.getpid(), psutil.Process().create_time())
GONE = Child(os.getpid(), 1.0)


def test_a_later_run_reads_what_was_written(tmp_path: Path) -> None:
    records = ProcessRecords(tmp_path / "file")
    records.put("canary-0", ProcessRecord(ME, 4711, "digest", starts=3))
    records.note_ready("canary-0", 12.5)
    records.put("stable-0", ProcessRecord(GONE, 4712, "other"))
    records.note_stopping("stable-0")
    later = ProcessRecords(tmp_path / "file")
    assert later.get("canary-0") == ProcessRecord(ME, 4711, "digest", ready_since=12.5, starts=3)
    assert later.get("stable-0") == ProcessRecord(GONE, 4712, "other", stopping=True)
    assert (later.of_arm("stable"), later.of_arm("canary")) == (["stable-0"], ["canary-0"])


def test_a_replica_serves_while_its_very_process_runs_and_was_not_asked_to_end(tmp_path: Path) -> None:
    records = ProcessRecords(tmp_path / "file")
    records.put("canary-0", ProcessRecord(ME, 4711, "digest"))
    records.put("canary-1", ProcessRecord(GONE, 4712, "digest"))
    assert records.serves("canary-0", "digest")
    assert not records.serves("canary-0", "another digest")
    assert not records.serves("canary-1", "digest")
    assert not records.serves("canary-2", "digest")
    records.note_stopping("canary-0")
    assert not records.serves("canary-0", "digest")


def test_renaming_keeps_who_had_the_name_on_record(tmp_path: Path) -> None:
    """It still has to be ended."""
    records = ProcessRecords(tmp_path / "file")
    records.put("stable-0", ProcessRecord(GONE, 1, "old"))
    records.put("canary-0", ProcessRecord(ME, 2, "new"))
    records.rename("canary-0", "stable-0")
    assert records.get("stable-0") == ProcessRecord(ME, 2, "new")
    assert records.get("stable-0-former") == ProcessRecord(GONE, 1, "old")
    assert records.get("canary-0") is None
    assert records.of_arm("stable") == ["stable-0-former", "stable-0"]


def test_forgetting_a_process_spares_its_successor(tmp_path: Path) -> None:
    records = ProcessRecords(tmp_path / "file")
    records.put("canary-0", ProcessRecord(ME, 2, "new"))
    records.forget("canary-0", GONE)
    assert records.get("canary-0") is not None
    records.forget("canary-0", ME)
    assert ProcessRecords(tmp_path / "file").get("canary-0") is None


def test_entries_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    records = ProcessRecords(tmp_path / "file")
    records.put("canary-0", ProcessRecord(ME, 2, "new"))
    text = (tmp_path / "file").read_text()
    (tmp_path / "file").write_text('{"stable-0": {"pid": "x"}, "stable-1": 3,' + text.lstrip()[1:])
    later = ProcessRecords(tmp_path / "file")
    assert later.of_arm("stable") == []
    assert later.get("canary-0") == ProcessRecord(ME, 2, "new")


def test_the_digest_is_of_what_makes_the_process(tmp_path: Path) -> None:
    """Paths that are only asked later may change without a restart."""
    variant = Variant(name="v1", command=("serve", "{port}"), env={"A": "1"})
    digest = digest_of(variant, tmp_path)
    same = (variant.model_copy(update={"ready": "/up", "metrics": "/m", "replicas": 3}), tmp_path)
    others = [
        (variant.model_copy(update={"name": "v2"}), tmp_path),
        (variant.model_copy(update={"command": ("serve", "{port}", "-x")}), tmp_path),
        (variant.model_copy(update={"env": {"A": "2"}}), tmp_path),
        (variant, tmp_path / "elsewhere"),
    ]
    assert digest_of(*same) == digest
    assert digest not in {digest_of(*other) for other in others}
