"""Both variants as revisions of one InferenceService: what is written of them, and what its status says. Pure.

Used by `knative.py` and `serinus render`. The template is the canary, what was rolled out before is stable; revisions
are named by the status only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary.errors import BadInput
from canary.format import share
from canary.snapshot import RouteStatus
from canary.spec.models import ModelCanary, Variant
from canary.weights import ALL_STABLE, WHOLE, Arm, Weights
from controlplane.kserve.render import CLUSTER_LOCAL, MODE, Rendered, rendered
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import LONGEST_LABEL, PREDICTOR, VARIANT_LABEL, labels, shortened
from profiles.catalogue import Catalogue

TAGS = "serving.kserve.io/enable-tag-routing"
"""On from the first day: turning it on later would be a new revision."""
PERCENT = WHOLE // 100


def service_of(plan: ModelCanary) -> str:
    """The name of the one InferenceService, with room for what KServe adds to it."""
    return shortened(plan.metadata.name, LONGEST_LABEL - len(PREDICTOR))


def knative_service(plan: ModelCanary, variant: Variant, *, namespace: str, known: Catalogue) -> Rendered:
    """The InferenceService with this variant as its template, without a share, and its runtime.

    Raises `BadInput` for a variant that is served elsewhere, and for shares that are no whole percents.
    """
    for stage in plan.spec.stages:
        if Weights.of_share(stage.traffic).canary % PERCENT:
            raise BadInput(f"Knative moves whole percents, and a stage asks for {share(stage.traffic)}.")
    made = rendered(plan, variant, namespace=namespace, known=known)
    meta = made.service["metadata"]
    service: Object = {
        **made.service,
        "metadata": {
            "name": service_of(plan),
            "namespace": namespace,
            # Nothing of the variant here: a label that changes is a new revision, and this object is both variants'.
            "labels": labels(plan.metadata.name),
            "annotations": {MODE: "Knative", TAGS: "true"},
        },
    }
    own = {name: value for name, value in meta["labels"].items() if name not in CLUSTER_LOCAL}
    service["spec"] = {"predictor": {**made.service["spec"]["predictor"], "labels": own}}
    return Rendered(service, made.runtime, made.notes)


@dataclass(frozen=True, slots=True)
class KnativeStatus:
    """What one InferenceService says of two variants."""

    live: Object
    stable: str
    """The variant's own name."""
    canary: str

    @property
    def template(self) -> str:
        """The variant that the newest revision is made of."""
        return str((self.live["spec"]["predictor"].get("labels") or {}).get(VARIANT_LABEL, ""))

    @property
    def share(self) -> int | None:
        """Percent that the template is to have; None where there is no split."""
        share = self.live["spec"]["predictor"].get("canaryTrafficPercent")
        return None if share is None else int(share)

    @property
    def status(self) -> Mapping[str, Any]:
        """Of the predictor."""
        return dict(((self.live.get("status") or {}).get("components") or {}).get("predictor") or {})

    @property
    def at_rest(self) -> bool:
        """Whether the canary is there in name only: no share, and no pods wanted."""
        return bool(self.live["spec"]["predictor"].get("minReplicas") == 0 and self.share == 0)

    @property
    def rolled_out(self) -> bool:
        """Whether there is something to hold the canary against: the first revision cannot be one."""
        rolled = self.status.get("latestRolledoutRevision", "")
        return bool(rolled) and (self.at_rest or rolled == self.status.get("latestReadyRevision"))

    @property
    def revisions(self) -> Mapping[Arm, str]:
        """The revision of each arm, as the status names it; never made up."""
        newest = self.status.get("latestCreatedRevision", "")
        if self.template != self.canary and not self.at_rest:
            return {"stable": newest}
        rolled, before = (self.status.get(f"{which}RolledoutRevision", "") for which in ("latest", "previous"))
        stable = rolled if rolled != newest else before
        return {"stable": stable, "canary": newest} if self.template == self.canary else {"stable": stable}

    def split(self, now: float) -> RouteStatus:
        """The split in force; None where somebody else has a part in it."""
        shares: dict[str, int] = {}
        for target in self.status.get("traffic") or ():
            revision = str(target.get("revisionName", ""))
            shares[revision] = shares.get(revision, 0) + int(target.get("percent", 0))
        if not shares:
            return RouteStatus(now, ALL_STABLE, "Knative has not said yet which revision serves")
        revisions, template = self.revisions, self.template
        if template not in {self.stable, self.canary} and not self.at_rest:
            return RouteStatus(now, None, f"it serves {template or 'something else'}: neither variant of this rollout")
        if template != self.canary:
            return RouteStatus(now, ALL_STABLE)  # an older revision may still serve until the new one can
        strangers = sorted(name for name, share in shares.items() if share and name not in revisions.values())
        if strangers:
            return RouteStatus(now, None, f"{' and '.join(strangers)} serves as well: neither variant of this rollout")
        return RouteStatus(now, Weights(PERCENT * shares.get(revisions["canary"], 0)))
