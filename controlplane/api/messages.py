"""What the API takes and answers besides the pictures of rollouts, which have files of their own.

Used by the routes.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from canary.spec.units import Share
from canary.verdict import GateVerdict
from controlplane.api import problem
from controlplane.api.problem import Problem
from controlplane.readmodel.actions import Asking
from controlplane.readmodel.panels import Panel
from controlplane.readmodel.state import State

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {problem.MEDIA_TYPE: {}}, "description": words}
    for code, words in {
        401: "No token, or a wrong one.",
        403: "Wrong host or origin, or not allowed to you.",
        404: "No such rollout.",
        422: "A parameter that is not understood.",
        503: "The state cannot be read now.",
    }.items()
}


class Asked(BaseModel):
    """What a person asks of a rollout."""

    model_config = ConfigDict(extra="forbid")

    verb: Asking
    full: bool = Field(default=False, description="For promote: go to 100 % at once.")
    to: Share | None = Field(default=None, description="For promote: skip to the later stage of this share.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """A share is for promote, and is one of two ways to say how far."""
        if self.to is not None and (self.full or self.verb != "promote"):
            raise ValueError("`to` goes with promote alone, and not together with `full`")
        return self


class Taken(BaseModel):
    """A request that was put where the loop finds it."""

    id: str = Field(description="Stands in the evidence of the event that answers it.")
    verb: str
    by: str
    sentence: str


class Detail(BaseModel):
    """Everything about one rollout but its events."""

    state: State
    verdicts: list[dict[str, Any]] = Field(description="The judge's last verdicts as they are.")
    plan: str = Field(description="The plan as YAML; what may be secret is hidden.")
    waiting: list[dict[str, Any]] = Field(description="Requests without an answer.")
    panels: list[Panel] = Field(default=[], description="What changes seldom: versions, attempts, requests.")
    earlier: bool = Field(default=False, description="Whether this is an attempt before the newest, as it ended.")
    events: list[dict[str, Any]] = Field(default=[], description="Of an earlier attempt, as the stream tells them.")
    may: list[str] = Field(default=[], description="The verbs that you may ask it for.")


class Session(BaseModel):
    """What the page needs to act."""

    user: str
    read_only: bool
    token: str = Field(description="To be sent as `X-Serinus-Token` with every action; empty when read-only.")
    version: str
    where: str = Field(default="this machine", description="Whose rollouts these are.")
    signs_out: bool = Field(default=False, description="Whether the session can be ended with `DELETE`.")


def plain(verdict: GateVerdict) -> dict[str, Any]:
    """A verdict as JSON has it, which knows no infinity."""
    return {
        key: None if isinstance(value, float) and not abs(value) < float("inf") else value
        for key, value in verdict.plain().items()
    }
