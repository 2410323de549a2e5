"""A real `serinus run` for tests: its plan, its process, its event lines, and what it leaves behind.

Used by the tests of the commands. Everything is real: the sample server, Envoy, the store; only the times are short.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

SERVER = [sys.executable, "-m", "controlplane.sample.server", "--port", "{port}", "--name", "{name}"]
FAST = ["--ttft", "0.003", "--itl", "0", "--tokens", "4"]
PATIENCE_S = 120.0
"""Far beyond what anything here takes on a busy machine; only a test that fails waits so long."""
STAGES = [{"traffic": f"{share}%", "hold": "2s"} for share in (5, 25, 75, 100)]


def write_plan(
    folder: Path,
    *,
    stages: Sequence[dict[str, Any]] = STAGES,
    canary: Sequence[str] = (),
    stable: Sequence[str] = (),
    listen: str = "127.0.0.1:0",
    metrics: str = "scrape",
    **spec: Any,
) -> Path:
    """A canary.yml with two sample servers; `canary` and `stable` replace or lengthen their command lines."""
    commands = {
        arm: list(given) if given and not given[0].startswith("--") else [*SERVER, *FAST, *given]
        for arm, given in (("stable", stable), ("canary", canary))
    }
    plan = {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": "real"},
        "spec": {
            "model": {"name": "sample-llm"},
            "platform": {"local": {"listen": listen, "metrics": metrics}},
            "stable": {"name": "v1", "command": commands["stable"]},
            "canary": {"name": "v2", "command": commands["canary"], "env": {"VARIANT": "canary"}},
            "stages": list(stages),
            **spec,
        },
    }
    file = folder / "canary.yml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False))
    return file


class Run:
    """One `serinus run -o json` as a process."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.state = state
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        """Read what it prints, until it ends."""
        if self.process.stdout is None or self.process.stderr is None:
            raise AssertionError("started without pipes")
        async with asyncio.TaskGroup() as readers:
            readers.create_task(self._read(self.process.stdout, lambda line: self.events.append(json.loads(line))))
            readers.create_task(self._read(self.process.stderr, self.said.append))

    async def until(self, seconds: float = PATIENCE_S, **wanted: Any) -> dict[str, Any]:
        """Wait for an event with these values; answers it."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    for event in self.events:
                        if all(event.get(key) == value for key, value in wanted.items()):
                            return event
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no event with {wanted}:\n{self.tell()}") from None

    async def until_said(self, words: str, seconds: float = PATIENCE_S) -> str:
        """Wait for a sentence with these words; answers it."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    for sentence in self.said:
                        if words in sentence:
                            return sentence
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"nobody said {words!r}:\n{self.tell()}") from None

    async def address(self) -> str:
        """Where clients connect, once they can."""
        sentence = await self.until_said("Clients connect to http://")
        return sentence.split("http://", 1)[1].split(";", 1)[0]

    async def end(self, seconds: float = PATIENCE_S) -> int:
        """Wait for the process; its exit code."""
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"it does not end:\n{self.tell()}") from None

    def kill(self) -> None:
        """What no program can prepare for."""
        self.process.send_signal(signal.SIGKILL)

    def tell(self) -> str:
        """Everything it printed, for a failing test."""
        return "\n".join([*(str(event) for event in self.events), *self.said])

    async def _read(self, stream: asyncio.StreamReader, take: Any) -> None:
        async for line in stream:
            async with self._news:
                take(line.decode().rstrip("\n"))
                self._news.notify_all()


@asynccontextmanager
async def program(state: Path, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Run]:
    """Start a command of `serinus`; at the end of the block it is killed if it still runs."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli.main", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env={**os.environ, **(env or {})},
    )
    run = Run(process, state)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run.listen())
        try:
            yield run
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def running(plan: Path, state: Path, *flags: str) -> AsyncIterator[Run]:
    """Start `serinus run` on the plan; at the end of the block it is killed if it still runs."""
    async with program(state, "run", str(plan), "--state", str(state), "-o", "json", *flags) as run:
        yield run
    bugs = [sentence for sentence in run.said if "bug of ours" in sentence]
    assert not bugs, bugs


class LeftBehind:
    """Asserts at the end of the block that nothing with this state folder still runs, and ends it if it does."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        left = self.processes()
        for process in left:
            process.kill()
        if error is None:
            assert [process.cmdline() for process in left if process.is_running()] == []

    def processes(self) -> list[psutil.Process]:
        """Processes that were started for this state folder."""
        marks = [str(self._state)]
        pids = {
            record["pid"] for file in self._state.rglob("*.json") for record in records(json.loads(file.read_text()))
        }
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                line = " ".join(process.cmdline())
                if process.pid in pids or (any(mark in line for mark in marks) and "pytest" not in line):
                    found.append(process)
        return found


def records(value: Any) -> list[dict[str, Any]]:
    """Of a file in a state folder, all that have the number of a process."""
    if isinstance(value, dict):
        if "pid" in value:
            return [value]
        return [record for each in value.values() for record in records(each)]
    return [record for each in value for record in records(each)] if isinstance(value, list) else []
