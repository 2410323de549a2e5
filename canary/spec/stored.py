"""A plan as text for a store, and back: exactly the same plan, whatever form its owner wrote.

Used by the shell, which keeps the plan beside the rollout's state so that a killed run can go on. Not for people: what
they wrote stays in their file.
"""

from typing import Any

from pydantic_core import from_json

from canary.errors import ExternalError
from canary.spec.criterion import Criterion
from canary.spec.gates import Gate
from canary.spec.models import ModelCanary


def to_text(plan: ModelCanary) -> str:
    """The plan as JSON."""
    return plan.model_dump_json(exclude_none=True)


def from_text(text: str) -> ModelCanary:
    """The plan that `to_text` was given; raises `ExternalError` for anything else."""
    try:
        data = from_json(text)
        spec = data["spec"]
        for holder in (spec, *spec["stages"]):
            holder["gates"] = _gates(holder.get("gates", ()))
        if spec.get("evaluation"):
            metrics = spec["evaluation"]["metrics"]
            spec["evaluation"]["metrics"] = tuple(Criterion.model_validate(criterion) for criterion in metrics)
        return ModelCanary.model_validate(data)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        why = str(error).partition("\n")[0]
        raise ExternalError(
            f"The stored plan is damaged, or was written by another Serinus, and cannot be read: {why}."
        ) from error


def _gates(dumped: list[dict[str, Any]]) -> tuple[Gate, ...]:
    return tuple(Gate.model_validate(gate) for gate in dumped)
