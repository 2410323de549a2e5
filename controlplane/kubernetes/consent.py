"""Which Secrets may be read, and what for: those that say so themselves, and those that the operator's settings list.

Used for alert channels (`controlplane.operator.alert_dispatch`) and for repositories
(`controlplane.gitsources.secret_files`). Whoever writes a plan also says where its alerts go, so a Secret that was made
for something else must not be readable by being named. Looks at one Secret by its name; it never lists any, and keeps
nothing of what it reads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

from canary.errors import BadInput, ExternalError
from canary.spec.source import quoted
from controlplane.kubernetes.api import Kube, NotFound, Rejected
from controlplane.kubernetes.names import DOMAIN
from controlplane.kubernetes.resources import SECRET

Purpose = Literal["alerts", "git"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
ALLOW = f"{DOMAIN}/allow"
"""Annotation of a Secret: what it may be read for, such as `alerts` or `alerts, git`."""
VALUES: Mapping[Purpose, str] = {"alerts": "alerts.secrets", "git": "git.secrets"}
"""The values of the chart that list Secrets by name."""


class NotAllowed(ExternalError):  # noqa: N818 - a state of the world
    """A Secret is not there, may not be read, or does not allow it. One clause, which says whose turn it is."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A Secret that the operator's settings allow to be read: `git:models/models-git`."""

    purpose: Purpose
    namespace: str
    name: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `PURPOSE:NAMESPACE/NAME`. Raises `BadInput`."""
        purpose, _, rest = text.partition(":")
        namespace, _, name = rest.partition("/")
        known: Purpose | None = next((each for each in PURPOSES if each == purpose), None)
        if known is None or not namespace or not name or "/" in name:
            raise BadInput(
                f"{quoted(text)} names no Secret; expected {' or '.join(PURPOSES)}, then namespace and name: "
                "alerts:models/slack."
            )
        return cls(known, namespace, name)


class Consent:
    """Reads Secrets for one purpose."""

    def __init__(self, kube: Kube, purpose: Purpose, listed: Iterable[Listed] = ()) -> None:
        """`listed`: what the operator's settings allow; those of other purposes count for nothing here."""
        self._kube, self._purpose = kube, purpose
        self._listed = {(each.namespace, each.name) for each in listed if each.purpose == purpose}

    async def read(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a Secret, each value in base64. Raises `NotAllowed`; `Unavailable` while nobody answers."""
        where, listed = f"Secret {namespace}/{name}", (namespace, name) in self._listed
        values = f"the chart's {VALUES[self._purpose]}"
        try:
            found = await self._kube.get(SECRET, namespace, name)
        except NotFound:
            raise NotAllowed(f"{where} does not exist") from None
        except Rejected as error:
            raise NotAllowed(
                f"{where} may not be read by the operator ({error}); whoever runs it names the Secret in {values}, or "
                "its namespace in secretNamespaces"
            ) from None
        if not listed and self._purpose not in allowed_by(found["metadata"].get("annotations") or {}):
            raise NotAllowed(
                f"{where} does not allow to be read for {self._purpose}; whoever may change it says `kubectl annotate "
                f"secret {name} -n {namespace} {ALLOW}={self._purpose}`, or whoever runs the operator names it in "
                f"{values}"
            )
        data: Mapping[str, str] = found.get("data") or {}
        return data


def allowed_by(annotations: Mapping[str, str]) -> frozenset[str]:
    """What a Secret with these annotations may be read for."""
    return frozenset(str(annotations.get(ALLOW, "")).replace(",", " ").split())
