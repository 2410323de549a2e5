"""Runs an evaluation: asks both variants with many questions in flight, scores in a fixed order, stops when decided.

Called by `serinus eval run` and by `rehearsal.py`. Answers come in any order and are taken in by the order of the data
set's units, so an early stop is no bias towards quick answers. At most `AHEAD` times the questions in flight are
worked on beyond the unit whose turn it is, so memory does not grow with the data set.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canary.errors import Unavailable
from canary.evaluation.criterion import Pair
from canary.evaluation.item import Item
from canary.evaluation.paired import EvaluationVerdict, PairedTest, design_of
from canary.evaluation.scorer import Completion
from canary.weights import ARMS, Arm
from controlplane.evaluation.answers import AnswerStore, key_of
from controlplane.evaluation.endpoint import ChatEndpoint, parameters
from controlplane.evaluation.loading import Loaded

AHEAD = 2


@dataclass(frozen=True, slots=True)
class Side:
    """One variant of an evaluation."""

    endpoint: ChatEndpoint
    identity: str
    """What its answers are kept by."""
    lasting: bool = False
    """Whether the identity is that of the weights, flags and prompt, so that answers stay true after this run."""


@dataclass(slots=True)
class Progress:
    """How far an evaluation is."""

    items: int
    """In the data set."""
    asked: int = 0
    """Items whose answers are in and scored."""
    questions: int = 0
    """Questions that this run has sent; answers that were kept are not asked for again."""


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """How an evaluation ended, or what it waits for."""

    verdict: EvaluationVerdict
    progress: Progress
    digest: str
    seconds: float
    problem: str = ""
    """Why not all items have answers; then the verdict is no PASS."""

    def line(self) -> dict[str, Any]:
        """The last line of the contract."""
        return {
            "event": "evaluation",
            "verdict": str(self.verdict.verdict),
            "metrics": [asdict(each) | {"verdict": str(each.verdict)} for each in self.verdict.criteria],
            "items": self.progress.items,
            "asked": self.progress.asked,
            "questions": self.progress.questions,
            "smallest_drop": self.verdict.smallest_drop,
            "digest": self.digest,
            "seconds": round(self.seconds, 3),
            **({"problem": self.problem} if self.problem else {}),
        }


async def evaluate(
    loaded: Loaded,
    sides: Mapping[Arm, Side],
    store: AnswerStore,
    *,
    run: str,
    now: Callable[[], float],
    item: Callable[[Mapping[str, Any]], None] = lambda _line: None,
    progress: Callable[[Progress], None] = lambda _progress: None,
) -> EvaluationOutcome:
    """Ask until it is decided or all items are answered. `run` names the results that are kept.

    A question without an answer ends it with WAIT; what was answered is kept, and the next call goes on from there.
    """
    began, criteria, problem = now(), loaded.scoring.evaluation.metrics, ""
    test = PairedTest(criteria, design_of(loaded.units, len(criteria)))
    state = Progress(loaded.items)
    await store.begin(run)
    questions = _Questions(loaded, sides, store)
    try:
        while not test.decided:
            answered = await questions.next_unit()
            if answered is None:
                test.finish()
                break
            lines = [_line(each, said, loaded) for each, said in answered]
            test.add([_pairs(line) for line in lines])
            for line in lines:
                await store.note(run, state.asked, line)
                state.asked += 1
                item(line)
            state.questions = questions.sent
            progress(state)
    except Unavailable as error:
        problem = str(error)
    finally:
        await questions.close()
    state.questions = questions.sent
    outcome = EvaluationOutcome(test.verdict(problem), state, loaded.digest, now() - began, problem)
    if not problem:
        await store.end(run, outcome.line())
    return outcome


class _Questions:
    """Answers unit by unit, in the order of the units, with many questions in flight."""

    def __init__(self, loaded: Loaded, sides: Mapping[Arm, Side], store: AnswerStore) -> None:
        evaluation = loaded.scoring.evaluation
        self._arms = [arm for arm in ARMS if arm == "canary" or loaded.scoring.compares]
        self._sides, self._store = sides, store
        self._parameters = parameters(evaluation, loaded.model)
        self._units = iter(loaded.units)
        self._begun: deque[tuple[tuple[Item, ...], asyncio.Future[list[Completion]]]] = deque()
        self._items, self._most = 0, AHEAD * evaluation.request.in_flight

    @property
    def sent(self) -> int:
        """Questions that went to the servers."""
        return sum(self._sides[arm].endpoint.asked for arm in self._arms)

    async def next_unit(self) -> list[tuple[Item, dict[Arm, Completion]]] | None:
        """The next unit with its answers, None after the last. Raises `Unavailable` where an answer does not come."""
        while self._items < self._most and (unit := next(self._units, None)) is not None:
            self._begun.append((unit, asyncio.ensure_future(self._answers(unit))))
            self._items += len(unit)
        if not self._begun:
            return None
        unit, future = self._begun.popleft()
        got = await future
        self._items -= len(unit)
        each = len(self._arms)
        return [(item, dict(zip(self._arms, got[i * each :], strict=False))) for i, item in enumerate(unit)]

    async def close(self) -> None:
        """Leave the questions that are not needed any more."""
        for _, future in self._begun:
            future.cancel()
        await asyncio.gather(*(future for _, future in self._begun), return_exceptions=True)

    async def _answers(self, unit: Sequence[Item]) -> list[Completion]:
        asking = (self._answer(arm, item) for item in unit for arm in self._arms)
        got: list[Completion] = []
        for each in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(each, BaseException):
                raise each
            got.append(each)
        return got

    async def _answer(self, arm: Arm, item: Item) -> Completion:
        side = self._sides[arm]
        key = key_of(side.identity, item, self._parameters)
        found = await self._store.find(key)
        if found is None:
            found = await side.endpoint.ask(item, self._parameters)
            await self._store.keep(key, found, lasting=side.lasting)
        return found


def _line(item: Item, said: Mapping[Arm, Completion], loaded: Loaded) -> dict[str, Any]:
    """One item's line of the contract."""
    scores = {
        metric: {arm: score(item, completion) for arm, completion in said.items()}
        for metric, score in loaded.scoring.scores.items()
    }
    return {"event": "item", "id": item.id, **{arm: _shown(said[arm]) for arm in said}, "scores": scores}


def _shown(completion: Completion) -> dict[str, Any]:
    calls = [{"name": call.name, "arguments": call.arguments} for call in completion.tool_calls]
    shown: dict[str, Any] = {"text": completion.text, "finish_reason": completion.finish_reason}
    return shown | ({"tool_calls": calls} if calls else {})


def _pairs(line: Mapping[str, Any]) -> dict[str, Pair]:
    return {metric: Pair(by_arm["canary"], by_arm.get("stable")) for metric, by_arm in line["scores"].items()}
