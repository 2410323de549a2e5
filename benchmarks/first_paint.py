"""How soon does somebody see something: the sign-in page, the list, and a rollout with a month of history?

Starts the real server over a state directory (and one over a cluster in memory, for the sign-in page) and opens each
page in a real Chromium with an empty cache, again and again. Told are the first contentful paint, as the browser counts
it from the start of the navigation, and when the page's own heading stood there. Exits with 1 where a median first
paint is later than the limit.

    python benchmarks/first_paint.py [--runs 7] [--out benchmarks/results/first_paint.json]
"""

import argparse
import json
import logging
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from canary.spec.models import Metadata, ModelCanary
from tests.controlplane.api import homes
from tests.controlplane.api.clusters import showing
from tests.controlplane.api.serving import serving
from tests.controlplane.dashboard.conftest import FLAGS
from tests.controlplane.kubectl.desk import left_by, under_way
from tests.controlplane.view import scenes

LIMIT_S = 1.0
MONTH = 30 * 86400.0
EVENTS = 2000
"""As many as a rollout keeps in a cluster; on one machine all are kept."""
RESULTS = Path(__file__).parent / "results" / "first_paint.json"
GATES = ("latency p95 <= 200ms", "error_rate <= 1%")
SEEN = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return paint && document.querySelector("h1") ? [paint.startTime, performance.now()] : null;
}"""


def a_month(home: Path) -> None:
    """A rollout that began a month ago, with the samples and the events of all that time."""
    rollout = homes.under_way(home)
    now, last = time.time(), rollout.history[-1]
    began = now - MONTH
    events = tuple(
        replace(
            last,
            id=f"{rollout.name}/{rollout.attempt}/{number}",
            at=began + MONTH * number / EVENTS,
            t=MONTH * number / EVENTS,
            event="verdict",
            evidence={"gate": GATES[0], "verdict": "wait", "stable": 0.084, "canary": 0.09 + number % 7 / 1000},
        )
        for number in range(1, EVENTS + 1)
    )
    old = replace(rollout, began=began, history=events, events=EVENTS)
    plan = ModelCanary(metadata=Metadata(name=rollout.name), spec=scenes.plan())
    homes.run(homes.keep(home / rollout.name, plan, old, events))
    homes.look_again(home, old, now)
    lines = [json.dumps(_sample(t)) for t in _moments()]
    (home / rollout.name / f"samples-{rollout.name}-{rollout.attempt}.jsonl").write_text("\n".join(lines) + "\n")


def _moments() -> Iterator[float]:
    """When a run writes a sample: each second, then rarer as it gets older (`controlplane/view/live.py`)."""
    t = 1.0
    while t < MONTH:
        yield t
        t += max(1.0, t / 500)


def _sample(t: float) -> dict[str, Any]:
    value = 0.09 + t % 700 / 70_000
    return {
        "t": round(t, 3),
        "asked": 0.25,
        "in_force": 0.25,
        "gates": {gate: [0.084, value, 0.2] for gate in GATES},
        "bands": {gate: {"stable": [0.082, 0.086], "canary": [value - 0.004, value + 0.004]} for gate in GATES},
    }


def measure(browser: Browser, address: str, runs: int, enter: Callable[[BrowserContext], None]) -> Mapping[str, Any]:
    """Medians and the worst of so many visits, each by a browser that has never been there, in seconds."""
    paints, headings = [], []
    for _ in range(runs):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        enter(context)
        page = context.new_page()
        page.goto(address)
        paint, heading = page.wait_for_function(SEEN, polling=10).json_value()
        paints.append(paint / 1000)
        headings.append(heading / 1000)
        context.close()
    return {
        "first_paint_s": round(statistics.median(paints), 3),
        "first_paint_worst_s": round(max(paints), 3),
        "heading_s": round(statistics.median(headings), 3),
        "heading_worst_s": round(max(headings), 3),
    }


def pages(browser: Browser, runs: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each page with what was measured."""
    with ThreadPoolExecutor(1) as thread:  # the browser's loop runs in this one
        thread.submit(left_by, under_way).result()
    with showing(under_way, sign_in=True) as shown:
        yield "sign-in", measure(browser, f"{shown.url}/sign-in", runs, lambda _context: None)
    with tempfile.TemporaryDirectory() as home:
        a_month(Path(home))
        with serving(Path(home)) as served:

            def enter(context: BrowserContext) -> None:
                cookie = {"name": served.keys.cookie_name, "value": served.keys.cookie, "url": served.url}
                context.add_cookies([cookie])  # type: ignore[list-item]  # - playwright's own dictionary, by its keys

            yield "list", measure(browser, f"{served.url}/", runs, enter)
            yield "a month of history", measure(browser, f"{served.url}/rollouts/support-llm", runs, enter)


def main() -> int:
    """Measure; answers the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS, help="Where the figures go.")
    said = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        parser.error("there is no Chromium on this machine")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a browser that closes in mid-stream is a warning a message
    found: dict[str, Mapping[str, Any]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, figures in pages(browser, said.runs):
            found[name] = figures
            print(json.dumps({"page": name, **figures}))
        browser.close()
    about = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "python": platform.python_version()}
    said.out.write_text(json.dumps({"limit_s": LIMIT_S, "machine": about, "pages": found}, indent=2) + "\n")
    return 0 if all(each["first_paint_s"] <= LIMIT_S for each in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
