"""Whether a plan can be carried out in a cluster: what the operator would leave undone is a fault.

Called by the operator for every ModelCanary, and by `serinus validate --for cluster`. Nothing that a plan asks for is
ever left out in silence. What only the cluster itself knows (whether a Gateway is there, which metrics there are) is
found out by the operator, and stands in the conditions of the resource.
"""

import re
from collections.abc import Iterator

from canary.dns import is_label
from canary.errors import Fault
from canary.spec import metrics
from canary.spec.crd_reading import read_otherwise
from canary.spec.decidable import never_by_label
from canary.spec.draft import Draft, draft
from canary.spec.faults import dotted
from canary.spec.flags import unfit
from canary.spec.local import MONEY, Price, stated_price, unpriced
from canary.spec.metrics import did_you_mean
from canary.spec.models import KServePlatform, Variant
from canary.spec.names import GATEWAY
from canary.spec.parse import Document, in_order
from canary.spec.pods import LABEL_VALUE
from canary.spec.source import quoted
from canary.spec.sources import PROFILES, told_by

SERVICE = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A variant's name becomes part of the name of a Service, which has no dots."""
ROLLOUT = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""A rollout's name is the beginning of it, which KServe wants to be a letter."""
LONGEST_LABEL = 63
"""Characters of one part of a host name. KServe makes one of each InferenceService: `NAME-predictor-NAMESPACE`."""
LONGEST_SERVICE = LONGEST_LABEL - len("-predictor")
"""Longer names are cut to this, with a digest."""
MOST_COHORT_VALUES = 64
"""Matches that one rule of an HTTPRoute can hold."""
TELLING_APART = {
    "standard": ("envoy-gateway", "istio", "vllm", "kserve"),
    "knative": ("knative", "knative-old", "istio", "vllm", "kserve"),
    "native": ("istio", "vllm", "kserve"),
    "llm": ("istio", "vllm"),
}
"""Metrics profiles by the mode of KServe in which they tell the variants apart, the best witness first.

A gateway counts the rules of KServe's own routes, with both variants behind one of them.
"""
NOT_CARRIED_OUT = {
    "shadow": "no requests are copied in a cluster yet; take shadow out",
    "evaluation": "no evaluation is run in a cluster yet; take evaluation out, and apply after `serinus eval run`",
    "budget": "no cost is counted in a cluster yet; take budget out",
    "sticky": "requests are not kept together in a cluster yet; take sticky out, or write a cohort",
}
"""Parts of a plan that the operator does not carry out, by their key in `spec`."""
VARIABLES = "names variables of one machine; in a cluster write env"
RENDERED = (
    "engine",
    "env",
    "image",
    "labels",
    "lora",
    "nodeSelector",
    "resources",
    "runtime",
    "serviceAccount",
    "systemPrompt",
    "tolerations",
)
"""Fields of a variant that only count for an InferenceService that Serinus makes."""


def cluster_faults(document: Document, price: Price = stated_price) -> tuple[Fault, ...]:
    """Everything that keeps this plan from running in a cluster, in the order of the file; empty where it can."""
    plan = draft(document.root)
    found = [
        *_names(plan),
        *_hosts(plan),
        *_platform(plan),
        *_variants(plan),
        *_parts(plan),
        *_gates(plan, price),
        *_secrets(plan),
    ]
    return in_order([*found, *read_otherwise(document.root)])


def cluster_notes(document: Document) -> tuple[Fault, ...]:
    """What is no fault, but good to know before it is applied."""
    plan = draft(document.root)
    kserve = _kserve(plan)
    if kserve is None or kserve.mode != "native":
        return ()
    message = "KServe 0.20 takes the share and moves nothing; the rollout is refused unless the HTTPRoute follows"
    path = ("spec", "platform", "kserve", "mode")
    return (plan.place(path).fault(dotted(path), message),)


