"""What do 200 open dashboards of a cluster cost the server, at one event a second?

Serves a rollout from an API server in memory in a process of its own, lets 200 people follow it over real connections,
and writes a status with one event more every second. Only the serving process is counted (user and system time), with
the API server in memory inside of it. Exits with 1 where it takes more than the limit, or somebody missed an event.

    python benchmarks/dashboards.py [--listeners 200] [--seconds 30] [--rollouts 1]
"""

import argparse
import asyncio
import copy
import subprocess
import sys
import time
from functools import partial

import psutil

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import CONFIG_MAP, MODEL_CANARY
from tests.controlplane.api.clusters import OWNER, Shown, showing
from tests.controlplane.kubectl.desk import under_way
from tests.controlplane.operator.town import PLACE

LIMIT = 0.15
"""Of one core."""
SETTLING_S = 5.0


def with_event(before: Object, number: int) -> Object:
    """The same ModelCanary after one event more."""
    after = copy.deepcopy(before)
    state = after["status"]["state"]
    last = state["history"][-1]
    name = after["metadata"]["name"]
    more = {**last, "id": f"{name}/{state['attempt']}/{number}", "message": f"event {number}"}
    state["history"] = [*state["history"][-19:], more]
    state["events"] = number
    after["status"]["version"] += 1
    return after


def serve(rollouts: int) -> None:
    """Serve until the standard input ends; one event a second for each rollout."""
    with showing(under_way) as shown:
        first = shown.kube.objects(MODEL_CANARY)[PLACE, "chat"]
        book = shown.kube.objects(CONFIG_MAP).get((PLACE, "chat-history"))
        names = [f"chat-{number}" for number in range(rollouts)]
        objects = {name: _named(first, name) for name in names}
        for name in names:
            shown.within(partial(shown.kube.seed, MODEL_CANARY, objects[name]))
            if book is not None:
                shown.within(partial(shown.kube.seed, CONFIG_MAP, _named(book, f"{name}-history")))
        print(shown.url, flush=True)
        _tell(shown, objects, int(first["status"]["state"]["events"]))


def _tell(shown: Shown, objects: dict[str, Object], number: int) -> None:
    while True:
        began = time.monotonic()
        number += 1
        for name, before in objects.items():
            objects[name] = with_event(before, number)
            shown.within(partial(shown.kube.seed, MODEL_CANARY, objects[name]))
        time.sleep(max(1.0 - (time.monotonic() - began), 0.0))


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


async def measure(url: str, process: psutil.Process, listeners: int, rollouts: int, seconds: float) -> int:
    """Print the share of a core; answers the exit code."""
    host, port = url.removeprefix("http://").split(":")
    heard: list[list[int]] = [[] for _ in range(listeners)]
    async with asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(listen(host, int(port), f"chat-{n % rollouts}", each)) for n, each in enumerate(heard)
        ]
        await asyncio.sleep(SETTLING_S)
        before, began = process.cpu_times(), time.monotonic()
        known = [len(each) for each in heard]
        await asyncio.sleep(seconds)
        after, passed = process.cpu_times(), time.monotonic() - began
        for each in following:
            each.cancel()
    share = (after.user + after.system - before.user - before.system) / passed
    news = [len(each) - number for each, number in zip(heard, known, strict=True)]
    missed = sum(each != list(range(each[0], each[0] + len(each))) for each in heard if each)
    print(f"{listeners} listeners, {rollouts} rollout(s), {min(news)} to {max(news)} events each in {passed:.0f} s")
    print(f"{share:.1%} of a core; the limit is {LIMIT:.0%}; {missed} listeners missed or repeated an event")
    return 0 if share <= LIMIT and not missed and min(news) else 1


def main() -> int:
    """Measure; answers the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--rollouts", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.serve:
        serve(said.rollouts)
        return 0
    words = [sys.executable, __file__, "--serve", "--rollouts", str(said.rollouts)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = (server.stdout.readline() if server.stdout else "").strip()
            served = psutil.Process(server.pid)
            return asyncio.run(measure(url, served, said.listeners, said.rollouts, said.seconds))
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
