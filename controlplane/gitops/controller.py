"""Follows a repository: what its files say becomes rollouts on this machine, and how these end becomes commits.

Called by `serinus controller` and the demo. One pass reads the newest commit, if it is new, and compares what it wants
with what runs; every file for itself. Git is never in the way: while it does not answer, what runs goes on, and what is
to be written waits in the outbox (`commit_outbox.py`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from canary.errors import BadInput, ExternalError
from canary.quarantine import cause, condemned, variant_digest
from canary.rollout import Reason, Rollout
from canary.serial import rfc3339
from canary.spec import Source
from canary.spec.reader import SIZE_LIMIT
from canary.spec.source import quoted
from canary.spec.stored import from_text
from controlplane.backoff import Backoff
from controlplane.gitops import commit_message
from controlplane.gitops.bare_repository import BareRepository, Blob, SkippedEntry
from controlplane.gitops.commit_log import CommitInfo
from controlplane.gitops.commit_outbox import CommitOutbox
from controlplane.gitops.desired import SETTINGS_NAME, DesiredRollout, FileError, parse_file, resolve_ownership
from controlplane.gitops.git_state import GitStateStore, PendingCommit, PlanOrigin, Rejection
from controlplane.gitops.paths import Pattern
from controlplane.gitops.rollout_runner import RolloutRunner
from controlplane.gitops.waiting import first_of
from controlplane.private_files import open_private, private_folder

REJECTED = frozenset({"rolled_back", "failed", "aborted"})
NOT_ITS_DOING = frozenset({Reason.STABLE_NOT_READY, Reason.ROUTE_NOT_READY})
"""Why a rollout fails without a word against its canary: its file stays, and is not started again by itself."""
RETRY = "Serinus-Retry"
"""Trailer by which the commit that brings a rejected revision back says that this is meant."""
LONGEST_WAIT = 60.0
"""Seconds between two looks at a branch that cannot be read; they grow to this, to spare a host that is in trouble."""
HISTORY_OF_REJECTIONS = 2_000
"""Commits that a controller without a memory looks through for what was rejected."""


Understand = Callable[[str, bytes, Source | None], DesiredRollout | FileError]
"""What one file wants: its path, its text, the settings file beside it."""


class GitController:
    """The loop between a branch and what carries rollouts out."""

    def __init__(
        self,
        store: BareRepository,
        pattern: Pattern,
        fleet: RolloutRunner,
        git_state: GitStateStore,
        outbox: CommitOutbox,
        *,
        say: Callable[[str], None],
        understand: Understand = parse_file,
        retry: Callable[[str], str] = lambda name: f"serinus retry {name}",
    ) -> None:
        """`retry`: the command by which a person lets a rollout be tried again."""
        self._store = store
        self._pattern = pattern
        self._fleet = fleet
        self._git_state = git_state
        self._outbox = outbox
        self._say = say
        self._understand, self._retry = understand, retry
        self.problem: ExternalError | BadInput | None = None
        """Why the last look came to nothing; None where it did not."""
        self.complaints: Sequence[FileError] = ()
        """Files of the newest commit that are not used."""
        self._said: dict[str, str] = {}
        self._opened = False
        self._taken = ""
        """The newest commit whose files have all been compared with what runs."""
        self._known: Mapping[tuple[str, str, str], DesiredRollout | FileError] = {}
        """What each file of the last look wants, by path, blob and settings: most files do not change."""
        self._to_begin: list[DesiredRollout] = []
        """What the look that is under way found to begin."""
        self._again: set[str] = set()
        """Rollouts that somebody wants to be tried again."""
        self.wake = asyncio.Event()
        """Set by whoever knows that something was pushed: the branch is looked at now instead of later."""

    async def run(self, interval: float, stop: asyncio.Event) -> None:
        """Follow the branch until told to stop; then leave with everything serving as it is."""
        async with asyncio.TaskGroup() as tasks:
            self._fleet.open(tasks)
            for name in list(self._git_state.state.origins):
                await self._resume(name)
            writer = tasks.create_task(self._outbox.work(), name="writer of commits")
            backoff = Backoff(2 * interval, max(LONGEST_WAIT, interval))
            while not stop.is_set():
                self.wake.clear()  # before the look: what is pushed during it counts for the next one
                if went_well := await self.once():
                    backoff.reset()
                await first_of(interval if went_well else backoff.next(), stop, self.wake)
            self._fleet.leave()
            writer.cancel()

    async def _resume(self, name: str) -> None:
        """Go on with one rollout; what is wrong with its store keeps none of the others waiting."""
        try:
            await self._fleet.resume(name, withdrawn_by=self._git_state.state.withdrawn.get(name, ""))
        except (ExternalError, BadInput) as error:
            self._tell(f"store of {name}", f"{name}: {error}")

    async def once(self) -> bool:
        """One look at the branch. Whatever goes wrong is said, once, and answered with False: look again later."""
        try:
            await self._take_retries()
            async with self._outbox.lock:
                if not self._opened:  # after what was under way goes on: a large store takes its time
                    await self._store.open()
                    self._opened = True
                await self._sync()
        except (ExternalError, BadInput) as error:
            self.problem = error
            self._tell("branch", str(error))
            return False
        self.problem = None
        return True

    async def ended(self, name: str, rollout: Rollout, spec_text: str, withdrawn: bool) -> None:
        """A rollout is over: what git has to know of it is noted down, then written by the outbox.

        `spec_text`: the plan that it carried out, by now perhaps another than the newest. Raises `ExternalError`, and
        has changed nothing then.
        """
        began = rfc3339(rollout.began)
        id_ = f"{name}/{rollout.attempt}@{began}"
        if self._git_state.state.settled.get(name) == id_:
            return
        origin = self._git_state.state.origins.get(name)
        said = rollout.message
        if origin is not None and spec_text and not withdrawn and rollout.result != "superseded":
            plan = from_text(spec_text)
            why = cause(rollout, await self._fleet.history(name, rollout))
            said = why.message if why else said
            words = commit_message.promotion if rollout.result == "promoted" else commit_message.rollback
            text = words(plan, rollout, why, origin, retry=self._retry(name))
            about = f"{name}/{rollout.attempt}", began, name, rollout.revision, origin.arms, text
            speaks_of_it = origin.revision == rollout.revision  # the file may name another plan by now
            if rollout.result in REJECTED:
                variant = variant_digest(plan.spec) if condemned(rollout, why) else ""
                self._git_state.reject(name, rollout.revision, Rejection(origin.commit, said, variant))
                not_its_doing = why is not None and why.reason in NOT_ITS_DOING
                if speaks_of_it and not not_its_doing:
                    self._outbox.add(PendingCommit("put back", *about))
            elif speaks_of_it:
                self._outbox.add(PendingCommit("promote", *about))
        self._outbox.ended(rollout, said, origin)
        self._git_state.settle(name, id_)
        if name in self._git_state.state.frozen:
            self._git_state.thaw(name)
        self.look_again()

    async def _sync(self) -> None:
        """Compare the newest commit with what runs."""
        before = self._git_state.state.head
        head = await self._store.fetch()
        if head is None:
            self._tell("branch", f"{self._store.remote.url} is empty; the first commit is waited for.")
            return
        if head == self._taken:
            self._said.pop("branch", None)
            return
        if self._git_state.is_new and not before:
            await self._learn_rejections(head)
        rewritten = bool(before) and not await self._store.descends(head, before)
        blobs, refused = await self._store.matching(head, self._pattern)
        found, complaints = await self._read(head, blobs, refused)
        owners = {name: origin.path for name, origin in self._git_state.state.origins.items()}
        granted, more = resolve_ownership(found, owners, {complaint.path for complaint in complaints})
        complaints = [*complaints, *more]
        paths = {each.path for each in found} | {each.path for each in complaints}
        facts = await self._store.changed_by(head, paths)
        ids = {blob.path: blob.id for blob in blobs}
        if rewritten:
            self._freeze(before, head, ids)
        self.complaints = complaints
        self._complain(complaints, facts)
        whole = True
        with self._git_state.together():
            for name, wanted in granted.items():
                if not self._is_frozen(name, ids.get(wanted.path, "")):
                    whole = await self._try_to_take(wanted, facts[wanted.path]) and whole
        # Saved once for all of them: what begins must not be known only to this process.
        beginning, self._to_begin = self._to_begin, []
        for wanted in beginning:
            self._fleet.take(wanted)
        unreadable = {complaint.path for complaint in complaints}
        self._take_back(set(owners) - granted.keys(), owners, unreadable, head)
        self._git_state.at(head)
        self._outbox.moved()
        self._taken = head if whole else ""
        self._again.clear()
        self._said.pop("branch", None)

    async def _read(
        self, head: str, blobs: Sequence[Blob], refused: Sequence[SkippedEntry]
    ) -> tuple[Sequence[DesiredRollout], Sequence[FileError]]:
        """Every file by itself, completed by the settings file in its folder."""
        settings, _ = await self._store.matching(head, Pattern(f"**/{SETTINGS_NAME}"))
        beside = {str(PurePosixPath(blob.path).parent): blob for blob in settings}
        texts = await self._store.read([blob.id for blob in (*blobs, *settings)], limit=SIZE_LIMIT)
        known: dict[tuple[str, str, str], DesiredRollout | FileError] = {}
        found: list[DesiredRollout] = []
        complaints = [FileError(each.path, 1, f"{each.path} {each.why}.") for each in refused]
        for blob in blobs:
            near = beside.get(str(PurePosixPath(blob.path).parent))
            source = Source(near.path, texts[near.id]) if near else None
            key = (blob.path, blob.id, near.id if near else "")
            each = known[key] = self._known.get(key) or self._understand(blob.path, texts[blob.id], source)
            if isinstance(each, DesiredRollout):
                found.append(each)
            else:
                complaints.append(each)
            await asyncio.sleep(0)  # a thousand files are no reason to keep a rollout waiting
        self._known = known
        return found, complaints

    async def _try_to_take(self, wanted: DesiredRollout, facts: CommitInfo) -> bool:
        """Take one file; what is wrong with its rollout's store keeps none of the others waiting."""
        try:
            await self._take(wanted, facts)
        except (ExternalError, BadInput) as error:
            self._tell(f"store of {wanted.name}", f"{wanted.name}: {error}")
            return False
        return True

    async def _take(self, wanted: DesiredRollout, facts: CommitInfo) -> None:
        """One file: start, replace, end or leave alone what runs under its name."""
        name, old = wanted.name, self._git_state.state.origins.get(wanted.name)
        where = f"{wanted.path}:{wanted.line} in {facts.short} by {facts.author} ({quoted(facts.subject)})"
        origin = PlanOrigin(
            wanted.path, wanted.line, wanted.revision, wanted.arms, facts.id, facts.author, facts.subject
        )  # fmt: skip
        if old is not None and old.path != wanted.path:
            self._say(f"{name}: its file moved from {old.path} to {wanted.path}; nothing else changes by that.")
            self._git_state.origin(name, replace(old, path=wanted.path, line=wanted.line))
        if wanted.plan is None:
            self._git_state.origin(name, origin)
            if self._fleet.wants(name):
                self._withdraw(name, f"{where} names nothing to try any more")
            self._fleet.mirror(wanted)
            return
        if self._fleet.wants(name) == wanted.revision:
            self._git_state.origin(name, origin)
            self._fleet.mirror(wanted)
            return
        if not self._may_start(wanted, facts, where):
            return
        stored = await self._fleet.stored(name)
        if stored is not None and stored.rollout.result == "promoted" and name not in self._again:
            promoted = from_text(stored.spec_text).spec
            plan = wanted.plan.spec
            if (promoted.stable, promoted.canary) == (plan.stable, plan.canary):
                if not self._is_being_written(name):
                    said = f"{where}: {plan.canary.name} is promoted already, so {name} has nothing to try."
                    self._tell(wanted.path, said)
                self._git_state.origin(name, origin)
                return
        self._git_state.origin(name, origin)
        self._say(f"{where}: {name} tries {wanted.plan.spec.canary.name} beside {wanted.plan.spec.stable.name}.")
        self._git_state.want(name)
        if self._git_state.moot(name, f"{where} begins a new rollout of {name}."):
            self._outbox.moved()
        self._to_begin.append(wanted)

    def _may_start(self, wanted: DesiredRollout, facts: CommitInfo, where: str) -> bool:
        """Whether the revision is not rejected, or somebody has said that it may be tried again."""
        rejection = self._git_state.rejection(wanted.name, wanted.revision, wanted.variant)
        if rejection is None:
            return True
        if any(writing.name == wanted.name for writing in self._git_state.state.writings):
            return False
        if facts.id != rejection.commit and facts.trailer(RETRY) in {wanted.name, wanted.revision}:
            self._git_state.allow(wanted.name)
            self._say(f"{where}: {wanted.name} is tried again, as the commit says.")
            return True
        if self._is_being_written(wanted.name):
            return False
        what, change = f"this revision ({wanted.revision}) of {wanted.name}", "Change the file"
        if rejection.variant:
            what, change = f"what the canary of {wanted.name} runs ({rejection.variant})", "Change what it runs"
        if facts.id != rejection.commit:
            self._outbox.refused(wanted.name, wanted.revision, facts.id, f"Rejected before: {rejection.sentence}")
        self._tell(
            wanted.path,
            f"{where}: {what} was rejected: {rejection.sentence} It is not "
            f"started again. {change}, or say `{self._retry(wanted.name)}`.",
        )
        return False

    def _is_being_written(self, name: str) -> bool:
        """Whether its file is about to change by a commit of ours, so that nothing needs to be said of it."""
        state = self._git_state.state
        proposed = (proposal.writing for proposal in state.proposals if not proposal.moot)
        return any(writing.name == name for writing in (*state.writings, *proposed))

    def _take_back(self, names: set[str], owners: Mapping[str, str], unreadable: set[str], head: str) -> None:
        """Rollouts whose file is gone end; one whose file cannot be read now stays as it is."""
        for name in sorted(names):
            if owners[name] in unreadable or self._is_frozen(name, ""):
                continue
            where = f"{owners[name]} is gone in {head[:7]}"
            if self._fleet.wants(name):
                self._withdraw(name, where)
            elif not self._fleet.is_running(name):
                self._say(f"{where}: {name} is not followed any more, and what serves goes on serving.")
                self._git_state.forget(name)
                self._fleet.forget(name)

    def _withdraw(self, name: str, where: str) -> None:
        self._say(f"{where}: everything of {name} goes back to stable.")
        self._git_state.withdraw(name, where)
        self._fleet.withdraw(name, f"git ({where})")

    def _freeze(self, before: str, head: str, ids: Mapping[str, str]) -> None:
        """After a rewritten history what runs stays as it is until its file changes again."""
        running = [name for name in self._git_state.state.origins if self._fleet.wants(name)]
        for name in running:
            self._git_state.freeze(name, ids.get(self._git_state.state.origins[name].path, ""))
        kept = f"{', '.join(running)} go{'es' if len(running) == 1 else ''} on as before until its file changes again"
        self._say(
            f"The history of {self._store.remote.branch} was rewritten: {head[:7]} does not contain {before[:7]}, "
            f"which was taken in before. {kept if running else 'No rollout is under way'}."
        )

    def _is_frozen(self, name: str, blob: str) -> bool:
        """Whether this state of its file is the one that a rewritten history left it with."""
        frozen = self._git_state.state.frozen.get(name)
        if frozen is None:
            return False
        if frozen == blob and self._fleet.is_running(name):
            return True
        self._git_state.thaw(name)
        return False

    def _complain(self, complaints: Sequence[FileError], facts: Mapping[str, CommitInfo]) -> None:
        """Say each fault once, and put it on the commit that brought it."""
        faults: dict[str, dict[str, str]] = defaultdict(dict)
        for complaint in complaints:
            commit = facts[complaint.path]
            faults[commit.id][complaint.path] = complaint.sentence
            self._tell(
                complaint.path,
                f"{complaint.path} in {commit.short} by {commit.author} is not used; everything else goes on.\n"
                f"{complaint.sentence}",
            )
        for commit_id, sentences in faults.items():
            text = "\n".join(sentences.values())
            if self._said.get(commit_id) != text:
                self._said[commit_id] = text
                self._outbox.complain(commit_id, sentences)

    async def _learn_rejections(self, head: str) -> None:
        """What earlier controllers rejected, from the trailers of their commits and notes, newest first."""
        allowed: set[str] = set()
        for facts in await self._store.recent(head, most=HISTORY_OF_REJECTIONS, notes=True):
            for noted in facts.noted():  # by a rollback that waits in a pull request, later than what the commit says
                self._learn_rejection(noted, allowed)
            if said := facts.trailer(RETRY):
                allowed.add(said)
            self._learn_rejection(facts, allowed)

    def _learn_rejection(self, facts: CommitInfo, allowed: set[str]) -> None:
        name, revision = facts.trailer("Serinus-Rollout").partition("/")[0], facts.trailer("Serinus-Revision")
        rejected = name and revision and facts.trailer("Serinus-Result") in REJECTED
        if rejected and not allowed & {name, revision}:
            brought = facts.trailer("Serinus-Commit") or facts.id
            said = f"{facts.subject} ({facts.short})."
            self._git_state.reject(name, revision, Rejection(brought, said, facts.trailer(commit_message.VARIANT)))

    async def _take_retries(self) -> None:
        """What `serinus retry` asks for: a file of the rollout's name."""
        for name in await asyncio.to_thread(self._git_state.asked_again):
            self._git_state.allow(name)
            self._again.add(name)
            self._taken = ""
            for about in [key for key in self._said if self._is_about(key, name)]:
                del self._said[about]
            self._say(f"{name} may be tried again; it starts if its file names something to try.")

    def _is_about(self, key: str, name: str) -> bool:
        origin = self._git_state.state.origins.get(name)
        return origin is not None and origin.path == key

    def look_again(self) -> None:
        """Compare the newest commit with what runs once more, though it is no new one."""
        self._taken = ""

    def _tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            self._say(sentence)


def ask_for_retry(folder: Path, name: str) -> None:
    """Leave word for the controller whose state is in this folder."""
    private_folder(folder / "retry", ours=True)
    open_private(folder / "retry" / name, "a").close()
