"""Whether a plan can be carried out on one machine: what a cluster would do, and `serinus run` would leave undone, is a
fault.

Called by `serinus run` before anything starts, and by `serinus validate --for local`. Nothing that a plan asks for is
ever left out in silence.
"""

from collections.abc import Callable, Iterator

from canary.errors import Fault
from canary.spec import metrics
from canary.spec.decidable import never_by_label
from canary.spec.dialects import Form
from canary.spec.draft import Draft, draft
from canary.spec.faults import dotted
from canary.spec.models import Variant
from canary.spec.parse import Document, in_order
from canary.spec.sources import PROFILES, told_by

COUNTED = told_by(PROFILES["envoy"])
"""Totals, histograms and gauges that the local platform reads; `finish_reason` stands for all of its reasons."""
MONEY = "dollars"
"""Total that the local platform adds where it knows what a variant's GPUs cost."""
Price = Callable[[Variant], float | None]
"""Dollars an hour for a variant; None where nobody knows. Given by the shell, which has the catalogue of GPUs."""
NOT_CARRIED_OUT = {
    "shadow": "the local platform copies no requests; take shadow out",
    "budget": "the local platform counts no cost; take budget out",
}
"""Parts of a plan that this platform does not carry out, by their key in `spec`."""
IN_A_CLUSTER = {
    "inferenceService",
    "runtime",
    "image",
    "resources",
    "nodeSelector",
    "tolerations",
    "lora",
    "serviceAccount",
}
"""Fields of a variant that only a cluster carries out."""
MOST_REPLICAS = 64
"""Processes of one variant that one machine runs: four times its GPUs, and far below its ports and its processes."""
PROMPT = "{systemPrompt}"
"""What stands for the prompt's text (or its file's path) in a command or in `env`."""


def stated_price(variant: Variant) -> float | None:
    """The price that the plan itself states, times its GPUs."""
    profile = variant.profile
    return None if profile is None or profile.price is None else profile.price * profile.count


def local_faults(document: Document, price: Price = stated_price) -> tuple[Fault, ...]:
    """Everything that keeps this plan from running on this machine, in the order of the file; empty where it can."""
    plan = draft(document.root)
    gates = _gates(plan, price)
    return in_order([*_platform(plan), *_commands(plan, document.form), *_variants(plan), *_parts(plan), *gates])


def _platform(plan: Draft) -> Iterator[Fault]:
    if plan.platform is not None and plan.platform.kserve is not None:
        message = "runs in a cluster; to run this plan here, write platform: {local: {}}"
        yield plan.place(("spec", "platform", "kserve"), key=True).fault("spec.platform.kserve", message)


def _commands(plan: Draft, form: Form) -> Iterator[Fault]:
    """Each variant says how its server is started."""
    where = "" if form == "full" else " (in serinus.yml beside this file)"
    for role, variant in (("stable", plan.stable), ("canary", plan.canary)):
        if variant is not None and not variant.command:
            example = '[python, server.py, --port, "{port}"]'
            message = f"is missing; to run here, say how the server starts{where}, such as {example}"
            yield plan.place(("spec", role), key=True).fault(f"spec.{role}.command", message)


def _variants(plan: Draft) -> Iterator[Fault]:
    """Each variant is all in its command and its `env`; two equal commands would compare equal servers."""
    for role, variant in (("stable", plan.stable), ("canary", plan.canary)):
        for key in IN_A_CLUSTER if variant is not None else ():
            if plan.root.get("spec", role, key) is not None:
                message = "counts only in a cluster; take it out to run here"
                yield plan.place(("spec", role, key), key=True).fault(f"spec.{role}.{key}", message)
        if variant is not None and variant.replicas > MOST_REPLICAS:
            message = f"is {variant.replicas}; one machine runs at most {MOST_REPLICAS} processes of a variant"
            yield plan.place(("spec", role, "replicas")).fault(f"spec.{role}.replicas", message)
        if variant is None or not variant.command:
            continue
        if variant.engine:
            message = "is not handed to the server here; write the flags into the command"
            yield plan.place(("spec", role, "engine"), key=True).fault(f"spec.{role}.engine", message)
        if variant.system_prompt and not any(PROMPT in word for word in (*variant.command, *variant.env.values())):
            message = f"reaches no server here; write {PROMPT} into the command or env, where its text is to stand"
            yield plan.place(("spec", role, "systemPrompt"), key=True).fault(f"spec.{role}.systemPrompt", message)


def _parts(plan: Draft) -> Iterator[Fault]:
    from canary.evaluation.plan import faults_of  # it is made of the spec's own values

    local = plan.platform.local if plan.platform is not None else None
    if local is not None and local.pages and local.metrics == "scrape":
        message = "are read by Prometheus alone, but metrics is scrape; write metrics: prometheus"
        yield plan.place(("spec", "platform", "local", "pages"), key=True).fault("spec.platform.local.pages", message)
    for path, message in faults_of(plan.evaluation) if plan.evaluation is not None else ():
        below = ("spec", "evaluation", *path)
        yield plan.place(below).fault(dotted(below), message)
    for key, message in NOT_CARRIED_OUT.items():
        if plan.root.get("spec", key) is not None:
            yield plan.place(("spec", key), key=True).fault(f"spec.{key}", message)


def _gates(plan: Draft, price: Price) -> Iterator[Fault]:
    """Gates that ask for what the numbers of this machine do not say."""
    scraped = plan.platform is not None and plan.platform.local is not None and plan.platform.local.metrics == "scrape"
    for each in (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates)):
        path = dotted(each.path)
        if each.gate.by and (reason := never_by_label(each.gate)):
            message = f"values of {each.gate.by} cannot be told apart: {reason}; or leave {each.gate.by} out"
            yield plan.place(each.path).fault(path, message)
        if each.gate.asks and scraped:
            message = "PromQL needs Prometheus, but platform.local.metrics is scrape; write metrics: prometheus"
            key = "query" if each.gate.query is not None else "events"
            yield plan.place((*each.path, key)).fault(f"{path}.{key}", message)
        if not each.gate.asks and (reason := _unfed(metrics.find(each.gate.metric), plan, price)):
            message = f"{reason}; give the gate a query, or take it out"
            yield plan.place(each.path).fault(path, message)


def _unfed(metric: metrics.Metric, plan: Draft, price: Price) -> str:
    """Why the local platform cannot feed this metric; empty where it can."""
    if metric.is_kpi:
        made_of: tuple[str, ...] = ("kpi_events",)
    elif metric.kind == "rate":
        made_of = ("requests",)
    else:
        made_of = metric.counts or (metric.name,)
    if any(name.partition("/")[0] not in {*COUNTED, MONEY} for name in made_of):
        return f"nothing on this machine counts {metric.name}"
    return unpriced(plan, price) if MONEY in made_of else ""


def unpriced(plan: Draft, price: Price) -> str:
    """The first variant whose GPUs have no price, and why; empty where both have one.

    Both need one: the judge holds them against each other.
    """
    for role, variant in (("stable", plan.stable), ("canary", plan.canary)):
        if variant is None or price(variant) is not None:
            continue
        if variant.profile is None:
            return f"{role} has no profile, which says what its GPUs cost, such as profile: {{gpu: L40S}}"
        gpu = variant.profile.gpu
        return f"nobody knows the price of {gpu}; write it as profile: {{gpu: {gpu}, price: $1.20}} (an hour, each)"
    return ""
