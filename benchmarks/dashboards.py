"""What do 200 open dashboards of a cluster cost the server, at one event a second?

Serves rollouts from an API server in memory in a process of its own, lets people follow them over real connections, and
writes a status with one event more for every rollout every second. Counted is the processor time of the serving
process, so that a machine with other work on it matters little; what the API server in memory and its writer take in
that process is measured by itself and taken off. Exits with 1 where it is more than the limit, or somebody missed an
event.

    python benchmarks/dashboards.py [--listeners 200] [--seconds 30] [--rollouts 1 200] [--out benchmarks/results/…]
"""

import argparse
import asyncio
import copy
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY, ROLLOUT_HISTORY
from tests.controlplane.api.clusters import OWNER, Shown, showing
from tests.controlplane.operator.town import PLACE, Town, a_spec

LIMIT = 0.15
"""Of one core."""
SETTLING_S = 8.0
RESULTS = Path(__file__).parent / "results" / "dashboards.json"


async def judged(town: Town) -> None:
    """A canary in its first stage, of which the judge has counted something."""
    gates = ["error_rate <= 5%", "error_rate not worse than stable by 50%"]
    stages: list[dict[str, Any]] = [{"traffic": "5%", "hold": "1h", "gates": gates}]
    stages += [{"traffic": "25%", "hold": "1h"}, {"traffic": "100%"}]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    await asyncio.sleep(60)


def with_event(before: Object, number: int) -> Object:
    """The same ModelCanary after one event more, and after what the judge has counted until then."""
    state = before["status"]["state"]
    last, name = state["history"][-1], before["metadata"]["name"]
    more = {**last, "id": f"{name}/{state['attempt']}/{number}", "message": f"event {number}"}
    after = {**state, "history": [*state["history"][-19:], more], "events": number}
    after["judge"] = _counted(state["judge"], number)
    after["verdicts"] = [
        {**each, "samples": {"stable": 190 * number, "canary": 10 * number}} for each in state["verdicts"]
    ]
    return {**before, "status": {**before["status"], "version": before["status"]["version"] + 1, "state": after}}


