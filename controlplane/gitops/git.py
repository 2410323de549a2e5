"""Runs git, hardened: a scrubbed environment, no hooks, no configuration but ours, one protocol, limits on everything.

Used by `bare_repository.py` alone. There is never a work tree, so nothing of a repository is ever written outside the
store or executed. Raises `GitFailed`, which says what happened in a sentence without secrets and what kind of failure
it is.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from canary.errors import BadInput, ExternalError
from canary.spec.source import printable
from controlplane.gitops.remote import Remote
from controlplane.observability.counts import OPERATIONS, Counts, git_operations
from controlplane.private_files import private_folder, replace_file

PASSED_ON = (
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)
"""Variables of ours that git may see; all others could change what it does."""
OLDEST = (2, 31)
"""The first version that takes configuration from variables, which no repository can overrule."""
OLDEST_TOLD_ADDRESSES = (2, 37)
"""The first version that dials the addresses that it is given (`http.curloptResolve`)."""
CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "core.symlinks": "false",
    "core.sharedRepository": "0600",  # of our copy alone: a umask would reach a repository of this machine as well
    "core.fsmonitor": "false",
    "protocol.allow": "user",
    "protocol.ext.allow": "never",
    "credential.helper": "",
    "http.followRedirects": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "core.bigFileThreshold": "1m",  # larger files pass through in pieces, so that none of them fills the memory
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.fetchShowForcedUpdates": "false",
}
ASKPASS = """#!/bin/sh
case "$1" in
  Username*) printf '%s\\n' "$SERINUS_GIT_USER" ;;
  *) cat "$SERINUS_GIT_TOKEN_FILE" ;;
esac
"""
MEBI = 1024 * 1024
SAID_AT_MOST = 300
"""Characters of git's own words in a sentence of ours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a hostile or runaway repository may cost."""

    seconds: float = 60.0
    """For one call of git."""
    output: int = 64 * MEBI
    """Bytes that one call may answer."""
    pack: int = 512 * MEBI
    """Bytes that one fetch may bring."""
    files: int = 200_000
    """Files in one commit."""
    letters: int = 5_000_000
    """Letters of their paths that are compared with the pattern: some seconds of work, beside the loop."""
    plans: int = 2_000
    """Files that match the pattern."""


class GitFailureKind(StrEnum):
    """Kinds of failure, by what to do about them."""

    MOVED = "moved"
    """Somebody else pushed first: read again and try again."""
    REFUSED = "refused"
    """The host does not accept the push: a protected branch or a hook of its own."""
    CREDENTIALS = "credentials"
    """The token or key is wrong, has expired, or may not do this."""
    DOWN = "down"
    """The host cannot be reached or does not answer."""
    MISSING = "missing"
    """There is no such repository, or it may not be seen."""
    TOO_LARGE = "too large"
    """More came than the limits allow."""
    OTHER = "other"


_SIGNS: Sequence[tuple[GitFailureKind, str]] = (
    (GitFailureKind.TOO_LARGE, r"file size limit exceeded|file too large|signal 25|invalid index-pack output"),
    (
        GitFailureKind.REFUSED,
        r"protected branch|gh006|gh013|rule violations|hook declined|prohibited|read-only|denied by policy",
    ),
    (
        GitFailureKind.MOVED,
        r"stale info|non-fast-forward|fetch first|cannot lock ref|failed to update ref|incorrect old value",
    ),
    (
        GitFailureKind.CREDENTIALS,
        r"authentication failed|could not read (username|password)|permission denied|error: 40[13]|host key",
    ),
    (
        GitFailureKind.DOWN,
        r"could not resolve|connect|connection|timed out|error: 5\d\d|empty reply|hung up|unreachable|no route to host",
    ),
    (GitFailureKind.MISSING, r"not found|does not exist|does not appear to be a git repository|error: 404"),
)
_WORDS = {
    GitFailureKind.MOVED: "somebody else pushed first",
    GitFailureKind.REFUSED: "the host refuses the push",
    GitFailureKind.CREDENTIALS: "the host does not accept the credentials",
    GitFailureKind.DOWN: "the host cannot be reached",
    GitFailureKind.MISSING: "there is no such repository, or it may not be seen",
    GitFailureKind.TOO_LARGE: "it is larger than the limit",
    GitFailureKind.OTHER: "git failed",
}
_LIMITED = 'ulimit -c 0; ulimit -f "$0"; exec "$@"'
"""POSIX: the kernel ends whoever writes a larger file, which is what a pack without end would do."""


REMOTE = ("fetch", "push", "ls-remote")
"""Commands that speak to the remote: those that are counted."""


class GitFailed(ExternalError):  # noqa: N818 - reads as what happened
    """A call of git failed. `str()` is a clause in our words and git's; `why` is the kind."""

    def __init__(self, why: GitFailureKind, said: str) -> None:
        self.why = why
        self.said = said
        super().__init__(f"{_WORDS[why]}{f' ({said})' if said else ''}")


