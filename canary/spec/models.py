"""What the user wrote, as frozen values: the full form of canary.yml (`ModelCanary`, `serinus.dev/v1alpha1`).

Made by `canary.spec.parse` from text, and by the operator from a resource; read by the machine, the judge and every
platform. Names in files are camelCase, here snake_case. Units are already base units: shares are fractions (0.05 is
5 %), times are seconds, money is dollars. Checks within one field stand here, checks between fields in `checks.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from canary.spec.alerts import Alert, SecretRef, Slack
from canary.spec.base import Model, length
from canary.spec.criterion import Criterion
from canary.spec.evaluation import Evaluation, EvaluationRequest, Scorer
from canary.spec.fingerprint import FingerprintSettings
from canary.spec.gates import Comparison, Gate, GateField, OnNoData
from canary.spec.names import (
    LONGEST_GATEWAY,
    Header,
    Hostname,
    HttpPath,
    Listen,
    Location,
    Name,
    ObjectName,
    Prometheus,
    RelativePath,
    WebAddress,
)
from canary.spec.pods import Toleration, few, node_labels, resource_amounts
from canary.spec.probe import ReadinessProbe, Ready
from canary.spec.source import quoted
from canary.spec.units import Chance, Dollars, Positive, Seconds, Share, Switch, Text, UnreadableNumber, native
from canary.verdict import OnBreach

__all__ = [
    "Alert",
    "Budget",
    "CanarySpec",
    "Cohort",
    "Comparison",
    "Criterion",
    "Evaluation",
    "EvaluationRequest",
    "FingerprintSettings",
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
    "ReadinessProbe",
    "Scorer",
    "SecretRef",
    "Shadow",
    "ShadowJudge",
    "ShadowPromote",
    "Slack",
    "Stage",
    "Sticky",
    "SystemPrompt",
    "Toleration",
    "Variant",
]


def _exactly_one(model: Model, *names: str) -> None:
    """Refuse a mapping that says none of these, or two of them."""
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise UnreadableNumber(f"expected exactly one of {' and '.join(names)}, found {' and '.join(given) or 'none'}")


def _environment(value: Mapping[str, str]) -> Mapping[str, str]:
    """Names that every shell and system accepts."""
    for name in value:
        if not name.replace("_", "a").isalnum() or name[:1].isdigit() or not name.isascii():
            raise UnreadableNumber(f"expected a variable name of letters, digits and _, got {quoted(name)}", key=name)
    return value


def _variables(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of variables, as those of `env`."""
    _environment(dict.fromkeys(names, ""))
    return names


class HardStop(Model):
    """Plain outage: this share of at least so many canary requests fails over so many scrapes running."""

    enabled: Switch = True
    """Whether a plain outage ends the rollout without waiting for the tests."""
    failures: Annotated[Share, Field(gt=0)] = 0.5
    """Share of the canary's requests that fail."""
    min_requests: Positive = 20
    """Canary requests that there must be."""
    client_errors: Switch = True
    """Whether answers of 400 to 499 are failures here, unless stable gives as many."""
    unfinished: Switch = True
    """Whether requests that the canary begins and does not finish, while stable finishes its own, end the rollout."""
    scrapes: Positive = 2
    """Scrapes running over which it must be so. Each counts from half of the share on: few outages begin with one."""


class JudgeSettings(Model):
    """How sure the judge has to be, and of what."""

    false_rollback: Chance = 0.01
    """Chance that a healthy rollout is ever rolled back, however long and however often it looks."""
    confidence: Chance = 0.95
    """How sure a pass has to be; the rest is the chance to pass a canary that is exactly at its limit."""
    hard_stop: HardStop = HardStop.model_construct()
    """When an outage is so plain that nothing needs to be tested."""
    refusals: Switch = True
    """Whether a canary is rolled back that refuses, or whose clients cancel, clearly more requests than stable's."""
    warmup: Seconds = 0.0
    """A new replica's first seconds are left out, for both arms; counted from its first request."""


class Profile(Model):
    """Which GPUs a variant wants."""

    gpu: Text
    """Name of the GPU, such as `L40S`."""
    count: Positive = 1
    """GPUs for each replica."""
    price: Dollars | None = None
    """Dollars an hour for one of them; the catalogue's when left out."""


