"""What things of a rollout are called in a cluster, and how they are found again. Pure; used by everything that meets
a cluster, so that the route, the variants and the numbers agree.

KServe makes `<InferenceService>-predictor` of an InferenceService: a Service of that name, which is a DNS label, so our
own names are cut to leave room for it.
"""

import hashlib

DOMAIN = "serinus.dev"
MANAGED_BY = "app.kubernetes.io/managed-by"
ROLLOUT_LABEL = f"{DOMAIN}/rollout"
"""On everything that we make for a rollout, from its first moment on: its name."""
VARIANT_LABEL = f"{DOMAIN}/variant"
"""The variant's own name. Never a role: roles change at a promotion, and a changed label restarts pods."""
COMMIT = f"git.{DOMAIN}/commit"
"""Annotation of a ModelCanary that came from git: the commit that brought it."""
PREDICTOR = "-predictor"
LONGEST_LABEL = 63
DIGEST_LENGTH = 6


def service_name(rollout: str, variant: str) -> str:
    """The InferenceService of a variant: `support-llm-nf4`, cut with a digest where that is too long."""
    return shortened(f"{rollout}-{variant}", LONGEST_LABEL - len(PREDICTOR))


def predictor(service: str) -> str:
    """The Service (and Deployment) that KServe makes for this InferenceService in standard mode."""
    return f"{service}{PREDICTOR}"


def shortened(name: str, longest: int) -> str:
    """The name, or its beginning and a digest of the whole where it is longer; still distinct."""
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{name[: longest - DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"


def labels(rollout: str, variant: str = "") -> dict[str, str]:
    """Labels of what we make for a rollout (and, where given, for one of its variants)."""
    made = {MANAGED_BY: "serinus", ROLLOUT_LABEL: rollout}
    return made | {VARIANT_LABEL: variant} if variant else made
