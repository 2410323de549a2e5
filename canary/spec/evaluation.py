"""What a plan says of its evaluation: the data set, how it is asked, what the answers are held against.

Part of `models.py`, and the whole of an evaluation file of its own (`canary.evaluation.plan`). What each scorer does is
`canary/evaluation/scorer.py`; here is what may be written.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from canary.spec.base import LONGEST_LIST, Model, length
from canary.spec.criterion import CriterionField
from canary.spec.names import HttpPath, Location
from canary.spec.units import Positive, Seconds, Switch, Text, UnreadableNumber

ScorerKind = Literal["exact", "contains", "regex", "numeric", "json", "tool_call", "refusal", "length"]
LATER = ("json_schema", "similarity", "embedding", "language", "llm", "command")
"""Kinds that are planned and that nothing carries out yet. They are refused here and nowhere else."""
MOST_IN_FLIGHT = 256
LONGEST_PATTERN = 1_000


def _not_later(kind: object) -> object:
    if kind in LATER:
        raise UnreadableNumber(f"no scorer of kind {kind} is built yet; there are {', '.join(get_args(ScorerKind))}")
    return kind


class Scorer(Model):
    """How an answer becomes a score from 0 to 1."""

    kind: Annotated[ScorerKind, BeforeValidator(_not_later)]
    """`exact`, `contains`, `numeric` and `tool_call` hold it against the item's `expected`; the others look at it
    alone."""
    pattern: Annotated[Text, Field(max_length=LONGEST_PATTERN)] | None = None
    """For `regex`: the expression that is searched for, in Rust's syntax, which takes linear time."""
    ignore_case: Switch = True
    """For `exact`, `contains` and `regex`: whether capitals count as their small letters."""
    tolerance: Annotated[Text, Field(max_length=20)] = "0"
    """For `numeric`: how far the last number of the answer may be from the expected one: `0.01`, or `1%` of it."""
    most: Positive | None = None
    """For `length`: the most characters that an answer may have."""
    least: Positive | None = None
    """For `length`: the fewest."""
    inverse: Switch = False
    """Score 1 becomes 0 and the other way round: a rate of what must not be."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.kind == "regex") != (self.pattern is not None):
            raise UnreadableNumber("pattern goes with kind: regex, and only there", key="pattern")
        if self.kind == "length" and self.most is None and self.least is None:
            raise UnreadableNumber("a length needs most, least or both", key="most")
        return self


class EvaluationRequest(Model):
    """How each item is asked; it is part of what answers are kept by."""

    model: Text | None = None
    """The name that the servers are asked for; the plan's `model.name` when left out."""
    path: HttpPath = "/v1/chat/completions"
    """Where the servers take a chat."""
    max_tokens: Positive = 512
    """The most tokens of an answer."""
    temperature: Annotated[Text, Field(max_length=10)] = "0"
    """How much chance there is in an answer; 0 makes two builds easiest to tell apart."""
    timeout: Annotated[Seconds, Field(ge=0.1, le=3600)] = 60.0
    """How long one answer may take."""
    in_flight: Annotated[Positive, Field(le=MOST_IN_FLIGHT)] = 32
    """Questions that each variant is asked at a time."""
    retries: Annotated[Positive, Field(le=10)] = 3
    """How often a question is asked before the evaluation waits for the server."""


def _few_scorers(value: Mapping[str, Scorer]) -> Mapping[str, Scorer]:
    if len(value) > LONGEST_LIST:
        raise UnreadableNumber(f"expected at most {LONGEST_LIST} scorers, found {len(value)}")
    return value


class Evaluation(Model):
    """The harness that must pass before any traffic."""

    dataset: Location
    """The questions: a file beside the canary.yml, or a place."""
    metrics: Annotated[tuple[CriterionField, ...], *length(1)]
    """What the results have to meet."""
    request: EvaluationRequest = EvaluationRequest.model_construct()
    """How each item is asked."""
    scorers: Annotated[Mapping[Text, Scorer], AfterValidator(_few_scorers)] = {}
    """The scorer of a metric, by the metric's name; metrics that are named like a scorer need none."""
    on_fail: Literal["block", "pause", "warn"] = "block"
    """What a failed evaluation does: end the rollout before any traffic, wait for a person, or be said and go on."""
