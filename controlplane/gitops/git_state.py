"""What the controller has to remember between two starts: which file each rollout came from, what is rejected, and
what has still to be written to git.

Kept as one small JSON file, replaced atomically at every change. What happened in a rollout is in its own store;
here is only what concerns git.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from canary.errors import BadInput, Unavailable
from canary.spec.names import is_name
from controlplane.private_files import read_file, replace_file

LONGEST_QUARANTINE = 200
"""Rejected revisions that are remembered for each rollout; git keeps all of them."""
LONGEST_REPORTS = 500
"""Commits of which it is remembered what was said of them."""


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """Where a rollout's plan came from."""

    path: str
    line: int
    revision: str
    """Of the plan; empty for a file at rest."""
    arms: str
    """Digest of the file's two variants."""
    commit: str
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A revision that is not started again by itself."""

    commit: str
    """The commit that brought it."""
    sentence: str
    """Why."""
    variant: str = ""
    """Digest of what the canary ran, where the evidence condemned that; empty where only the revision is rejected."""


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A commit that has still to be made."""

    kind: Literal["promote", "put back"]
    rollout: str
    """`chat/3`."""
    began: str
    """When that rollout began; with the name it is unique, also when a fresh machine counts from one again."""
    name: str
    revision: str
    arms: str
    """Digest of the two variants: whether the file still speaks of the same ones."""
    message: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A commit that waits in a pull request."""

    writing: PendingCommit
    path: str
    """Of the file, where it was when this was proposed."""
    branch: str
    number: int = 0
    """0 until it is known to be open."""
    url: str = ""
    moot: str = ""
    """Why it is to be closed, as a sentence; empty while it is wanted."""


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What is said of a commit on the host, and what of it has been said."""

    name: str
    """The rollout; empty for a file that cannot be used."""
    revision: str
    commit: str
    context: str
    """Name of the status."""
    state: Literal["pending", "success", "failure", "error"]
    text: str
    """One sentence of any length."""
    told: str = ""
    """State and text that the commit has on the host."""
    pull: int | None = None
    """The pull request that brought the commit; 0 for none, None while nobody has looked."""
    comment: int = 0
    """Our comment there."""
    commented: str = ""
    """What it says."""
    answer: str = ""
    """Address of the pull request by which its end comes into the branch; empty where there is none."""


@dataclass(frozen=True, slots=True)
class MadeCommit:
    """A commit that was made."""

    kind: Literal["promote", "put back"]
    rollout: str
    """`chat/3`."""
    commit: str