class SystemPrompt(Model):
    """The prompt that is part of the variant: a file beside canary.yml, or the text itself."""

    file: RelativePath | None = None
    """Path of the file, from the folder of the canary.yml."""
    text: Text | None = None
    """The prompt itself."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, "file", "text")
        return self


class Variant(Model):
    """One thing that can serve."""

    name: Name
    """Name of the variant, in metrics and on the screen."""
    uri: Location | None = None
    """Where its weights are; `model.uri` when left out."""
    quantization: Text | None = None
    """How its weights are quantized, as the engine names it; `none` for not at all."""
    profile: Profile | None = None
    """The GPUs it wants."""
    system_prompt: SystemPrompt | None = None
    """The prompt that belongs to it."""
    engine: Annotated[Mapping[str, Any], BeforeValidator(native)] = {}
    """Engine flags, as the engine names them (`maxNumSeqs: 64`)."""
    command: Annotated[tuple[Text, ...], *length(most=300)] = ()
    """Local platform: the server's command line; `{port}`, `{name}`, `{address}`, `{systemPrompt}` are filled in."""
    env: Annotated[Mapping[str, Text], AfterValidator(_environment)] = {}
    """Environment variables of the server."""
    pass_env: Annotated[tuple[Text, ...], *length(), AfterValidator(_variables)] = ()
    """Local platform: variables of Serinus' own environment that the server gets as well, by name: `[HF_TOKEN]`."""
    replicas: Positive = 1
    """How many of it run."""
    ready: Ready = ReadinessProbe.model_construct()
    """When it can serve: a path that answers 200, or a mapping of path, timeout, period and failures."""
    metrics: HttpPath = "/metrics"
    """Path of its Prometheus page; read when it is there."""
    labels: Mapping[str, Text] = {}
    """Labels for what is created for it."""
    inference_service: ObjectName | None = None
    """Cluster: an InferenceService that runs it already, served as it is and never changed; made when left out."""
    runtime: ObjectName | None = None
    """Cluster: the ServingRuntime that runs it; one is made for it when left out."""
    image: Text | None = None
    """Cluster: the container image of its server; the runtime's when left out."""
    resources: Annotated[Mapping[str, Text], AfterValidator(resource_amounts)] = {}
    """Cluster: what each replica asks for and may use at most, beside its GPUs: `{cpu: 4, memory: 32Gi}`."""
    node_selector: Annotated[Mapping[str, Text], AfterValidator(node_labels)] = {}
    """Cluster: labels of the nodes that it may run on."""
    tolerations: Annotated[tuple[Toleration, ...], *length()] = ()
    """Cluster: taints of nodes that do not keep it away."""
    lora: Annotated[Mapping[Name, Location], AfterValidator(few)] = {}
    """Cluster: LoRA adapters that it serves, by the name that clients ask for."""
    service_account: ObjectName | None = None
    """Cluster: the ServiceAccount that its pods run as, such as one that may read the weights."""


class ModelRef(Model):
    """The served model: one name for both variants."""

    name: Text
    """The name that clients ask for."""
    uri: Location | None = None
    """Where the weights are, such as `hf://meta-llama/Llama-3.1-8B-Instruct`; a variant may have its own."""


MOST_PAGES = 16


class LocalPlatform(Model):
    """Processes on this machine behind a real Envoy."""

    listen: Listen = "127.0.0.1:8080"
    """Where clients connect; port 0 picks a free one and says which."""
    listeners: Literal["own", "user"] = "own"
    """Who may listen on a server's port: `own`: processes that its command started; `user`: any of yours or of root's,
    for servers in containers and under daemons. Never another user's."""
    metrics: Literal["auto", "prometheus", "scrape"] = "auto"
    """Who reads the numbers: `auto` takes Prometheus where it is installed and reads the pages itself otherwise."""
    scrape_interval: Annotated[Seconds, Field(ge=0.1, le=300)] = 1.0
    """How often the numbers are read."""
    pages: Annotated[tuple[WebAddress, ...], *length(most=MOST_PAGES)] = ()
    """Metrics pages of other programs, for the PromQL of gates: `http://127.0.0.1:9100/metrics`."""


class KServePlatform(Model):
    """KServe on Kubernetes."""

    mode: Literal["standard", "knative", "native", "llm"] = "standard"
    """Which of KServe's ways of serving; it decides how traffic is moved."""
    gateway: Annotated[Text, Field(max_length=LONGEST_GATEWAY)] | None = None
    """Gateway that the route hangs on, as namespace/name."""
    hostname: Hostname | None = None
    """Host name that clients use."""
    prometheus: Prometheus | None = None
    """Which Prometheus, by its name in the operator's registry, or where one answers if the operator allows it."""
    metrics_profile: Text | None = None
    """Which names the metrics have (`vllm`, `kserve`, `envoy-gateway`, …); found out when left out."""
    on_drift: Literal["repair", "pause"] = "repair"
    """What happens when somebody else changes the route or a variant that Serinus made."""


class Platform(Model):
    """Where it runs: exactly one of these."""

    local: LocalPlatform | None = None
    """This machine: processes behind an Envoy."""
    kserve: KServePlatform | None = None
    """A cluster with KServe."""

    @model_validator(mode="before")
    @classmethod
    def _all_defaults(cls, value: Any) -> Any:
        """`local:` with nothing after it means all of its defaults."""
        if isinstance(value, Mapping):
            return {key: {} if key in cls.model_fields and child is None else child for key, child in value.items()}
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, "local", "kserve")
        return self