def operator_notes(document: Document) -> tuple[Fault, ...]:
    """What depends on how the operator was started, which nobody knows where a plan is written."""
    plan = draft(document.root)
    kserve = _kserve(plan)
    if kserve is None or "://" not in (kserve.prometheus or ""):
        return ()
    message = (
        "is an address, which an operator refuses unless its own Prometheus or one of its registry is there, or it was "
        "started with --prometheus-addresses; leave it out, or write a name of its registry"
    )
    path = ("spec", "platform", "kserve", "prometheus")
    return (plan.place(path).fault(dotted(path), message),)


def _kserve(plan: Draft) -> KServePlatform | None:
    return plan.platform.kserve if plan.platform is not None else None


def _names(plan: Draft) -> Iterator[Fault]:
    """Names that objects in the cluster are made of."""
    for path, pattern, expected in (
        (("metadata", "name"), ROLLOUT, "a letter, then letters, digits and -"),
        (("spec", "stable", "name"), SERVICE, "letters, digits and -"),
        (("spec", "canary", "name"), SERVICE, "letters, digits and -"),
    ):
        node = plan.root.get(*path)
        if node is not None and isinstance(node.value, str) and not _fits(pattern, node.value):
            message = f"a cluster makes names of Services of it: expected {expected}, got {quoted(node.value)}"
            yield node.place.fault(dotted(path), message)
    namespace = plan.root.get("metadata", "namespace")
    if namespace is not None and isinstance(namespace.value, str) and not is_label(namespace.value):
        message = f"a namespace has no dots: expected letters, digits and -, got {quoted(namespace.value)}"
        yield namespace.place.fault("metadata.namespace", message)


def _hosts(plan: Draft) -> Iterator[Fault]:
    """KServe makes a host name of variant and namespace; an InferenceService whose host is too long never serves."""
    rollout, namespace = plan.root.get("metadata", "name"), plan.root.get("metadata", "namespace")
    kserve = _kserve(plan)
    if rollout is None or namespace is None or kserve is None or kserve.mode != "standard":
        return
    for role, variant in (("stable", plan.stable), ("canary", plan.canary)):
        if variant is None or variant.inference_service is not None:
            continue
        service = min(len(f"{rollout.value}-{variant.name}"), LONGEST_SERVICE)
        long = len(f"-predictor-{namespace.value}") + service
        if long > LONGEST_LABEL:
            message = (
                f"KServe makes a host name of it, {rollout.value}-{variant.name}-predictor-{namespace.value}, whose "
                f"longest part may have {LONGEST_LABEL} characters and would have {long}; "
                f"shorten it, metadata.name or the namespace by {long - LONGEST_LABEL}"
            )
            yield plan.place(("spec", role, "name")).fault(f"spec.{role}.name", message)


def _platform(plan: Draft) -> Iterator[Fault]:
    path = ("spec", "platform", "kserve")
    if plan.platform is None:
        return
    kserve = plan.platform.kserve
    if kserve is None:
        message = (
            "runs on one machine; for a cluster write kserve: {gateway: kserve/kserve-ingress-gateway, hostname: …}"
        )
        yield plan.place(("spec", "platform"), key=True).fault("spec.platform", message)
        return
    place = plan.place(path, key=True)
    if kserve.mode == "standard":
        if kserve.gateway is None:
            yield place.fault(
                f"{dotted(path)}.gateway", "is missing; say which Gateway the route hangs on, as namespace/name"
            )
        elif not _fits(GATEWAY, kserve.gateway):
            message = f"expected a Gateway as namespace/name, got {quoted(kserve.gateway)}"
            yield plan.place((*path, "gateway")).fault(f"{dotted(path)}.gateway", message)
        if kserve.hostname is None:
            message = "is missing; say which host name clients use, or the route takes all that the Gateway gets"
            yield place.fault(f"{dotted(path)}.hostname", message)
    else:
        for key in ("gateway", "hostname"):
            if getattr(kserve, key) is not None:
                message = f"only counts with mode: standard; in mode {kserve.mode} KServe makes the route"
                yield plan.place((*path, key), key=True).fault(f"{dotted(path)}.{key}", message)
    if kserve.metrics_profile is not None and kserve.metrics_profile not in PROFILES:
        hint = did_you_mean(kserve.metrics_profile, PROFILES) or f"; known are {', '.join(PROFILES)}"
        message = f"unknown metrics profile {quoted(kserve.metrics_profile)}{hint}"
        yield plan.place((*path, "metricsProfile")).fault(f"{dotted(path)}.metricsProfile", message)
    elif kserve.metrics_profile is not None and kserve.metrics_profile not in TELLING_APART[kserve.mode]:
        others = " or ".join(TELLING_APART[kserve.mode])
        message = (
            f"{kserve.metrics_profile} cannot tell the variants apart in mode {kserve.mode}; take {others}, or "
            "leave it out"
        )
        yield plan.place((*path, "metricsProfile")).fault(f"{dotted(path)}.metricsProfile", message)


