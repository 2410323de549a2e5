"""Checks between fields: what each field allows for itself but not together with the others.

Called by `parse.py` on the draft of a plan, so that these faults come together with those of single fields. Each
check is one function from the draft to its faults; the chain says in which order they are made.
"""

from collections.abc import Callable, Iterator

from canary.errors import Fault
from canary.spec.decidable import never_decided, not_here
from canary.spec.draft import Draft, DraftGate, DraftStage
from canary.spec.faults import dotted
from canary.spec.models import Variant
from canary.spec.source import quoted
from canary.spec.units import show_seconds, show_share

SMALLEST_SHARE = 1e-6
"""Routers take whole millionths."""
DAY = 86_400.0
IDENTITY = {
    "uri",
    "quantization",
    "profile",
    "system_prompt",
    "engine",
    "inference_service",
    "runtime",
    "image",
    "resources",
    "node_selector",
    "lora",
}
"""Fields that make a variant what it is, beside its command and its variables."""


def faults_between(draft: Draft) -> list[Fault]:
    """Everything wrong between the fields of a plan."""
    return [fault for check in CHECKS for fault in check(draft)]


def stages_rise_to_all(draft: Draft) -> Iterator[Fault]:
    """Each stage has more traffic than the one before, and the last has all of it."""
    before: DraftStage | None = None
    for stage in draft.stages:
        if stage.traffic is None:
            continue
        path = (*stage.path, "traffic")
        place = draft.place(path)
        shown = show_share(stage.traffic)
        if stage.traffic < SMALLEST_SHARE:
            yield place.fault(
                dotted(path), f"a stage needs traffic of at least {show_share(SMALLEST_SHARE)}, got {shown}"
            )
        elif before is not None and before.traffic is not None and stage.traffic <= before.traffic:
            where = draft.whereabouts((*before.path, "traffic"))
            message = f"stages rise: expected more than the {show_share(before.traffic)} of {where}, got {shown}"
            yield place.fault(dotted(path), message)
        before = stage
    if draft.stages and draft.stages[-1].traffic is not None and draft.stages[-1].traffic < 1:
        path = (*draft.stages[-1].path, "traffic")
        got = show_share(draft.stages[-1].traffic)
        yield draft.place(path).fault(dotted(path), f"the last stage has all traffic: expected 100%, got {got}")


def variants_differ(draft: Draft) -> Iterator[Fault]:
    """There is something to compare."""
    names = [draft.root.get("spec", role, "name") for role in ("stable", "canary")]
    if names[0] is not None and names[1] is not None and names[0].value == names[1].value is not None:
        message = f"stable and canary are both called {quoted(names[1].value)}; each needs a name of its own"
        yield names[1].place.fault("spec.canary.name", message)
    stable, canary = draft.stable, draft.canary
    if stable is None or canary is None:
        return
    said = _identity(canary)
    if any(said.values()) and said == _identity(stable):
        message = (
            "is the same as stable in all but its name, so there is nothing to try; change what should be different"
        )
        yield draft.place(("spec", "canary"), key=True).fault("spec.canary", message)


def gates_can_be_decided(draft: Draft) -> Iterator[Fault]:
    """Every gate can pass and can fail, where it stands."""
    for stage in draft.stages:
        for each in stage.gates:
            why = never_decided(each.gate) or not_here(each.gate, stage.traffic, stage.hold)
            if why:
                yield _undecidable(draft, each, why)
    for each in draft.gates:
        why = never_decided(each.gate)
        somewhere = any(not not_here(each.gate, stage.traffic, stage.hold) for stage in draft.stages)
        if why or (draft.stages and not somewhere):
            reason = not_here(each.gate, draft.stages[0].traffic, draft.stages[0].hold) if draft.stages else None
            yield _undecidable(draft, each, why or f"no stage can: {reason}")


