"""Leaves around a rollout what a real machine leaves: processes, a git controller's book, alerts; hostile if wanted."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import psutil

from canary.rollout import Rollout
from controlplane.adapters.process_child import Child
from controlplane.adapters.process_record import ProcessRecord, ProcessRecords
from controlplane.gitops.git_state import GitStateStore, PendingCommit, PlanOrigin, Rejection

ME = Child(os.getpid(), psutil.Process().create_time())


def surround(
    home: Path, rollout: Rollout, *, text: str = "Try nf4", url: str = "https://github.com/ml/apps.git"
) -> None:
    """Two processes (one restarted twice and not ready), a commit that was put back, and two channels, one failing."""
    folder, name = home / rollout.name, rollout.name
    records = ProcessRecords(folder / "processes.json")
    records.put("stable-0", ProcessRecord(ME, 40123, "d"))
    records.note_ready("stable-0", time.time() - 60)
    records.put("canary-0", ProcessRecord(ME, 40124, "d", starts=3))
    (home / "_controller").mkdir()
    ledger = GitStateStore(home / "_controller" / "ledger.json")
    ledger.follows(url)
    origin = PlanOrigin(f"apps/{text}/canary.yml", 14, rollout.revision, "a", "4f2c1e9aa7", f"Ann {text}", text)
    ledger.origin(name, origin)
    writing = PendingCommit("put back", f"{name}/{rollout.attempt}", "t", name, rollout.revision, "a", text)
    ledger.add(writing)
    ledger.written(writing, "beefbeef11")
    ledger.add(replace(writing, message="another"))
    ledger.reject(name, rollout.revision, Rejection("4f2c1e9aa7", f"It was slow: {text}"))
    now = time.time()
    lines = [
        {"channel": f"slack {text}", "since": 1.0},
        {
            "channel": f"slack {text}",
            "key": f"{name}/{rollout.attempt}/{text}",
            "number": 1,
            "at": now,
            "delivered": now,
        },
        {"channel": "pagerduty", "failed": now, "said": f"it answers 403: {text}"},
    ]
    (folder / "alerts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
