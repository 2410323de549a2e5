"""A conversation: taking in a block, which asks what the gates' evidence is after it and goes on with the answers.

Begun by `judge.py` for each rollout that hears something. One is held by itself; of many at once, the questions are put
together, which is what makes a whole fleet's tick cheap. Whoever asks need not know which it is.
"""

from collections.abc import Generator, Sequence
from itertools import chain, islice
from typing import TypeVar

from canary.judge import fleet, weighing
from canary.judge.weighing import Kept, Weighing

Result = TypeVar("Result")
Conversation = Generator[Sequence[Weighing], Sequence[Kept] | None, Result]
FEW = 24
"""Questions that are answered sooner one by one."""


def held(conversation: Conversation[Result]) -> Result:
    """Hold one conversation to its end."""
    try:
        questions = next(conversation)
        while True:
            questions = conversation.send(weighing.answered(questions))
    except StopIteration as end:
        result: Result = end.value
        return result


def held_together(conversations: Sequence[Conversation[Result]]) -> list[Result]:
    """Hold all conversations at once: in each round what all of them ask is answered together."""
    results: dict[int, Result] = {}
    answers: dict[int, Sequence[Kept] | None] = dict.fromkeys(range(len(conversations)))
    while answers:
        asking: dict[int, Sequence[Weighing]] = {}
        for number, said in answers.items():
            try:
                asking[number] = conversations[number].send(said)
            except StopIteration as end:
                results[number] = end.value
        told = iter(_answered(list(chain.from_iterable(asking.values()))))
        answers = {number: list(islice(told, len(questions))) for number, questions in asking.items()}
    return [results[number] for number in range(len(conversations))]


def _answered(questions: Sequence[Weighing]) -> Sequence[Kept]:
    return weighing.answered(questions) if len(questions) < FEW else fleet.answered(questions)