def _variants(plan: Draft) -> Iterator[Fault]:
    for role, variant in (("stable", plan.stable), ("canary", plan.canary)):
        if variant is not None:
            yield from _variant(plan, role, variant)
    names = [variant.inference_service for variant in (plan.stable, plan.canary) if variant is not None]
    if len(names) == 2 and names[0] is not None and names[0] == names[1]:
        message = f"is stable's as well: {names[0]} cannot be compared with itself"
        yield plan.place(("spec", "canary", "inferenceService")).fault("spec.canary.inferenceService", message)


def _variant(plan: Draft, role: str, variant: Variant) -> Iterator[Fault]:
    """A variant is a running InferenceService, or all that is needed to make one."""
    at = f"spec.{role}"
    if variant.command:
        message = "starts a server on one machine; in a cluster image, runtime and engine say what runs"
        yield plan.place(("spec", role, "command"), key=True).fault(f"{at}.command", message)
    if variant.pass_env:
        yield plan.place(("spec", role, "passEnv"), key=True).fault(f"{at}.passEnv", VARIABLES)
    if variant.metrics != "/metrics":
        message = "is where a scrape configuration says; a cluster's is not made of the plan, so take it out"
        yield plan.place(("spec", role, "metrics"), key=True).fault(f"{at}.metrics", message)
    if variant.system_prompt is not None and variant.system_prompt.file is not None:
        message = "a cluster has no file beside the plan; write the prompt as text"
        yield plan.place(("spec", role, "systemPrompt", "file")).fault(f"{at}.systemPrompt.file", message)
    for name, message in unfit(variant.engine):
        path = ("spec", role, "engine", *([name] if name else ()))
        yield plan.place(path).fault(dotted(path), message)
    for key, value in variant.labels.items():
        if not re.fullmatch(LABEL_VALUE, value):
            message = f"expected the value of a label: at most 63 letters, digits, -, _ and ., got {quoted(value)}"
            yield plan.place(("spec", role, "labels", key)).fault(f"{at}.labels.{key}", message)
    yield from _probe(plan, role, variant)
    if variant.inference_service is not None:
        for key in RENDERED:
            if _is_said(plan, "spec", role, key):
                message = f"would change nothing: {variant.inference_service} is served as it is; take one of them out"
                yield plan.place(("spec", role, key), key=True).fault(f"{at}.{key}", message)
    elif variant.uri is None and plan.model_uri is None and (variant.runtime is None or variant.lora):
        message = "is missing, and so is model.uri: there are no weights to serve"
        yield plan.place(("spec", role), key=True).fault(f"{at}.uri", message)


def _probe(plan: Draft, role: str, variant: Variant) -> Iterator[Fault]:
    """How patient the pods' probe is can be said only of a runtime that Serinus makes."""
    kserve = _kserve(plan)
    if variant.inference_service is not None or variant.runtime is not None:
        whose = f"{variant.inference_service or variant.runtime} has a readinessProbe of its own; change it there"
    elif kserve is not None and kserve.mode == "llm":
        whose = "in mode llm the readinessProbe stands in KServe's template; change it there"
    else:
        return
    for key in ("timeout", "period", "failures"):
        if _is_said(plan, "spec", role, "ready", key):
            message = f"would change nothing: {whose}, and take {key} out"
            yield plan.place(("spec", role, "ready", key), key=True).fault(f"spec.{role}.ready.{key}", message)