class Stage(Model):
    """A share of traffic, for at least so long, under these gates."""

    traffic: Share
    """The canary's share of requests: `5%`."""
    hold: Seconds = 0.0
    """How long the stage lasts at least: `7d`."""
    gates: Annotated[tuple[GateField, ...], *length()] = ()
    """What the canary has to meet; all of them must pass before the next stage."""
    approve: Text | None = None
    """Group whose word is needed before the next stage."""


class ShadowJudge(Model):
    """Who compares the pairs."""

    kind: Literal["llm", "exact"] = "llm"
    """A model that says which answer is better, or exact equality."""
    model: Text | None = None
    """The judging model, for `llm`."""
    endpoint: WebAddress | None = None
    """Its OpenAI-compatible address, for `llm`."""
    criteria: Text | None = None
    """The question that it is asked about each pair, for `llm`."""


class ShadowPromote(Model):
    """Net win rate that so many days running must reach."""

    win_rate: Share = 0.0
    """Wins less losses, as a share of all pairs."""
    days: Positive = 1
    """Days running on which it must be reached."""


class Shadow(Model):
    """The canary answers copies; users see the stable answer."""

    traffic: Share = 1.0
    """Share of requests that is copied."""
    for_: Annotated[Seconds, Field(alias="for")] = 0.0
    """How long at most."""
    judge: ShadowJudge = ShadowJudge.model_construct()
    """Who compares."""
    promote: ShadowPromote = ShadowPromote.model_construct()
    """What sends the canary on to real traffic."""


class Cohort(Model):
    """Only requests whose header has one of these values take part; all others are served by stable."""

    header: Header
    """Header that says who asks."""
    values: Annotated[tuple[Text, ...], *length(1, most=300), Field(alias="in")]
    """Values that take part."""


class Sticky(Model):
    """Requests with the same value of this header stay on the same variant."""

    header: Header
    """Header that says which requests belong together."""


class Budget(Model):
    """What the canary may cost a day."""

    per_day: Dollars
    """Dollars a day."""
    on_exceed: Literal["throttle", "pause", "rollback"] = "pause"
    """What happens when it is spent."""
    to: Share | None = None
    """For `throttle`: the share of traffic that is left to it."""


class CanarySpec(Model):
    """The whole plan."""

    model: ModelRef
    """The served model."""
    platform: Platform = Platform.model_construct(local=LocalPlatform.model_construct())
    """Where it runs."""
    stable: Variant
    """The variant in service."""
    canary: Variant
    """The variant that is tried."""
    evaluation: Evaluation | None = None
    """What must pass before any traffic."""
    shadow: Shadow | None = None
    """Copies of requests before any real ones."""
    stages: Annotated[tuple[Stage, ...], *length(1)]
    """Rising shares; the last is 100 %."""
    gates: Annotated[tuple[GateField, ...], *length()] = ()
    """Gates of every stage in which they can be decided."""
    on_breach: OnBreach = "rollback"
    """What a failed gate does that does not say so itself."""
    on_no_data: OnNoData = "hold"
    """What the end of a hold means when a gate has too little evidence."""
    judge: JudgeSettings = JudgeSettings.model_construct()
    """How sure the judge has to be."""
    max_blind: Seconds = 300.0
    """How long the metric source may be silent before `onBlind`."""
    on_blind: Literal["hold", "pause", "rollback"] = "hold"
    """What happens when it was silent for that long."""
    progress_deadline: Seconds = 600.0
    """How long a variant, and the route, may take to become ready."""
    drain: Seconds | None = None
    """How long the arm that gets no more traffic may go on answering before it is stopped: 5m (30s uncounted)."""
    cohort: Cohort | None = None
    """Whose requests take part; everybody's when left out."""
    sticky: Sticky | None = None
    """Which requests stay together; none when left out."""
    budget: Budget | None = None
    """What the canary may cost."""
    fingerprint: FingerprintSettings = FingerprintSettings.model_construct()
    """Whether the canary has to be the model that was meant before it is asked anything."""
    alerts: Annotated[tuple[Alert, ...], *length()] = ()
    """Who is told."""


class Metadata(Model):
    """Name and labels."""

    name: Name
    """Name of the rollout."""
    namespace: Name | None = None
    """Namespace in the cluster."""
    labels: Mapping[str, Text] = {}
    """Labels, as on any resource."""
    annotations: Mapping[str, Text] = {}
    """Annotations, as on any resource."""


class ModelCanary(Model):
    """The resource: the same text in git, in the cluster and on a laptop."""

    api_version: Literal["serinus.dev/v1alpha1"] = "serinus.dev/v1alpha1"
    """Version of this form."""
    kind: Literal["ModelCanary"] = "ModelCanary"
    """What this is."""
    metadata: Metadata
    """Name and labels."""
    spec: CanarySpec
    """The plan."""
