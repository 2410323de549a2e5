"""An evaluation that can be run: each criterion with its scorer, the request, and what was wrong with the file.

Called by `controlplane.evaluation.loading`, and by `canary.spec.local` for the part that needs no data set. Metrics
without a scorer of their own take the default one that stands here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from canary.evaluation.item import Item, LineFault
from canary.evaluation.scorer import Score, scorer_of, unfit
from canary.spec.evaluation import Evaluation, Scorer, ScorerKind
from canary.spec.source import quoted
from canary.spec.units import UnreadableNumber

NEEDS_SETTINGS = frozenset({"regex", "length"})
"""Kinds that mean nothing without their settings."""
DEFAULTS: Mapping[str, Scorer] = {
    **{kind: Scorer(kind=kind) for kind in get_args(ScorerKind) if kind not in NEEDS_SETTINGS},
    "first_turn_resolution": Scorer(kind="contains"),
    "hallucination_rate": Scorer(kind="contains", inverse=True),
    "refusal_rate": Scorer(kind="refusal"),
}
"""Scorers of metrics that the plan gives none: those named like a kind, and three that plans often ask for. An answer
resolves if the expected text stands in it, and counts as a hallucination if it does not."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is worked out for each answer."""

    evaluation: Evaluation
    scores: Mapping[str, Score]
    """By metric."""

    @property
    def compares(self) -> bool:
        """Whether stable has to be asked."""
        return any(criterion.limit is None for criterion in self.evaluation.metrics)


def faults_of(evaluation: Evaluation) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What keeps an evaluation from being run, each with the path below `evaluation` that it is about."""
    if "://" in evaluation.dataset and not evaluation.dataset.startswith("file://"):
        yield ("dataset",), "is an address; a data set is read from a file beside the plan, and fetched from nowhere"
    metrics = {criterion.metric for criterion in evaluation.metrics}
    for index, criterion in enumerate(evaluation.metrics):
        if criterion.limit is not None and not 0 <= criterion.limit <= 1:
            message = f"asks for {criterion.limit:g}, but scores are shares from 0% to 100%"
            yield ("metrics", index), message
        if criterion.metric not in evaluation.scorers and criterion.metric not in DEFAULTS:
            example = f"scorers: {{{criterion.metric}: {{kind: contains}}}}"
            kinds = ", ".join(get_args(ScorerKind))
            yield ("metrics", index), f"{quoted(criterion.metric)} has no scorer; write {example} (kinds: {kinds})"
    for name, scorer in evaluation.scorers.items():
        if name not in metrics:
            yield ("scorers", name), f"scores {quoted(name)}, which no line of metrics asks for; take it out"
        try:
            scorer_of(scorer)
        except UnreadableNumber as error:
            yield ("scorers", name, *([error.key] if error.key else [])), str(error)
    try:
        temperature(evaluation)
    except UnreadableNumber as error:
        yield ("request", "temperature"), str(error)


def scoring_of(evaluation: Evaluation) -> Scoring:
    """The scorers by metric, of an evaluation without faults."""
    metrics = dict.fromkeys(criterion.metric for criterion in evaluation.metrics)
    return Scoring(evaluation, {metric: scorer_of(_config(evaluation, metric)) for metric in metrics})


def item_faults(evaluation: Evaluation, items: Sequence[Item]) -> tuple[LineFault, ...]:
    """Items that a scorer cannot score, whatever the answer."""
    configs = {_config(evaluation, criterion.metric) for criterion in evaluation.metrics}
    faults = [(item.line, why) for item in items for config in configs if (why := unfit(config, item))]
    return tuple(LineFault(line, why) for line, why in sorted(set(faults)))


def temperature(evaluation: Evaluation) -> float:
    """How much chance there is in an answer. Raises `UnreadableNumber`."""
    try:
        value = float(evaluation.request.temperature)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise UnreadableNumber(f"expected a number from 0 to 2, got {quoted(evaluation.request.temperature)}")
    return value


def _config(evaluation: Evaluation, metric: str) -> Scorer:
    return evaluation.scorers.get(metric) or DEFAULTS[metric]
