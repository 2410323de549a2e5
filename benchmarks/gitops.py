"""How long does a commit take to become a rollout, and what does following a large repository cost?

Everything that is measured is real: git's command line, a git host over HTTP on loopback (`git http-backend`), the
controller, the listener for webhooks over HTTP. Only the rollout itself does nothing but begin. Prints a table and
writes JSON to `benchmarks/results/gitops.json`.

    python benchmarks/gitops.py [--commits 20] [--interval 1] [--files 1000] [--rate 1000]

Limits: by webhook 2 s, by polling the interval and a second, a look at 1000 files 3 s whatever changed. Under 1000
forged webhooks a second for ten seconds there is no fetch, no 5xx and no growth of memory, and an honest push begins
its rollout within 2 s. How many are sent depends on how much of the machine is left to the forgers, so what one costs
the listener is printed as well.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from canary.rollout import Rollout
from canary.spec.models import ModelCanary
from controlplane.adapters.http_listener import listen
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_outbox import CommitOutbox
from controlplane.gitops.controller import GitController
from controlplane.gitops.follow import follow
from controlplane.gitops.git_state import GitStateStore
from controlplane.gitops.listener import SecretFile, WebhookListener, at_root
from controlplane.gitops.local_rollouts import LocalRollouts
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import Remote, remote
from controlplane.program import Audience, Controls
from tests.controlplane.gitops.deliveries import SECRET, push, signed
from tests.controlplane.gitops.host import hosted
from tests.controlplane.gitops.origin import Origin

RESULTS = Path(__file__).parent / "results" / "gitops.json"
TOKEN = "benchmark"  # noqa: S105 - of a host on loopback that lives for a minute
BY_WEBHOOK_S, AFTER_INTERVAL_S, SYNC_S = 2.0, 1.0, 3.0
SECONDS_OF_FLOOD = 10
FORGERS = 32
"""Connections at a time."""
HONEST = "127.0.0.2"
GROWTH_MIB = 8.0
"""Of memory under a flood; what a process grows by anyway when it does something for the first time."""
FILE = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: {name}}}
spec:
  model: {{name: m}}
  platform: {{local: {{listen: "127.0.0.1:0"}}}}
  stable: {{name: v1, command: [serve, "{{port}}"]}}
  canary: {{name: {canary}, command: [serve, "{{port}}", --model, {canary}]}}
  stages: [{{traffic: 25%}}, {{traffic: 100%}}]
"""


class Began:
    """Stands where rollouts are carried out, and notes when each begins."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.news = asyncio.Event()

    async def __call__(
        self, plan: ModelCanary, *, state: Path, keep: bool, audience: Audience, controls: Controls
    ) -> Rollout:
        """As `run_rollout`, which begins by reading the clock; goes on until something else is wanted."""
        self.at[plan.spec.canary.name] = time.perf_counter()
        self.news.set()
        await controls.leave.wait()
        raise asyncio.CancelledError

    async def of(self, canary: str) -> float:
        """When this one began."""
        while canary not in self.at:
            self.news.clear()
            await self.news.wait()
        return self.at[canary]


@asynccontextmanager
async def followed(
    there: Remote, folder: Path, began: Began, interval: float, wake: asyncio.Event
) -> AsyncIterator[None]:
    """A controller for the time of the block."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            follow(
                there,
                Pattern("apps/*/canary.yml"),
                state=folder / "state",
                rollouts=lambda name: folder / name,
                stop=stop,
                say=lambda _words: None,
                audience=lambda _plan, _origin: Audience(),
                interval=interval,
                carry_out=began,
                wake=wake,
            )
        )
        yield
        stop.set()


@asynccontextmanager
async def door(folder: Path, fetched: asyncio.Event) -> AsyncIterator[str]:
    """A listener for webhooks; answers its address."""
    secret = folder / "secret"
    await asyncio.to_thread(secret.write_text, SECRET)

    async def fetch() -> None:
        fetched.set()

    listening = listen("127.0.0.1:0")
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(WebhookListener(at_root(SecretFile(secret), "main", fetch)).serve(listening))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        serving.cancel()


