"""Remembers which alerts each channel was told, over restarts: one line of JSON a delivery, beside the rollout's state.

Used by `mailbox.py`. What has to be told follows from the rollout's history; this file only says what was told, so a
line that is lost costs one repetition with the same key, never a lost alert. Holds no secrets.
"""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from canary.alert import AlertNotice
from canary.errors import Unavailable
from controlplane.private_files import open_private, read_file, replace_file

MOST_LINES = 2000
"""Lines after which the file is written anew with what still matters."""


class DeliveryLog:
    """The deliveries of all channels."""

    def __init__(self, file: Path, *, now: Callable[[], float], say: Callable[[str], None]) -> None:
        """`now`: seconds since the epoch. A file that cannot be written is told to `say` once; alerts go on."""
        self.file = file
        self._now, self._say = now, say
        self._told: dict[tuple[str, str], tuple[int, float]] = {}
        self._since: dict[str, float] = {}
        self._complained = False
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Read what was told before; lines that are no use (a crash cut them off) are passed over."""
        lines = await asyncio.to_thread(lines_of, self.file)
        for line in lines:
            self._learn(line)
        if len(lines) > MOST_LINES:
            await asyncio.to_thread(self._rewrite)

    async def since(self, channel: str) -> float:
        """Since when this channel is told anything: what happened before it was set up is not its business."""
        if channel not in self._since:
            await self._add({"channel": channel, "since": self._now()})
        return self._since[channel]

    def has(self, channel: str, alert: AlertNotice) -> bool:
        """Whether the channel was told this, or something newer of the same fact."""
        number, at = self._told.get((channel, alert.key), (0, 0.0))
        # By its time as well: where a rollout's state was deleted, its attempts are counted from 1 again.
        return alert.number <= number and alert.at <= at

    async def note(self, channel: str, alert: AlertNotice) -> None:
        """The channel has it."""
        said = {"key": alert.key, "number": alert.number, "at": alert.at, "state": alert.state}
        await self._add({"channel": channel, **said, "delivered": self._now()})

    async def trouble(self, channel: str, clause: str) -> None:
        """The channel cannot be told at present: for whoever looks on, and nothing is decided by it."""
        await self._add({"channel": channel, "failed": self._now(), "said": clause})

    async def _add(self, line: dict[str, Any]) -> None:
        self._learn(line)
        async with self._writing:
            try:
                await asyncio.to_thread(_append, self.file, json.dumps(line))
            except OSError as error:
                if not self._complained:
                    self._complained = True
                    self._say(
                        f"Which alerts were sent cannot be kept in {self.file} ({error.strerror}): after a restart "
                        f"some may be sent again."
                    )

    def _learn(self, line: dict[str, Any]) -> None:
        match line:
            case {"channel": str(channel), "since": int() | float() as since}:
                self._since.setdefault(channel, float(since))
            case {"channel": str(channel), "key": str(key), "number": int(number), "at": int() | float() as at}:
                self._told[channel, key] = (number, float(at))

    def _rewrite(self) -> None:
        """The newest lines that say something, in place of all of them."""
        kept: list[dict[str, Any]] = [{"channel": channel, "since": since} for channel, since in self._since.items()]
        for (channel, key), (number, at) in list(self._told.items())[-MOST_LINES // 2 :]:
            kept.append({"channel": channel, "key": key, "number": number, "at": at})
        replace_file(self.file, "".join(f"{json.dumps(line)}\n" for line in kept))


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines that make sense, oldest first; none where there is no such file."""
    try:
        content = read_file(file) or b""
    except Unavailable:
        return []
    found = []
    for line in content.splitlines():
        try:
            read = from_json(line)
        except ValueError:
            continue
        if isinstance(read, dict):
            found.append(read)
    return found


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_private(file, "a") as opened:
        # After a line that a crash cut off, a new one begins.
        opened.write(f"\n{line}\n" if opened.tell() and not _ends_whole(file) else f"{line}\n")
        opened.flush()
        os.fsync(opened.fileno())


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(-1, os.SEEK_END)
        return opened.read(1) == b"\n"