@dataclass(frozen=True, slots=True)
class GitState:
    """Everything that is remembered."""

    head: str = ""
    """The newest commit that was taken in."""
    origins: dict[str, PlanOrigin] = field(default_factory=dict)
    rejected: dict[str, dict[str, Rejection]] = field(default_factory=dict)
    """By rollout and revision."""
    withdrawn: dict[str, str] = field(default_factory=dict)
    """Rollout to why git took its plan back; its abort is nobody's verdict."""
    settled: dict[str, str] = field(default_factory=dict)
    """Rollout to the `name/attempt@began` whose end has been dealt with."""
    frozen: dict[str, str] = field(default_factory=dict)
    """Rollout to the blob of its file (empty: none) when a rewritten history left it as it was."""
    writings: tuple[PendingCommit, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    reports: dict[str, CommitReport] = field(default_factory=dict)
    """By commit and context, oldest first."""
    made: dict[str, MadeCommit] = field(default_factory=dict)
    """By rollout the newest commit that was made for it."""
    url: str = ""
    """The repository that is followed; it never carries a password."""


_BOOK = TypeAdapter(GitState)


def _named(state: GitState) -> GitState:
    """The state without rollouts of impossible names: a folder or an address is made of each."""
    kept: dict[str, Any] = {
        of: {name: each for name, each in getattr(state, of).items() if is_name(name)}
        for of in ("origins", "withdrawn", "frozen", "rejected", "settled")
    }
    return replace(state, **kept)


class GitStateStore:
    """The state and its file. Raises `BadInput` for a file that cannot be understood, `Unavailable` for a full disk."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.state = GitState()
        self._together = False
        text = self._load()
        self.is_new = text is None
        """Whether nothing had been remembered here; git then says what is rejected."""
        if text is not None:
            try:
                self.state = _named(_BOOK.validate_json(text))
            except ValidationError as error:
                raise BadInput(
                    f"{file} cannot be understood ({type(error).__name__}). Move it away to begin with what git knows; "
                    f"nothing was started."
                ) from error
        self._written = self.state

    def origin(self, name: str, origin: PlanOrigin) -> None:
        """This rollout's plan came from there."""
        self._write(replace(self.state, origins={**self.state.origins, name: origin}))

    def freeze(self, name: str, blob: str) -> None:
        """Leave this rollout as it is while its file is this one."""
        self._write(replace(self.state, frozen={**self.state.frozen, name: blob}))

    def thaw(self, name: str) -> None:
        """Its file counts again."""
        self._write(replace(self.state, frozen={key: each for key, each in self.state.frozen.items() if key != name}))

    def forget(self, name: str) -> None:
        """This rollout's file is gone."""
        self._write(replace(self.state, origins={key: each for key, each in self.state.origins.items() if key != name}))

    def at(self, head: str) -> None:
        """Everything up to this commit has been taken in."""
        self._write(replace(self.state, head=head))

    def rejection(self, name: str, revision: str, variant: str = "") -> Rejection | None:
        """Why this revision, or another one whose canary runs the same (`variant`), is not started; None: it may be."""
        rejected = self.state.rejected.get(name, {})
        same = (each for each in reversed(rejected.values()) if variant and each.variant == variant)
        return rejected.get(revision) or next(same, None)

    def reject(self, name: str, revision: str, rejection: Rejection) -> None:
        """Do not start this revision again until somebody says so."""
        others = {key: each for key, each in self.state.rejected.get(name, {}).items() if key != revision}
        kept = dict(list(others.items())[-LONGEST_QUARANTINE + 1 :])
        self._write(replace(self.state, rejected={**self.state.rejected, name: {**kept, revision: rejection}}))

    def allow(self, name: str) -> bool:
        """Somebody said so: every revision of this rollout may be started again. Answers whether any was rejected."""
        had = bool(self.state.rejected.get(name))
        self._write(
            replace(self.state, rejected={key: each for key, each in self.state.rejected.items() if key != name})
        )
        return had

    def asked_again(self) -> Sequence[str]:
        """Rollouts that somebody asked to be tried again, each told once."""
        folder = self.file.parent / "retry"
        names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
        for name in names:
            (folder / name).unlink()
        return names

    def withdraw(self, name: str, why: str) -> None:
        """Git took this rollout's plan back."""
        self._write(replace(self.state, withdrawn={**self.state.withdrawn, name: why}))

    def want(self, name: str) -> None:
        """Git wants it again, whatever it took back before."""
        withdrawn = {key: why for key, why in self.state.withdrawn.items() if key != name}
        self._write(replace(self.state, withdrawn=withdrawn))

    def settle(self, name: str, rollout: str) -> None:
        """The end of this rollout has been dealt with."""
        withdrawn = {key: why for key, why in self.state.withdrawn.items() if key != name}
        self._write(replace(self.state, settled={**self.state.settled, name: rollout}, withdrawn=withdrawn))

    def add(self, writing: PendingCommit) -> None:
        """A commit has to be made; a newer one for the same rollout takes the place of an older."""
        others = tuple(each for each in self.state.writings if each.name != writing.name)
        self._write(replace(self.state, writings=(*others, writing)))

    def follows(self, url: str) -> None:
        """This is the repository."""
        self._write(replace(self.state, url=url))

    def written(self, writing: PendingCommit, commit: str = "") -> None:
        """It is in git as this commit, or needs not be any more (empty)."""
        left = tuple(each for each in self.state.writings if each != writing)
        made = {writing.name: MadeCommit(writing.kind, writing.rollout, commit)} if commit else {}
        self._write(replace(self.state, writings=left, made={**self.state.made, **made}))

    def propose(self, proposal: Proposal) -> None:
        """This commit is, or is to be, in a pull request; what was known of that before is replaced."""
        others = tuple(each for each in self.state.proposals if each.branch != proposal.branch)
        left = tuple(each for each in self.state.writings if each != proposal.writing)
        self._write(replace(self.state, writings=left, proposals=(*others, proposal)))

    def moot(self, name: str, why: str) -> bool:
        """What is proposed for this rollout is not wanted any more. Answers whether anything was."""
        proposals = tuple(
            replace(each, moot=each.moot or why) if each.writing.name == name else each for each in self.state.proposals
        )
        changed = proposals != self.state.proposals
        self._write(replace(self.state, proposals=proposals))
        return changed

    def proposed(self, proposal: Proposal, commit: str = "") -> None:
        """It was merged as this commit, or is closed (empty)."""
        writing = proposal.writing
        left = tuple(each for each in self.state.proposals if each.branch != proposal.branch)
        made = {writing.name: MadeCommit(writing.kind, writing.rollout, commit)} if commit else {}
        self._write(replace(self.state, proposals=left, made={**self.state.made, **made}))

    def report(self, report: CommitReport) -> None:
        """This is to be said, or has been said, of a commit."""
        key = f"{report.commit} {report.context}"
        kept = {**self.state.reports, key: report}
        self._write(replace(self.state, reports=dict(list(kept.items())[-LONGEST_REPORTS:])))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that is remembered in the block is written once, at its end or by `flush`."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self.flush()

    def flush(self) -> None:
        """Write what has not been written yet: whatever is done next must not be known only to this process."""
        if self._written != self.state:
            self._save(self.state)
            self._written = self.state

    def _write(self, state: GitState) -> None:
        self.state = state
        if not self._together:
            self.flush()

    def _load(self) -> bytes | None:
        """What was saved; None where nothing was."""
        try:
            return read_file(self.file)
        except Unavailable as error:
            raise BadInput(f"{error} Nothing was started.") from error

    def _save(self, state: GitState) -> None:
        try:
            replace_file(self.file, as_text(state), durable=True)
        except OSError as error:
            raise Unavailable(f"{self.file} cannot be written: {error.strerror}.") from error


def as_text(state: GitState) -> bytes:
    """The state as it is stored: JSON."""
    return _BOOK.dump_json(state, indent=1)