async def commits(
    there: Remote, origin: Origin, folder: Path, count: int, interval: float, *, tell: bool
) -> list[float]:
    """Seconds from a pushed commit to the beginning of its rollout, by webhook or by polling alone."""
    began, wake, took = Began(), asyncio.Event(), []
    async with (
        door(folder, wake) as url,
        httpx2.AsyncClient(timeout=60) as client,
        followed(there, folder, began, 3600.0 if tell else interval, wake),
    ):
        await asyncio.sleep(1.0)
        for number in range(count):
            canary = f"{'hook' if tell else 'poll'}{number}"
            text = FILE.format(name=canary, canary=canary)
            pushed = await asyncio.to_thread(origin.commit, {f"apps/{canary}/canary.yml": text})
            at = time.perf_counter()
            if tell:
                body = push("github", after=pushed)
                await client.post(url, content=body, headers=signed("github", body, at=time.time()))
            took.append(await began.of(canary) - at)
    return took


async def sync(there: Remote, origin: Origin, folder: Path, files: int) -> dict[str, float]:
    """Seconds of a look at so many files: when all are new, when all have changed, when one has, and when none has."""

    async def all_of(canary: str) -> None:
        texts = {f"apps/a{number}/canary.yml": FILE.format(name=f"a{number}", canary=canary) for number in range(files)}
        await asyncio.to_thread(origin.commit, texts)

    async def nobody(_name: str, _rollout: Rollout, _withdrawn: bool) -> None:
        return

    git_state = GitStateStore(folder / "ledger.json")
    store = BareRepository(folder / "many", there)
    fleet = LocalRollouts(
        lambda name: folder / name, Began(), clock=Clock(), audience=lambda _plan: Audience(), ended=nobody, say=print
    )
    controller = GitController(
        store,
        Pattern("apps/*/canary.yml"),
        fleet,
        git_state,
        CommitOutbox(store, git_state, print),
        say=lambda _words: None,
    )
    await store.check()
    took: dict[str, float] = {}
    for name, change in (("all_new_s", "v2"), ("all_changed_s", "v3"), ("one_changed_s", ""), ("nothing_new_s", None)):
        if change:
            await all_of(change)
        elif change is not None:
            await asyncio.to_thread(origin.commit, {"apps/a0/canary.yml": FILE.format(name="a0", canary="v4")})
        at, work = time.perf_counter(), processor()
        await look(controller)
        took[name] = time.perf_counter() - at
        took[name.replace("_s", "_cpu_s")] = processor() - work
    took["memory_mib"] = memory()
    for number in range(5):
        await all_of(f"v{5 + number}")
        await look(controller)
    took["memory_after_5_more_mib"] = memory()
    return took


async def look(controller: GitController) -> None:
    """One look, which has to go well."""
    if not await controller.once():
        raise SystemExit(f"the look failed: {controller.problem}")


class Clock:
    """The time, for a fleet that carries nothing out."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def flood(there: Remote, origin: Origin, folder: Path, rate: int) -> dict[str, Any]:
    """What a listener does under so many forged deliveries a second, and how long an honest push takes meanwhile.

    The forgers are a process of their own. The honest host has another address, as each host has.
    """
    began, wake = Began(), Counted()
    await asyncio.to_thread(origin.commit, {"apps/first/canary.yml": FILE.format(name="first", canary="first")})
    async with door(folder, wake) as url, followed(there, folder, began, 3600.0, wake):
        await began.of("first")
        before = memory()
        words = (__file__, "--rate", str(rate), "--send-to", url)
        sender = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        if sender.stdout is not None:
            await sender.stdout.readline()  # it begins
        spent = time.process_time()
        await asyncio.sleep(SECONDS_OF_FLOOD / 2)
        text = FILE.format(name="honest", canary="honest")
        pushed = await asyncio.to_thread(origin.commit, {"apps/honest/canary.yml": text})
        at, body = time.perf_counter(), push("github", after=pushed)
        transport = httpx2.AsyncHTTPTransport(local_address=HONEST)
        async with httpx2.AsyncClient(transport=transport, timeout=60) as client:
            answer = await client.post(url, content=body, headers=signed("github", body, at=time.time()))
        honest = await began.of("honest") - at
        found: dict[str, Any] = json.loads((await sender.communicate())[0])
        spent = time.process_time() - spent
    each = spent / max(found["answered"], 1)
    return found | {
        "asked_a_second": rate,
        "fetches": wake.count - 1,
        "honest_status": answer.status_code,
        "honest_s": honest,
        "cpu_ms_each": round(1000 * each, 3),
        "a_core_turns_away_a_second": round(1 / each),
        "memory_before_mib": before,
        "memory_after_mib": memory(),
    }


class Counted(asyncio.Event):
    """Counts how often it was set: once for each webhook that was believed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def set(self) -> None:
        """Once more."""
        self.count += 1
        super().set()