def gates_stand_once(draft: Draft) -> Iterator[Fault]:
    """The text of a gate is the key of its evidence, so it stands once in a stage."""
    for gates in (draft.gates, *(stage.gates for stage in draft.stages)):
        first: dict[str, DraftGate] = {}
        for each in gates:
            if each.gate.text in first:
                where = draft.whereabouts(first[each.gate.text].path)
                message = f"{quoted(each.gate.text)} stands in this list already, in {where}; keep one of them"
                yield draft.place(each.path).fault(dotted(each.path), message)
            first.setdefault(each.gate.text, each)


def shadow_can_end(draft: Draft) -> Iterator[Fault]:
    """The shadow has traffic, and time for the days that it must win; a model that judges is named."""
    shadow = draft.shadow
    if shadow is None:
        return
    if not shadow.traffic:
        yield draft.place(("spec", "shadow", "traffic")).fault(
            "spec.shadow.traffic", "a shadow of nothing shows nothing"
        )
    if shadow.for_ and shadow.promote.days * DAY > shadow.for_:
        path = ("spec", "shadow", "promote", "days")
        message = f"{shadow.promote.days} winning days do not fit into {show_seconds(shadow.for_)}"
        yield draft.place(path).fault(dotted(path), message)
    if shadow.judge.kind == "llm":
        for name in ("model", "endpoint"):
            if getattr(shadow.judge, name) is None:
                message = "is missing; an LLM that judges needs model and endpoint (or set kind: exact)"
                yield draft.place(("spec", "shadow", "judge"), key=True).fault(f"spec.shadow.judge.{name}", message)


def criteria_stand_once(draft: Draft) -> Iterator[Fault]:
    """A line of the evaluation stands once."""
    seen: set[str] = set()
    for index, each in enumerate(draft.evaluation.metrics if draft.evaluation else ()):
        if each.text in seen:
            path = ("spec", "evaluation", "metrics", index)
            yield draft.place(path).fault(
                dotted(path), f"{quoted(each.text)} stands in this list already; keep one of them"
            )
        seen.add(each.text)


def budget_says_how_far(draft: Draft) -> Iterator[Fault]:
    """Throttling goes down to a share; nothing else does."""
    budget = draft.budget
    if budget is None:
        return
    if budget.on_exceed == "throttle" and budget.to is None:
        message = "is missing; onExceed: throttle needs the share that is left, such as to: 1%"
        yield draft.place(("spec", "budget"), key=True).fault("spec.budget.to", message)
    if budget.on_exceed != "throttle" and budget.to is not None:
        message = f"only counts with onExceed: throttle, not with {budget.on_exceed}"
        yield draft.place(("spec", "budget", "to"), key=True).fault("spec.budget.to", message)


def files_are_local(draft: Draft) -> Iterator[Fault]:
    """A file on somebody's disk is no place for a cluster to load from."""
    if draft.platform is None or draft.platform.kserve is None:
        return
    for path in (("spec", "model", "uri"), ("spec", "stable", "uri"), ("spec", "canary", "uri")):
        node = draft.root.get(*path)
        if node is not None and isinstance(node.value, str) and node.value.startswith("file://"):
            yield node.place.fault(
                dotted(path), "file:// is a place on one machine; a cluster needs another, such as hf:// or s3://"
            )


CHECKS: tuple[Callable[[Draft], Iterator[Fault]], ...] = (
    stages_rise_to_all,
    variants_differ,
    gates_can_be_decided,
    gates_stand_once,
    criteria_stand_once,
    shadow_can_end,
    budget_says_how_far,
    files_are_local,
)


def _undecidable(draft: Draft, each: DraftGate, why: str) -> Fault:
    return draft.place(each.path).fault(dotted(each.path), f"{quoted(each.gate.text)} can never be decided: {why}")


def _identity(variant: Variant) -> dict[str, object]:
    """What makes a variant what it is. Its own name counts only where its command line uses it."""
    filled = tuple(word.replace("{name}", variant.name) for word in variant.command)
    environment = {key: value.replace("{name}", variant.name) for key, value in variant.env.items()}
    said = variant.model_dump(include=IDENTITY)
    return {**said, "command": filled, "env": environment, "passEnv": variant.pass_env}
