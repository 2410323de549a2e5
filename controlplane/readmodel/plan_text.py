"""A plan as text for people who watch, with what may be secret left out.

Used by the routes and the report. What may be a credential is hidden (`observability.redact`): whoever may watch a
rollout need not know it.
"""

from typing import Any

import yaml

from canary.format import duration
from canary.spec.stored import from_text
from canary.weights import Weights
from controlplane.observability.redact import hidden_plan


def plan_text(spec_text: str) -> str:
    """The stored plan as YAML, in the words of canary.yml."""
    plan = from_text(spec_text)
    data: dict[str, Any] = plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spec = data["spec"]
    for stage, dumped in zip(plan.spec.stages, spec["stages"], strict=True):
        dumped["traffic"] = str(Weights.of_share(stage.traffic))
        if "hold" in dumped:
            dumped["hold"] = duration(stage.hold)
        if stage.gates:
            dumped["gates"] = [gate.text for gate in stage.gates]
    if plan.spec.gates:
        spec["gates"] = [gate.text for gate in plan.spec.gates]
    return yaml.safe_dump(hidden_plan(data), sort_keys=False, allow_unicode=True, width=100)