def _parts(plan: Draft) -> Iterator[Fault]:
    for key, message in NOT_CARRIED_OUT.items():
        if _is_said(plan, "spec", key):
            yield plan.place(("spec", key), key=True).fault(f"spec.{key}", message)
    kserve, values = _kserve(plan), plan.root.get("spec", "cohort", "in")
    if not _is_said(plan, "spec", "cohort"):
        return
    if kserve is not None and kserve.mode != "standard":
        message = "needs platform.kserve.mode: standard; KServe's own ways of moving traffic know no cohorts"
        yield plan.place(("spec", "cohort"), key=True).fault("spec.cohort", message)
    if values is not None and isinstance(values.value, tuple) and len(values.value) > MOST_COHORT_VALUES:
        message = f"a route holds at most {MOST_COHORT_VALUES} values, found {len(values.value)}"
        yield values.place.fault("spec.cohort.in", message)


def _gates(plan: Draft, price: Price) -> Iterator[Fault]:
    """Gates that ask for what no numbers of a cluster say."""
    kserve = _kserve(plan)
    profile = kserve.metrics_profile if kserve is not None else None
    for each in (*plan.gates, *(gate for stage in plan.stages for gate in stage.gates)):
        path = dotted(each.path)
        if each.gate.by and (reason := never_by_label(each.gate)):
            message = f"values of {each.gate.by} cannot be told apart: {reason}; or leave {each.gate.by} out"
            yield plan.place(each.path).fault(path, message)
        if not each.gate.asks and (reason := _unfed(metrics.find(each.gate.metric), profile, plan, price)):
            yield plan.place(each.path).fault(path, f"{reason}; give the gate a query, or take it out")


def _unfed(metric: metrics.Metric, profile: str | None, plan: Draft, price: Price) -> str:
    """Why no metrics profile (or not the one that is named) feeds the metric; empty where one does.

    Money is counted by the operator itself, from the time that pods are up, where both variants' price is known.
    """
    if metric.is_kpi:
        made_of: tuple[str, ...] = ("kpi_events", "kpi_of")
    elif metric.kind == "rate":
        made_of = ("requests",)
    else:
        made_of = metric.counts or (metric.name,)
    if MONEY in made_of and (reason := unpriced(plan, price)):
        return reason
    needed = {name.partition("/")[0] for name in made_of} - {MONEY}
    named = PROFILES.get(profile or "")
    for rows in PROFILES.values() if named is None else [named]:
        if needed <= told_by(rows):
            return ""
    return f"nothing in a cluster counts {metric.name}" if named is None else f"{profile} does not count {metric.name}"


def _secrets(plan: Draft) -> Iterator[Fault]:
    """The operator's own variables and files are no place for the secrets of those who write plans."""
    listed = plan.root.get("spec", "alerts")
    for index, alert in enumerate(listed.value if listed is not None and isinstance(listed.value, tuple) else ()):
        for channel, node in alert.value.items() if isinstance(alert.value, dict) else ():
            for key in node.value if isinstance(node.value, dict) else ():
                for where in ("env", "file") if key.endswith("From") else ():
                    path = ("spec", "alerts", index, channel, key, where)
                    if _is_said(plan, *path):
                        message = "is a place on one machine; in a cluster write {secret: NAME, key: KEY}"
                        yield plan.place(path, key=True).fault(dotted(path), message)


def _is_said(plan: Draft, *path: str | int) -> bool:
    """Whether something stands there; a null is nothing."""
    node = plan.root.get(*path)
    return node is not None and node.value is not None


def _fits(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern.strip("^$"), value) is not None