class MachineShare(Protocol):
    """What a repository has of a machine that several are followed on."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """A place for one call of git, to be waited for."""
        ...

    def fetching(self) -> AbstractAsyncContextManager[int]:
        """The bytes that a fetch may bring; raises `GitFailed` where there is no room."""
        ...


class WholeMachine:
    """The share of a repository that is the only one. Implements `MachineShare`."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """At once."""
        return nullcontext()

    def fetching(self) -> AbstractAsyncContextManager[int]:
        """As much as the limits allow."""
        return nullcontext(sys.maxsize)


class Git:
    """git in one folder, for one remote."""

    def __init__(
        self, folder: Path, remote: Remote, limits: Limits | None = None, share: MachineShare | None = None
    ) -> None:
        """`share`: where others are followed too."""
        self.folder = folder
        self._share: MachineShare = share or WholeMachine()
        self.remote = remote
        self.limits = limits or Limits()
        self._askpass = folder.parent / "askpass"
        self._counts = Counts(folder.parent / OPERATIONS)

    def prepare(self) -> None:
        """Write the little program that hands git the token; it holds none itself. Raises
        `ExternalError`, `BadInput`.
        """
        folder = self._askpass.parent
        try:
            private_folder(folder, ours=True)
            replace_file(self._askpass, ASKPASS)
            self._askpass.chmod(0o700)
        except OSError as error:
            raise ExternalError(f"The folder {folder} for git cannot be used: {error.strerror or error}.") from error

    async def check(self) -> None:
        """Raises `BadInput` for a git so old that it would ignore our configuration without a word."""
        said = (await self.run("version")).decode("utf-8", "replace").strip()
        found = re.search(r"(\d+)\.(\d+)", said)
        oldest = OLDEST if self.remote.addresses is None else OLDEST_TOLD_ADDRESSES
        if found is None or (int(found[1]), int(found[2])) < oldest:
            raise BadInput(
                f"{printable(said)} is too old; expected {oldest[0]}.{oldest[1]} or newer. Nothing was started."
            )

    async def run(
        self, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None, limited: bool = False
    ) -> bytes:
        """What git answers. `limited` also bounds the size of what it writes. Raises `GitFailed`."""
        try:
            async with self._share.turn(), self._share.fetching() if limited else nullcontext(0) as room:
                pack = min(self.limits.pack, room)
                answer = await self._run(arguments, stdin=stdin, variables=variables or {}, pack=pack)
        except GitFailed as error:
            self._count(arguments, error.why.name.lower())
            raise
        self._count(arguments, "ok")
        return answer

    def _count(self, arguments: Sequence[str], outcome: str) -> None:
        """Calls that spoke to the remote, for `/metrics`."""
        op = arguments[0]
        if op in REMOTE:
            git_operations[op, outcome] += 1
            self._counts.add(op, outcome)

    async def _run(self, arguments: Sequence[str], *, stdin: bytes, variables: Mapping[str, str], pack: int) -> bytes:
        """`pack`: bytes that a file may come to which it writes; 0 where that does not matter."""
        # Options before the command, such as `-c`, are ours alone: everything from outside stands behind it.
        command = ("git", f"--git-dir={self.folder}", *arguments)
        if pack:
            command = ("/bin/sh", "-c", _LIMITED, str(pack // 512), *command)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self.folder.parent,
                env={**self._environment(), **variables},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise BadInput("git is not installed, or not on the PATH; nothing was started.") from error
        try:
            async with asyncio.timeout(self.limits.seconds):
                out, said = await self._talk(process, stdin)
                code = await process.wait()
        except TimeoutError:
            raise GitFailed(GitFailureKind.DOWN, f"no answer within {self.limits.seconds:g} s") from None
        finally:
            _end(process)
            await process.wait()
        if code:
            raise self._failure(said + out, pack or self.limits.pack)
        return out

    async def _talk(self, process: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
        """Write what it wants to know and read what it says, at the same time, and never more than the limit."""
        assert process.stdin is not None  # noqa: S101 - opened with pipes
        assert process.stdout is not None  # noqa: S101 - opened with pipes
        assert process.stderr is not None  # noqa: S101 - opened with pipes
        async with asyncio.TaskGroup() as tasks:
            out = tasks.create_task(_read(process.stdout, self.limits.output))
            said = tasks.create_task(_read(process.stderr, self.limits.output))
            for task in (out, said):
                task.add_done_callback(lambda done: _end(process) if _too_much(done) else None)
            with suppress(ConnectionError):
                process.stdin.write(stdin)
                await process.stdin.drain()
            process.stdin.close()
        answer, words = out.result(), said.result()
        if answer is None or words is None:
            raise GitFailed(GitFailureKind.TOO_LARGE, f"more than {self.limits.output // MEBI} MiB in one answer")
        return answer, words

    def _environment(self) -> dict[str, str]:
        ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        settings = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "HOME": str(self.folder.parent),
            "LC_ALL": "C",
        }
        configuration = {**CONFIGURATION, **self.remote.configuration()}
        settings["GIT_CONFIG_COUNT"] = str(len(configuration))
        for number, (key, value) in enumerate(configuration.items()):
            settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {**ours, **settings, **self.remote.environment(self._askpass)}

    def _failure(self, output: bytes, pack: int) -> GitFailed:
        said = self.remote.redacted(" ".join(output[-4000:].decode("utf-8", "replace").split()))
        why = next((why for why, sign in _SIGNS if re.search(sign, said, re.IGNORECASE)), GitFailureKind.OTHER)
        if why is GitFailureKind.TOO_LARGE:
            said = f"more than {pack // MEBI} MiB, or it is damaged"
        return GitFailed(why, said[-SAID_AT_MOST:] if len(said) > SAID_AT_MOST else said)


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes | None:
    """Everything, or None as soon as it is more than the limit."""
    pieces, total = [], 0
    while piece := await stream.read(1 << 16):
        total += len(piece)
        if total > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _too_much(done: "asyncio.Task[bytes | None]") -> bool:
    return not done.cancelled() and done.exception() is None and done.result() is None


def _end(process: asyncio.subprocess.Process) -> None:
    """The program and whatever it started, such as ssh: none of it outlives the call."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
