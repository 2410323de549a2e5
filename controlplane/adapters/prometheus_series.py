"""One series of an answer of Prometheus, as all who read answers know it. Asks nothing and interprets nothing."""

from typing import Annotated

from pydantic import BaseModel, Field

Time = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Time, float]
"""Time in seconds since the epoch, value (may be NaN or infinite)."""


class NativeSeries(BaseModel):
    """A native histogram at one time. Buckets that are empty are not listed; those that are stand in their order."""

    count: float
    sum: float
    buckets: list[tuple[int, float, float, float]] = []
    """Which ends belong to it, left end, right end, and how many observations; see `canary.spec.native`."""


class PrometheusSeries(BaseModel):
    """One series of an answer: a single point of a vector, or the raw points of a matrix."""

    metric: dict[str, str]
    value: Point | None = None
    values: list[Point] = []
    histogram: tuple[Time, NativeSeries] | None = None
    histograms: list[tuple[Time, NativeSeries]] = []
    """The same for native histograms, which have no value; `prometheus_native.py` spells them out."""

    @property
    def name(self) -> str:
        """The metric's name; empty where a query dropped it."""
        return self.metric.get("__name__", "")

    @property
    def points(self) -> list[Point]:
        """All its points, oldest first."""
        return self.values or ([self.value] if self.value else [])
