"""What the user wrote, as frozen values: the full form of canary.yml (`ModelCanary`, `serinus.dev/v1alpha1`).

Made by `canary.spec.parse` from text, and by the operator from a resource; read by the machine, the judge and every
platform. Names in files are camelCase, here snake_case. Units are already base units: shares are fractions (0.05 is
5 %), times are seconds, money is dollars. Checks within one field stand here, checks between fields in `checks.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from canary.spec.base import Model
from canary.spec.gates import Comparison, Criterion, CriterionField, Gate, GateField, OnNoData
from canary.spec.units import Chance, Dollars, Positive, Seconds, Share, Switch, Text, native
from canary.verdict import OnBreach

__all__ = [
    "Alert",
    "Budget",
    "CanarySpec",
    "Cohort",
    "Comparison",
    "Criterion",
    "Evaluation",
    "Gate",
    "HardStop",
    "JudgeSettings",
    "KServePlatform",
    "LocalPlatform",
    "Metadata",
    "Model",
    "ModelCanary",
    "ModelRef",
    "Name",
    "OnBreach",
    "OnNoData",
    "Platform",
    "Profile",
    "SecretRef",
    "Shadow",
    "ShadowJudge",
    "ShadowPromote",
    "Slack",
    "Stage",
    "Sticky",
    "SystemPrompt",
    "Variant",
]

Name = Annotated[Text, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""What Kubernetes accepts as a name, since that is where most of them end up."""


class HardStop(Model):
    """Plain outage: this share of at least so many canary requests fails in so many scrapes running."""

    enabled: Switch = True
    failures: Share = 0.5
    min_requests: Positive = 20
    scrapes: Positive = 2


class JudgeSettings(Model):
    """How sure the judge has to be, and of what."""

    false_rollback: Chance = 0.01
    """Chance that a healthy rollout is ever rolled back, however long and however often it looks."""
    confidence: Chance = 0.95
    """How sure a pass has to be; 1 - confidence is the chance to pass a canary that is exactly at its limit."""
    hard_stop: HardStop = HardStop()
    warmup: Seconds = 0.0
    """A new replica's first seconds are left out, for both arms."""


class Profile(Model):
    """Which GPUs a variant wants."""

    gpu: Text
    count: Positive = 1


class SystemPrompt(Model):
    """The prompt that is part of the variant: a file beside canary.yml, or the text itself."""

    file: Text | None = None
    text: Text | None = None


class Variant(Model):
    """One thing that can serve."""

    name: Name
    uri: Text | None = None
    """Where its weights are; None takes `model.uri`."""
    quantization: Text | None = None
    profile: Profile | None = None
    system_prompt: SystemPrompt | None = None
    engine: Annotated[Mapping[str, Any], BeforeValidator(native)] = {}
    """Engine flags, as the engine names them (`maxNumSeqs: 64`)."""
    command: tuple[Text, ...] = ()
    """Local platform: the server's command line; `{port}`, `{name}` and `{address}` are filled in."""
    env: Mapping[str, Text] = {}
    replicas: Positive = 1
    ready: Text = "/health"
    """Path that answers 200 when the server can serve."""
    metrics: Text = "/metrics"
    """Path of its Prometheus page; read when it is there."""
    labels: Mapping[str, Text] = {}


class ModelRef(Model):
    """The served model: one name for both variants."""

    name: Text
    uri: Text | None = None


class LocalPlatform(Model):
    """Processes on this machine behind a real Envoy."""

    listen: Text = "127.0.0.1:8080"
    """Where clients connect; port 0 picks a free one and says which."""
    metrics: Literal["auto", "prometheus", "scrape"] = "auto"
    scrape_interval: Seconds = 1.0


class KServePlatform(Model):
    """KServe on Kubernetes."""

    mode: Literal["standard", "knative", "native", "llm"] = "standard"
    gateway: Text | None = None
    hostname: Text | None = None
    prometheus: Text | None = None
    metrics_profile: Text | None = None


class Platform(Model):
    """Where it runs: exactly one of these."""

    local: LocalPlatform | None = None
    kserve: KServePlatform | None = None


class Stage(Model):
    """A share of traffic, for at least so long, under these gates."""

    traffic: Share
    hold: Seconds = 0.0
    gates: tuple[GateField, ...] = ()
    approve: Text | None = None
    """Group whose word is needed before the next stage."""


class Evaluation(Model):
    """The harness that must pass before any traffic."""

    dataset: Text
    metrics: tuple[CriterionField, ...] = Field(min_length=1)


class ShadowJudge(Model):
    """Who compares the pairs."""

    kind: Literal["llm", "exact"] = "llm"
    model: Text | None = None
    endpoint: Text | None = None
    criteria: Text | None = None


class ShadowPromote(Model):
    """Net win rate that so many days running must reach."""

    win_rate: Share = 0.0
    days: Positive = 1


class Shadow(Model):
    """The canary answers copies; users see the stable answer."""

    traffic: Share = 1.0
    for_: Annotated[Seconds, Field(alias="for")] = 0.0
    judge: ShadowJudge = ShadowJudge()
    promote: ShadowPromote = ShadowPromote()


class Cohort(Model):
    """Only requests whose header has one of these values take part; all others are served by stable."""

    header: Text
    values: Annotated[tuple[Text, ...], Field(alias="in", min_length=1)]


class Sticky(Model):
    """Requests with the same value of this header stay on the same variant."""

    header: Text


class Budget(Model):
    """What the canary may cost a day."""

    per_day: Dollars
    on_exceed: Literal["throttle", "pause", "rollback"] = "pause"
    to: Share | None = None


class SecretRef(Model):
    """A secret by reference; values never stand in canary.yml."""

    secret: Text
    key: Text


class Slack(Model):
    """A Slack channel."""

    channel: Text | None = None
    url_from: SecretRef


class Alert(Model):
    """One place to tell."""

    slack: Slack | None = None


class CanarySpec(Model):
    """The whole plan."""

    model: ModelRef
    platform: Platform = Platform(local=LocalPlatform())
    stable: Variant
    canary: Variant
    evaluation: Evaluation | None = None
    shadow: Shadow | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Rising shares; the last is 100 %."""
    gates: tuple[GateField, ...] = ()
    """Gates of every stage in which they can be decided."""
    on_breach: OnBreach = "rollback"
    on_no_data: OnNoData = "hold"
    judge: JudgeSettings = JudgeSettings()
    max_blind: Seconds = 300.0
    """How long the metric source may be silent before `on_blind`."""
    on_blind: Literal["hold", "pause", "rollback"] = "hold"
    progress_deadline: Seconds = 600.0
    """How long a variant may take to become ready."""
    cohort: Cohort | None = None
    sticky: Sticky | None = None
    budget: Budget | None = None
    alerts: tuple[Alert, ...] = ()


class Metadata(Model):
    """Name and labels."""

    name: Name
    namespace: Name | None = None
    labels: Mapping[str, Text] = {}
    annotations: Mapping[str, Text] = {}


class ModelCanary(Model):
    """The resource: the same text in git, in the cluster and on a laptop."""

    api_version: Literal["serinus.dev/v1alpha1"] = "serinus.dev/v1alpha1"
    kind: Literal["ModelCanary"] = "ModelCanary"
    metadata: Metadata
    spec: CanarySpec
