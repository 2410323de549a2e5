"""What a variant may say about its pods: resources, labels of nodes, tolerated taints.

Used by `models.py` as types of fields; rendered into pod specs by the shell. Refuses what the API server would refuse
in a pod, which is too late to tell the one who wrote the plan.
"""

import re
from collections.abc import Mapping
from typing import Literal, Self, TypeVar

from pydantic import model_validator

from canary.spec.base import Model
from canary.spec.source import quoted
from canary.spec.units import Count, Text, UnreadableNumber

QUALIFIED = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
"""Key of a label or taint, or name of a resource: perhaps a domain, then a name."""
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
AMOUNT = r"[0-9]{1,15}(\.[0-9]{1,9})?(m|k|Ki|[MGTPE]i?)?"
"""An amount of a resource: `4`, `500m`, `32Gi`."""
MOST = 30
"""Entries of one of these mappings."""


T = TypeVar("T")


def few(value: Mapping[str, T]) -> Mapping[str, T]:
    """The mapping, unless it has more entries than anybody writes."""
    if len(value) > MOST:
        raise UnreadableNumber(f"expected at most {MOST} entries, found {len(value)}")
    return value


def resource_amounts(value: Mapping[str, str]) -> Mapping[str, str]:
    """Resource to amount, as Kubernetes writes both, or the error that says what was expected."""
    few(value)
    for name, amount in value.items():
        if not re.fullmatch(QUALIFIED, name):
            raise UnreadableNumber(f"expected the name of a resource such as memory, got {quoted(name)}", key=name)
        if not re.fullmatch(AMOUNT, amount):
            raise UnreadableNumber(f"expected an amount such as 4, 500m or 32Gi, got {quoted(amount)}", key=name)
    return value


def node_labels(value: Mapping[str, str]) -> Mapping[str, str]:
    """Labels that a node can have, or the error that says what was expected."""
    few(value)
    for name, wanted in value.items():
        if not re.fullmatch(QUALIFIED, name) or not re.fullmatch(LABEL_VALUE, wanted):
            example = "nvidia.com/gpu.product: NVIDIA-L40S"
            raise UnreadableNumber(
                f"expected a node's label such as {example}, got {quoted(f'{name}: {wanted}')}", key=name
            )
    return value


BOUNDED = frozenset({few, resource_amounts, node_labels})
"""What refuses a mapping with more than `MOST` entries."""


class Toleration(Model):
    """A taint that does not keep a variant off a node, as in any pod."""

    key: Text | None = None
    """The taint's key; with `operator: Exists` and no key, every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the taint only has to be there, or has to have this value."""
    value: Text | None = None
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; all of them when left out."""
    toleration_seconds: Count | None = None
    """For `NoExecute`: seconds that it stays on a node that gets the taint."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise UnreadableNumber("only counts with operator: Equal", key="value")
        if self.operator == "Equal" and not self.key:
            raise UnreadableNumber("needs a key; without one write operator: Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise UnreadableNumber("only counts with effect: NoExecute", key="tolerationSeconds")
        return self
