"""Writes into git what has to be there: promotions, rollbacks and notes about bad files. Never in anybody's way.

A task beside the rollouts, fed by `controller.py` through the ledger, which keeps what is still to be written over a
restart. A host that is down, a token that has expired, a protected branch: told once, and tried again with growing
pauses for as long as it takes.
"""

import asyncio
from collections.abc import Callable

from canary.edit import CannotEdit, Written, at_rest, promoted, put_back
from canary.errors import SerinusError
from canary.spec.reader import SIZE_LIMIT
from controlplane.gitops.ledger import Ledger, Writing
from controlplane.gitops.log import Facts
from controlplane.gitops.store import Store
from controlplane.gitops.wanted import arms_of

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two tries; they double."""
NOTE_TRIES = 8
"""A note repeats what was said on the screen, so it is given up one day; a rollback never is."""


class Desk:
    """What has to be written, and the one who writes it."""

    def __init__(self, store: Store, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._store = store
        self._ledger = ledger
        self._say = say
        self._news = asyncio.Event()
        self._notes: dict[str, tuple[str, int]] = {}
        """Commit to the note on it and how often it was tried."""
        self._said: dict[str, str] = {}
        self.lock = asyncio.Lock()
        """Held while the store is used; the controller reads with the same store."""

    def add(self, writing: Writing) -> None:
        """Make this commit as soon as possible."""
        self._ledger.add(writing)
        self._news.set()

    def note(self, commit: str, text: str) -> None:
        """Put this note on a commit."""
        self._notes[commit] = (text, 0)
        self._news.set()

    async def work(self) -> None:
        """Write until cancelled."""
        wait = FIRST_WAIT
        while True:
            self._news.clear()
            if await self.once():
                wait = FIRST_WAIT
                await self._news.wait()
            else:
                try:
                    async with asyncio.timeout(wait):
                        await self._news.wait()
                except TimeoutError:
                    wait = min(2 * wait, LONGEST_WAIT)

    async def once(self) -> bool:
        """Try everything once; answers whether nothing is left."""
        for writing in self._ledger.book.writings:
            await self._try(writing)
        for commit, (text, tries) in list(self._notes.items()):
            await self._try_note(commit, text, tries)
        return not self._ledger.book.writings and not self._notes

    async def _try(self, writing: Writing) -> None:
        origin = self._ledger.book.origins.get(writing.name)
        what = f"{writing.name}: the commit that {_WORDS[writing.kind]}"
        if origin is None:
            self._done(writing, f"{what} is not needed any more: its file is gone.")
            return
        try:
            async with self.lock:
                before = await self._last_at_rest(origin.path) if writing.kind == "put back" else None
                made = await self._store.writer.commit(
                    origin.path, lambda text: _edited(text, writing, before), writing.message, _mark(writing)
                )
        except CannotEdit as error:
            self._done(writing, f"{what} could not be made: {origin.path}: {error}")
            self.note(origin.commit, f"{writing.message}\nThe file could not be edited: {error}\n")
        except SerinusError as error:
            self._tell(what, f"{what} is waiting: {error} It is tried again; traffic does not depend on it.")
        else:
            said = f"is {made[:7]} in {self._store.remote.branch} ({origin.path})" if made else _NOT_NEEDED
            self._done(writing, f"{what} {said}.", commit=made or "")

    async def _try_note(self, commit: str, text: str, tries: int) -> None:
        try:
            async with self.lock:
                await self._store.writer.note(commit, text)
        except SerinusError as error:
            self._tell(commit, str(error))
            if tries + 1 < NOTE_TRIES:
                self._notes[commit] = (text, tries + 1)
                return
        self._notes.pop(commit, None)

    async def _last_at_rest(self, path: str) -> str | None:
        """The newest earlier version of a file that names nothing to try: what was good."""
        head = await self._store.fetch()
        if head is None:
            return None
        for commit in await self._store.versions(head, path):
            text = await self._store.file(commit, path, limit=SIZE_LIMIT)
            if text is not None and (decoded := _decoded(text)) is not None and _is_at_rest(decoded):
                return decoded
        return None

    def _done(self, writing: Writing, sentence: str, *, commit: str = "") -> None:
        self._ledger.written(writing, commit)
        self._said.pop(f"{writing.name}: the commit that {_WORDS[writing.kind]}", None)
        self._say(sentence)

    def _tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            self._say(sentence)


_WORDS = {"promote": "makes the canary stable", "put back": "puts the file back"}
_NOT_NEEDED = "is not needed: the file says so already, or it speaks of other variants by now"


def _edited(text: bytes, writing: Writing, before: str | None) -> bytes | None:
    """The file as it should be; None where it does not speak of the same two variants any more."""
    mark = "\ufeff" if text.startswith(b"\xef\xbb\xbf") else ""
    decoded = _decoded(text)
    if decoded is None or _arms(decoded) != writing.arms:
        return None
    edited = promoted(decoded) if writing.kind == "promote" else put_back(decoded, before)
    return f"{mark}{edited}".encode()


def _arms(text: str) -> str:
    try:
        return arms_of(Written.of(text).root)
    except CannotEdit:
        return ""


def _is_at_rest(text: str) -> bool:
    try:
        return at_rest(Written.of(text).root)
    except CannotEdit:
        return False


def _decoded(text: bytes) -> str | None:
    """The characters of a file without its byte order mark; None for what is not UTF-8."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _mark(writing: Writing) -> Callable[[Facts], bool]:
    """Knows the commit of a writing by its trailers."""

    def is_it(facts: Facts) -> bool:
        return facts.trailer("Serinus-Rollout") == writing.rollout and facts.trailer("Serinus-Began") == writing.began

    return is_it
