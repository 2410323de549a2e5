"""The CustomResourceDefinition of ModelCanary, made from the models that read canary.yml: it cannot fall behind them.

Printed by `serinus schema --crd` and kept in `manifests/crd/`. Pure: the same models give the same text.
"""

from typing import Any

from canary.spec.cluster import ROLLOUT
from canary.spec.crd_schema import of_model
from canary.spec.crd_status import STATUS
from canary.spec.crd_types import Rule, literal
from canary.spec.models import CanarySpec, ModelCanary

GROUP = "serinus.dev"
VERSION = "v1alpha1"
PLURAL = "modelcanaries"
NAME = f"{PLURAL}.{GROUP}"
COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Weight", "string", ".status.weight", 0),
    ("Stage", "string", ".status.stageText", 0),
    ("Verdict", "string", ".status.verdict", 0),
    ("Reason", "string", ".status.reason", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Seen", "string", ".status.weightSeen", 1),
    ("Served", "string", ".status.weightServed", 1),
    ("Stable", "string", ".spec.stable.name", 1),
    ("Canary", "string", ".spec.canary.name", 1),
    ("Revision", "string", ".status.revision", 1),
    ("Message", "string", ".status.message", 1),
)
"""Name, type, path and priority; those of priority 1 are shown by `-o wide` only."""
_NAMED = Rule(
    f"self.metadata.name.size() <= 63 && self.metadata.name.matches({literal(ROLLOUT)})",
    "metadata.name: names of Services begin with it: expected a letter, then letters, digits and -, at most 63 in all",
)


def custom_resource_definition() -> dict[str, Any]:
    """The whole object, ready to be applied."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "serinus"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": ModelCanary.__name__,
                "listKind": f"{ModelCanary.__name__}List",
                "plural": PLURAL,
                "singular": "modelcanary",
                "shortNames": ["mcan"],
                "categories": ["serinus", "serving"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*each) for each in COLUMNS],
                    "schema": {"openAPIV3Schema": schema()},
                }
            ],
        },
    }


def schema() -> dict[str, Any]:
    """The structural schema of the resource."""
    return {
        "type": "object",
        "description": "How a new variant of a model gets its traffic: stage by stage, judged all the while.",
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this form."},
            "kind": {"type": "string", "description": "What this is."},
            "metadata": {"type": "object"},
            "spec": of_model(CanarySpec),
            "status": STATUS,
        },
        "required": ["spec"],
        "x-kubernetes-validations": [_NAMED.as_json()],
    }


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
