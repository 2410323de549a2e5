"""The readiness probe of a variant: a path, or a mapping that says also how patient it is.

Part of `models.py`. On one machine `process_replica.py` asks by it; in a cluster the pods' own probe is made of it.
Whether a probe that fails means that an arm is lost is not decided here: see `process_readiness.py`.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from canary.spec.base import Model
from canary.spec.names import HttpPath
from canary.spec.units import Positive, Seconds

PATH = "/health"


class ReadinessProbe(Model):
    """How a server is asked whether it can serve."""

    path: HttpPath = PATH
    """Path that answers 200 when the server can serve."""
    timeout: Annotated[Seconds, Field(ge=0.1, le=300)] = 5.0
    """How long an answer may take: the event loop of a busy model server stands still for a second or two."""
    period: Annotated[Seconds, Field(ge=0.1, le=300)] = 5.0
    """How often a server that is ready is asked."""
    failures: Annotated[Positive, Field(le=100)] = 3
    """Failed probes in a row after which it counts as not ready."""

    @model_serializer(mode="wrap")
    def _shortest(self, written: SerializerFunctionWrapHandler) -> Any:
        """As a path where there is no more to it: a plan that says one keeps its revision and its stored text."""
        return self.path if self == ReadinessProbe(path=self.path) else written(self)


def _form(written: Any) -> str:
    """Which form it has; anything but a mapping is treated as a path, whose error says what one looks like."""
    return "mapping" if isinstance(written, dict | ReadinessProbe) else "line"


def _probe(read: "str | ReadinessProbe") -> ReadinessProbe:
    return read if isinstance(read, ReadinessProbe) else ReadinessProbe(path=read)


if TYPE_CHECKING:
    Ready = ReadinessProbe
else:
    Ready = Annotated[
        Annotated[HttpPath, Tag("line")] | Annotated[ReadinessProbe, Tag("mapping")],
        Discriminator(_form),
        AfterValidator(_probe),
    ]
"""The field of a variant, in either form."""
