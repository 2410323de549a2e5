"""Keeps every answer in one SQLite file, so that a killed evaluation goes on where it was and asks nothing twice.

Used by `runner.py`. An answer is kept by the digest of who was asked, what, and how. One thread of its own reads and
writes. The file is its owner's alone: prompts and answers may be anyone's data.
"""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from canary.errors import BadInput
from canary.evaluation.item import Item
from canary.evaluation.scorer import Completion, ToolCall
from controlplane.private_files import open_private, private_folder

T = TypeVar("T")
FILE = "evaluation.db"
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, body TEXT NOT NULL, lasting INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS items (run TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run, number)) STRICT, WITHOUT ROWID;
"""


def key_of(variant: str, item: Item, asked: Mapping[str, Any]) -> bytes:
    """The digest of a variant, an item's question and the parameters of the request."""
    text = json.dumps([variant, item.messages, item.tools, asked], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()


class AnswerStore:
    """Answers, and the results of evaluations. Raises `BadInput` where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet."""
        self.file = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluation-answers")

    async def find(self, key: bytes) -> Completion | None:
        """The answer that is kept."""
        rows = await self._do(lambda db: db.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchall())
        return _completion(rows[0][0]) if rows else None

    async def keep(self, key: bytes, completion: Completion, *, lasting: bool) -> None:
        """Keep an answer; once this returns, a kill loses it no more. `lasting`: also after this evaluation."""
        calls = [[call.name, call.arguments] for call in completion.tool_calls]
        body = json.dumps([completion.text, calls, completion.finish_reason])
        await self._do(lambda db: db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, body, lasting)))

    async def begin(self, run: str) -> None:
        """Forget the results of an earlier run of this id, not its answers."""
        await self._do(lambda db: db.execute("DELETE FROM items WHERE run = ?", (run,)))

    async def note(self, run: str, number: int, line: Mapping[str, Any]) -> None:
        """Keep one item's line of the results."""
        body = json.dumps(line)
        await self._do(lambda db: db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (run, number, body)))

    async def end(self, run: str, line: Mapping[str, Any]) -> None:
        """Keep the verdict as the latest run's."""

        def work(db: sqlite3.Connection) -> None:
            latest = "(SELECT coalesce(max(number), 0) + 1 FROM runs)"
            db.execute(f"INSERT OR REPLACE INTO runs VALUES (?, {latest}, ?)", (run, json.dumps(line)))  # noqa: S608 - a constant

        await self._do(work)

    async def forget(self) -> None:
        """Forget the answers of variants that nothing but their address tells apart: another build may answer there."""
        await self._do(lambda db: db.execute("DELETE FROM answers WHERE NOT lasting"))

    async def latest(self) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]] | None:
        """The last run's verdict and the lines of its items; None before there is one."""
        if not self.file.exists():
            return None
        found = await self._do(
            lambda db: db.execute("SELECT id, body FROM runs ORDER BY number DESC LIMIT 1").fetchall()
        )
        if not found:
            return None
        run, verdict = found[0]
        lines = await self._do(
            lambda db: db.execute("SELECT body FROM items WHERE run = ? ORDER BY number", (run,)).fetchall()
        )
        return json.loads(verdict), [json.loads(line) for (line,) in lines]

    async def close(self) -> None:
        """Finish what is being written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(self._open()))
        except (sqlite3.Error, OSError) as error:
            raise BadInput(f"The answers in {self.file} cannot be kept or read: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            private_folder(self.file.parent)
            open_private(self.file, "a").close()
            connection = sqlite3.connect(self.file, isolation_level=None, timeout=10)
            connection.execute("PRAGMA journal_mode = WAL")
            # Survives a killed process; what a power cut takes is asked again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _completion(body: str) -> Completion:
    text, calls, finish_reason = json.loads(body)
    return Completion(text, tuple(ToolCall(name, arguments) for name, arguments in calls), finish_reason)