async def send(url: str, rate: int) -> dict[str, Any]:
    """Send forged deliveries for a while, as the process of somebody else; answers what came back.

    Many connections, each used for as long as the listener keeps it; whoever is late does not catch up by a burst.
    """
    statuses, body = Counter[str](), push("github")
    headers = signed("github", body, at=time.time(), secret="another secret, long enough")  # noqa: S106 - a wrong one
    lines = [f"{name}: {value}\r\n" for name, value in {**headers, "Host": "x", "Content-Length": len(body)}.items()]
    raw = f"POST / HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body
    port = int(url.rstrip("/").rpartition(":")[2])
    print("begins", flush=True)
    began = time.perf_counter()
    due = began

    async def forge() -> None:
        nonlocal due
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (now := time.perf_counter()) < began + SECONDS_OF_FLOOD:
            due = max(due + 1 / rate, now - 0.1)
            if due > now:
                await asyncio.sleep(due - now)
            writer.write(raw)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
                statuses[head.split(b" ", 2)[1].decode()] += 1
            except (OSError, asyncio.IncompleteReadError):
                statuses["connection lost"] += 1
                head = b"connection: close"
            if b"connection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(FORGERS):
            tasks.create_task(forge())
    answered = sum(count for status, count in statuses.items() if status.isdigit())
    took = time.perf_counter() - began
    return {"answered": answered, "answered_a_second": round(answered / took), "statuses": dict(statuses)}


def processor() -> float:
    """Seconds that this process and those it has waited for have worked: what a busy machine does not change."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory() -> float:
    """Resident memory of this process now, in MiB; the most there ever was where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return round(pages * resource.getpagesize() / 1024**2, 1)


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, one after the other."""
    found: dict[str, Any] = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("hook", "poll", "many", "flood"):
            (folder / part).mkdir()
        with hosted(folder, TOKEN) as host:
            token = folder / "token"
            await asyncio.to_thread(token.write_text, TOKEN)

            def at(part: str) -> tuple[Remote, Origin, Path]:
                origin = Origin(folder / f"{part}.git")
                origin.commit({"README": "models"})
                return remote(host.url(f"{part}.git"), token=token, user="bot"), origin, folder / part

            hook = await commits(*at("hook"), options.commits, options.interval, tell=True)
            poll = await commits(*at("poll"), options.commits, options.interval, tell=False)
            found["webhook_s"] = {"median": statistics.median(hook), "worst": max(hook), "limit": BY_WEBHOOK_S}
            limit = options.interval + AFTER_INTERVAL_S
            found["polling_s"] = {"median": statistics.median(poll), "worst": max(poll), "limit": limit}
            found["sync"] = {"files": options.files, "limit_s": SYNC_S, **await sync(*at("many"), options.files)}
            found["flood"] = await flood(*at("flood"), options.rate)
    return found


def main() -> int:
    """Measure, print, write; 1 where a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--send-to", metavar="URL", help="only send forged webhooks there, and print what came back")
    options = parser.parse_args()
    if options.send_to:
        print(json.dumps(asyncio.run(send(options.send_to, options.rate))))
        return 0
    found = asyncio.run(measured(options))
    hook, poll, many, storm = found["webhook_s"], found["polling_s"], found["sync"], found["flood"]
    for way, times in (("webhook", hook), ("polling", poll)):
        print(f"commit to rollout by {way}", *(f"{name} {seconds:.2f} s" for name, seconds in times.items()), sep="  ")
    for name in ("all_new", "all_changed", "one_changed", "nothing_new"):
        seconds, work = many[f"{name}_s"], many[f"{name}_cpu_s"]
        label = f"{many['files']} files, {name.replace('_', ' ')}"
        print(f"{label}  {seconds:.2f} s, of work {work:.2f} s  limit {SYNC_S:g} s")
    print(f"memory  {many['memory_mib']} MiB, after 5 more commits of all files {many['memory_after_5_more_mib']} MiB")
    print(f"forged webhooks  {storm}")
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    late = hook["worst"] > hook["limit"] or poll["worst"] > poll["limit"]
    slow = max(many[name] for name in ("all_new_s", "all_changed_s", "one_changed_s")) > SYNC_S
    broken = storm["fetches"] or any(status.startswith("5") for status in storm["statuses"])
    grown = storm["memory_after_mib"] - storm["memory_before_mib"] > GROWTH_MIB
    return int(late or slow or bool(broken) or grown or storm["honest_s"] > BY_WEBHOOK_S)


if __name__ == "__main__":
    sys.exit(main())
