"""Rules between the fields of a resource, in CEL: what `checks.py`, the models and `cluster.py` refuse and CEL can see.

Used by `crd_schema.py`, by model or by field. Each has the sentence that the parser would say, as far as it goes. A
rule that an older API server does not know is dropped by it, so the operator checks everything again.
"""

from collections.abc import Mapping
from typing import Any

from canary.spec import alerts, flags, models, pods
from canary.spec.base import Model
from canary.spec.cluster import MOST_COHORT_VALUES, NOT_CARRIED_OUT, RENDERED, SERVICE, VARIABLES
from canary.spec.crd_types import Rule, is_share, literal, matching, percent, text
from canary.spec.names import GATEWAY, LONGEST_GATEWAY

Field = tuple[type[Model], str]


def _exactly_one(*keys: str) -> str:
    return f"[{', '.join(f'has(self.{key})' for key in keys)}].filter(given, given).size() == 1"


def _no_file(path: str) -> Rule:
    return Rule(
        f"!has(self.{path}) || !self.{path}.startsWith('file://')",
        "file:// is a place on one machine; a cluster needs another, such as hf:// or s3://",
        f".{path}",
    )


COMPARED = ("uri", "quantization", "runtime", "image", "inferenceService", "replicas")
"""Fields by which two variants of one name are told apart; CEL compares no whole objects."""


def _same(key: str) -> str:
    """CEL: both variants say the same of this, or nothing."""
    stable, canary = f"self.stable.{key}", f"self.canary.{key}"
    return f"has({stable}) == has({canary}) && (!has({stable}) || {stable} == {canary})"


_ALL_SHARES = f"self.all(stage, {is_share('stage.traffic')})"
_TRAFFIC = f"[self.map(stage, {percent('stage.traffic')})]"
"""In a list of its own, so that `all` gives it a name."""

RULES: Mapping[type[Model], tuple[Rule, ...]] = {
    models.CanarySpec: (
        Rule(
            # A plan at rest, as git has it after a promotion or a rollback, tries nothing and stays where it is.
            f"self.stable.name != self.canary.name || ({' && '.join(map(_same, COMPARED))})",
            "stable and canary have the same name and are not the same; each needs a name of its own",
            ".canary.name",
        ),
        Rule(
            "has(self.platform) && has(self.platform.kserve)",
            "a cluster runs plans for KServe; write platform: {kserve: {gateway: …, hostname: …}}",
        ),
        Rule(
            "!has(self.stable.inferenceService) || !has(self.canary.inferenceService)"
            " || self.stable.inferenceService != self.canary.inferenceService || self.stable.name == self.canary.name",
            "is stable's as well; an InferenceService cannot be compared with itself",
            ".canary.inferenceService",
        ),
        *(
            Rule(
                f"has(self.model.uri) || has(self.{role}.uri) || has(self.{role}.inferenceService)"
                f" || (has(self.{role}.runtime) && !has(self.{role}.lora))",
                "has no uri, and neither has the model: there are no weights to serve",
                f".{role}",
            )
            for role in ("stable", "canary")
        ),
        *(_no_file(f"{holder}.uri") for holder in ("model", "stable", "canary")),
        *(Rule(f"!has(self.{key})", message, f".{key}") for key, message in NOT_CARRIED_OUT.items()),
        Rule(
            "!has(self.cohort) || !has(self.platform) || !has(self.platform.kserve)"
            " || !has(self.platform.kserve.mode) || self.platform.kserve.mode == 'standard'",
            "needs platform.kserve.mode: standard; KServe's own ways of moving traffic know no cohorts",
            ".cohort",
        ),
    ),
    models.Platform: (Rule(_exactly_one("local", "kserve"), "expected exactly one of local and kserve"),),
    models.KServePlatform: (
        Rule(
            "(has(self.mode) && self.mode != 'standard') || has(self.gateway)",
            "is missing; say which Gateway the route hangs on, as namespace/name",
            ".gateway",
        ),
        Rule(
            "(has(self.mode) && self.mode != 'standard') || has(self.hostname)",
            "is missing; say which host name clients use, or the route takes everything that the Gateway gets",
            ".hostname",
        ),
        *(
            Rule(
                f"!has(self.{key}) || !has(self.mode) || self.mode == 'standard'",
                "only counts with mode: standard; in all others KServe makes the route",
                f".{key}",
            )
            for key in ("gateway", "hostname")
        ),
    ),
    models.SystemPrompt: (
        Rule(_exactly_one("file", "text"), "expected exactly one of file and text"),
        Rule("!has(self.file)", "a cluster has no file beside the plan; write the prompt as text", ".file"),
    ),
    models.Variant: (
        Rule(
            "!has(self.command) || self.command.size() == 0",
            "starts a server on one machine; in a cluster image, runtime and engine say what runs",
            ".command",
        ),
        Rule("!has(self.passEnv) || self.passEnv.size() == 0", VARIABLES, ".passEnv"),
        *(
            Rule(
                f"!has(self.inferenceService) || !has(self.{key})",
                "would change nothing: an InferenceService that runs already is served as it is; take one of them out",
                f".{key}",
            )
            for key in RENDERED
            if key != "engine"  # CEL sees no mapping whose values have no type: the operator says it
        ),
    ),
    models.Budget: (
        Rule(
            "!has(self.onExceed) || self.onExceed != 'throttle' || has(self.to)",
            "is missing; onExceed: throttle needs the share that is left, such as to: 1%",
            ".to",
        ),
        Rule(
            "!has(self.to) || (has(self.onExceed) && self.onExceed == 'throttle')",
            "only counts with onExceed: throttle",
            ".to",
        ),
    ),
    alerts.SecretRef: (
        Rule(
            "has(self.secret) && has(self.key) && !has(self.env) && !has(self.file)",
            "in a cluster a secret is kept in a Secret; expected both secret and key, and nothing else",
        ),
    ),
    alerts.Email: (
        Rule(
            "has(self.usernameFrom) == has(self.passwordFrom)",
            "expected both usernameFrom and passwordFrom, or neither",
        ),
        Rule(
            "!has(self.security) || self.security != 'none' || !has(self.usernameFrom)",
            "a password is not sent over a connection that anybody can read; use starttls or tls",
        ),
    ),
    alerts.Alert: (Rule(_exactly_one(*alerts.CHANNELS), f"expected exactly one of {', '.join(alerts.CHANNELS)}"),),
    pods.Toleration: (
        Rule(
            "!has(self.value) || self.value == '' || !has(self.operator) || self.operator != 'Exists'",
            "only counts with operator: Equal",
            ".value",
        ),
        Rule(
            "(has(self.operator) && self.operator == 'Exists') || (has(self.key) && self.key != '')",
            "needs a key; without one write operator: Exists",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "only counts with effect: NoExecute",
            ".tolerationSeconds",
        ),
    ),
}
"""Rules of whole objects."""

