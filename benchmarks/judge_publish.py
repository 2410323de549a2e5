"""Makes the figures of the last whole run of `judge.py` those of the documents: tables, chart, a copy to check with.

    python benchmarks/judge.py && python -m benchmarks.judge_publish

`results/` is everybody's own; `published/judge.json` is in the repository, and a test holds `docs/` to it.
"""

import json
import sys
from pathlib import Path

from benchmarks.judge_chart import chart
from benchmarks.judge_tables import written_into

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "judge.json"
PUBLISHED = HERE / "published" / "judge.json"
DOCUMENT = HERE.parent / "docs" / "judge.md"
PICTURE = HERE.parent / "docs" / "pictures" / "judge.svg"
WHOLE = 2000
"""Healthy rollouts of a whole run; what `--quick` plays is not for the documents."""


def main() -> None:
    """Read the results, write all three."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    played = found["healthy"]["real, 200 rps"]["ours at 5%"]["rollouts"]
    if played < WHOLE:
        sys.exit(f"{RESULTS} is of {played} healthy rollouts, and the documents show {WHOLE}: nothing was written.")
    DOCUMENT.write_text(written_into(DOCUMENT.read_text(encoding="utf-8"), found), encoding="utf-8")
    PICTURE.write_text(chart(found["regressions"]), encoding="utf-8")
    PUBLISHED.parent.mkdir(exist_ok=True)
    PUBLISHED.write_text(RESULTS.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
