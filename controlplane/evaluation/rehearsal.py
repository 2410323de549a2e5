"""The evaluation of a rollout on this machine, before its canary has any traffic. Behind the port `Rehearsal`.

Opened by `controlplane.program`. It asks the replicas themselves, not the proxy, so the traffic split does not matter
and no request of a user is touched. Where a server gives no answer it asks again, for as long as the rollout waits.
Answers are kept until the rollout has ended: a killed run asks nothing twice.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from canary.errors import BadInput, ExternalError
from canary.evaluation.criterion import can_show, planned_drop
from canary.evaluation.paired import design_of
from canary.snapshot import EvaluationStatus, ShadowStatus
from canary.verdict import GateAnswer
from canary.weights import ARMS, Arm
from controlplane.backoff import Backoff
from controlplane.evaluation.answers import AnswerStore
from controlplane.evaluation.endpoint import ChatEndpoint, open_http
from controlplane.evaluation.loading import Loaded
from controlplane.evaluation.runner import EvaluationOutcome, Side, evaluate

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 30.0
"""Before the evaluation asks a server again that gave no answer."""
ORDER = (GateAnswer.FAIL, GateAnswer.WAIT, GateAnswer.PASS)


class LocalRehearsal:
    """Runs the evaluation once, in the background."""

    def __init__(
        self,
        loaded: Loaded,
        endpoints: Callable[[], Mapping[Arm, Mapping[str, str]]],
        state: Path,
        *,
        identity: str,
        now: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        """`endpoints` gives the ready replicas' addresses by arm; `identity` is what answers are kept by."""
        self._loaded = loaded
        self._endpoints = endpoints
        self._identity = identity
        self._now = now
        self._say = say
        self._store = AnswerStore(state)
        self._http = open_http(loaded.scoring.evaluation)
        self._task: asyncio.Task[None] | None = None
        self._outcome: EvaluationOutcome | None = None
        self._problem = ""

    async def evaluate(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="evaluation")

    async def mirror(self, share: float) -> None:
        """This machine copies no requests."""
        raise ExternalError("This machine copies no requests; the plan should not have been accepted.")

    async def seen(self) -> tuple[EvaluationStatus | None, ShadowStatus | None]:
        """The result, or what it waits for."""
        if self._task is None:
            return None, None
        if self._outcome is None:
            return EvaluationStatus(self._now(), problem=self._problem), None
        verdict = self._outcome.verdict
        first = sorted(verdict.criteria, key=lambda each: ORDER.index(each.verdict))
        return (
            EvaluationStatus(
                self._now(),
                done=True,
                canary={each.metric: each.canary for each in verdict.criteria if each.canary is not None},
                stable={each.metric: each.stable for each in verdict.criteria if each.stable is not None},
                verdict=verdict.verdict,
                why=tuple(each.why for each in first),
            ),
            None,
        )

    async def forget(self) -> None:
        """The rollout has ended: another one asks for itself."""
        await self._stop()
        await self._store.forget()

    async def close(self) -> None:
        """Stop asking; what was answered is kept."""
        await self._stop()
        await self._http.close()
        await self._store.close()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        scoring = self._loaded.scoring
        if scoring.compares:
            design = design_of(self._loaded.units, len(scoring.evaluation.metrics))
            can = can_show(design.items, planned_drop(design)).removesuffix(".")
            self._say(f"{can}, if one answer in ten differs.")
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                outcome = await evaluate(
                    self._loaded,
                    {arm: self._side(arm) for arm in ARMS},
                    self._store,
                    run=f"{self._identity} {self._loaded.digest}",
                    now=self._now,
                )
                self._problem = outcome.problem
            except BadInput as error:  # the answers cannot be kept for now: a full disk
                self._problem = str(error)
            if not self._problem:
                self._outcome = outcome
                return
            await asyncio.sleep(backoff.next())

    def _side(self, arm: Arm) -> Side:
        endpoint = ChatEndpoint(arm, lambda: self._addresses(arm), self._http, self._loaded.scoring.evaluation)
        return Side(endpoint, f"{self._identity} {arm}")

    def _addresses(self, arm: Arm) -> Sequence[str]:
        return [f"http://{address}" for address in self._endpoints().get(arm, {}).values()]