RULES_OF_FIELDS: Mapping[Field, tuple[Rule, ...]] = {
    (models.CanarySpec, "stages"): (
        Rule(
            f"!{_ALL_SHARES} || {_TRAFFIC}.all(traffic, traffic.isSorted()"
            " && traffic.all(each, traffic.exists_one(other, other == each)))",
            "stages rise: each needs more traffic than the one before",
        ),
        Rule(
            f"!{_ALL_SHARES} || {_TRAFFIC}.all(traffic, traffic[traffic.size() - 1] == 100.0)",
            "the last stage has all traffic: expected 100%",
        ),
    ),
    (models.Stage, "traffic"): (
        Rule(
            # The parser's millionth, as the double that CEL makes of it, is a hair below.
            f"!{is_share('self')} || {percent('self')} > 0.00009999",
            "a stage needs traffic of at least 0.0001%",
        ),
    ),
    (models.KServePlatform, "gateway"): (matching(GATEWAY, "a Gateway as namespace/name"),),
    (models.Cohort, "values"): (
        Rule(f"self.size() <= {MOST_COHORT_VALUES}", f"a route holds at most {MOST_COHORT_VALUES} values"),
    ),
    (models.Variant, "name"): (
        Rule(f"self.matches({literal(SERVICE)})", "a cluster makes names of it: expected letters, digits and - only"),
    ),
}
"""Rules of single fields, beside those of their types."""

TYPES_OF_FIELDS: Mapping[Field, dict[str, Any]] = {
    (models.KServePlatform, "gateway"): text(LONGEST_GATEWAY),
    (models.Variant, "engine"): flags.SCHEMA,
    (models.Variant, "resources"): {
        "type": "object",
        "maxProperties": pods.MOST,
        "additionalProperties": {
            "x-kubernetes-int-or-string": True,
            "maxLength": 40,
            "x-kubernetes-validations": [
                Rule(
                    f"type(self) == int ? self >= 0 : string(self).matches({literal(f'^({pods.AMOUNT})$')})",
                    "expected an amount such as 4, 500m or 32Gi",
                ).as_json()
            ],
        },
    },
}
"""Fields that a cluster writes in a way of its own: amounts as in a pod."""

DEFAULTS: frozenset[Field] = frozenset(
    {
        (models.CanarySpec, "on_breach"),
        (models.CanarySpec, "on_no_data"),
        (models.CanarySpec, "max_blind"),
        (models.CanarySpec, "on_blind"),
        (models.CanarySpec, "progress_deadline"),
        (models.KServePlatform, "mode"),
        (models.KServePlatform, "on_drift"),
        (models.Variant, "replicas"),
        (models.JudgeSettings, "false_rollback"),
        (models.JudgeSettings, "confidence"),
    }
)
"""Defaults that the server writes into the object, so that everybody sees them. Not those of fields where it matters
whether their owner said anything, such as a gate's `onBreach` or a variant's `ready`."""