def _counted(judge: Object, number: int) -> Object:
    """The judge's memory with more requests and a few errors more, so that every band is another one."""
    tally = {
        arm: {**kept, "requests": n * number, "errors": number // 2, "errors_of": n * number}
        for (arm, kept), n in zip(sorted(judge["memory"]["tally"].items()), (10, 190), strict=True)
    }
    previous = {**judge["previous"], "at": judge["previous"]["at"] + 1}
    return {**judge, "previous": previous, "memory": {**judge["memory"], "tally": tally, "blocks": number}}


def serve(rollouts: int) -> None:
    """Serve until the standard input ends; one event a second for each rollout."""
    with showing(judged) as shown:
        first = shown.kube.objects(MODEL_CANARY)[PLACE, "chat"]
        book = shown.kube.objects(ROLLOUT_HISTORY).get((PLACE, "chat"))
        names = [f"chat-{number}" for number in range(rollouts)]
        objects = {name: _named(first, name) for name in names}
        for name in names:
            shown.within(partial(shown.kube.seed, MODEL_CANARY, objects[name]))
            if book is not None:
                shown.within(partial(shown.kube.seed, ROLLOUT_HISTORY, _named(book, name)))
        print(shown.url, flush=True)
        number = int(first["status"]["state"]["events"])
        asyncio.run_coroutine_threadsafe(_tell(shown, objects, number), shown.loop).result()


async def _tell(shown: Shown, objects: dict[str, Object], number: int) -> None:
    """Write for ever, evenly over each second, as a cluster does; every second a line with what was used up."""
    world, written, due = 0.0, 0, time.monotonic()
    told = due
    while True:
        number += 1
        for name, before in objects.items():
            mine = time.thread_time()
            objects[name] = with_event(before, number)
            shown.kube.seed(MODEL_CANARY, objects[name])
            world += time.thread_time() - mine
            due, written = due + 1.0 / len(objects), written + 1
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
            if (at := time.monotonic()) - told >= 1.0:
                told, used = at, time.process_time()
                print(json.dumps({"used": used, "world": world, "at": at, "written": written}), flush=True)


def _named(object_: Object, name: str) -> Object:
    made = copy.deepcopy(object_)
    made["metadata"] |= {"name": name, "uid": name}
    made["metadata"].pop("resourceVersion", None)
    if "status" in made:
        made["status"]["state"]["name"] = name
        for event in made["status"]["state"]["history"]:
            event["id"] = f"{name}/{'/'.join(event['id'].rsplit('/', 2)[1:])}"
    return made


async def listen(host: str, port: int, name: str, heard: list[int]) -> None:
    """Follow one rollout; the numbers of its events are put into `heard`."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET /api/v1/rollouts/{PLACE}~{name}/stream HTTP/1.1\r\nHost: {host}:{port}\r\n"
    writer.write(f"{request}Authorization: Bearer {OWNER}\r\n\r\n".encode())
    try:
        while line := await reader.readline():
            if line.startswith(b"id: "):
                heard.append(int(line.rsplit(b"/", 1)[1]))
    finally:
        writer.close()


class Told:
    """What the serving process says of itself, a line a second."""

    def __init__(self) -> None:
        self.newest: Mapping[str, float] = {}
        self.begun = asyncio.Event()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Take in every line."""
        async for line in lines:
            self.newest = json.loads(line)
            self.begun.set()


async def measure(listeners: int, rollouts: int, seconds: float) -> Mapping[str, Any]:
    """What the server used while these people listened, and what they heard."""
    words = (sys.executable, __file__, "--serve", str(rollouts))
    server = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    lines = server.stdout or asyncio.StreamReader()
    host, port = (await lines.readline()).decode().strip().removeprefix("http://").split(":")
    told, heard = Told(), [list[int]() for _ in range(listeners)]
    try:
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(listen(host, int(port), f"chat-{n % rollouts}", each)) for n, each in enumerate(heard)
            ]
            following.append(tasks.create_task(told.listen(lines)))
            await told.begun.wait()
            await asyncio.sleep(SETTLING_S)
            before, known = told.newest, [len(each) for each in heard]
            await asyncio.sleep(seconds)
            told.begun.clear()
            await told.begun.wait()  # a machine that is busy tells late
            after, news = told.newest, [len(each) - number for each, number in zip(heard, known, strict=True)]
            for each in following:
                each.cancel()
    finally:
        server.kill()
        await server.wait()
    passed, world = after["at"] - before["at"], after["world"] - before["world"]
    return {
        "listeners": listeners,
        "rollouts": rollouts,
        "seconds": round(passed, 1),
        "written_each": round((after["written"] - before["written"]) / rollouts, 1),
        "share_of_a_core": round((after["used"] - before["used"] - world) / passed, 4),
        "world_share_of_a_core": round(world / passed, 4),
        "events_each": [min(news), max(news)],
        "missed_or_repeated": sum(each != list(range(each[0], each[0] + len(each))) for each in heard if each),
    }


def good(found: Mapping[str, Any]) -> bool:
    """Whether it stayed within the limit and everybody heard everything, nearly every second."""
    # With many rollouts they take turns: the newest events may be a few seconds away when the counting ends.
    heard_all = not found["missed_or_repeated"] and found["events_each"][0] >= found["written_each"] - 10
    steady = found["written_each"] >= 0.9 * found["seconds"]
    return bool(heard_all and steady and found["share_of_a_core"] <= LIMIT)


def main() -> int:
    """Measure; answers the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--rollouts", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="Where the figures go.")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.serve:
        serve(said.serve)
        return 0
    runs = []
    for rollouts in said.rollouts:
        runs.append(asyncio.run(measure(said.listeners, rollouts, said.seconds)))
        print(json.dumps(runs[-1]))
        if runs[-1]["written_each"] < 0.9 * runs[-1]["seconds"]:
            print("The machine is too busy: the events did not come once a second, and the share says little.")
    about = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "python": platform.python_version()}
    said.out.write_text(json.dumps({"limit": LIMIT, "machine": about, "runs": runs}, indent=2) + "\n")
    return 0 if all(map(good, runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
