"""What `serinus profile measure` found, as values, and the calibration that follows from it.

Levels of a closed loop (so many callers) calibrate; open-loop levels (requests at a rate) are kept and shown, but the
model's formulas are for callers, so they do not. Pure: the shell reads and writes the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from profiles.calibration import Calibration, Correction
from profiles.deployment import Deployment
from profiles.errors import Malformed
from profiles.interval import Estimate
from profiles.load import Workload, closed_loop
from profiles.memory import memory
from profiles.step import StepModel

KIND = "serinus.measured/v1"


@dataclass(frozen=True, slots=True)
class Level:
    """One load and what it showed. Times in seconds; bounds of means hold 80 %."""

    loop: Literal["closed", "open"]
    load: float
    """Callers of a closed loop, or requests a second of an open one."""
    input_tokens: float
    output_tokens: float
    """Average tokens of an answer, as the server counted them."""
    seconds: float
    completed: int
    ttft: Estimate | None
    itl: Estimate | None
    e2e: Estimate | None
    tokens_per_second: Estimate | None
    requests_per_second: float
    percentiles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metric to `p50`, `p90`, `p95`, `p99`."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Kind of failure to its count: `status 503`, `stalled`, `cut`, `refused`, …"""
    littles_law_gap: float | None = None
    """|callers - rate x end-to-end time| / callers; above 0.1 the client or the server was not in a steady state."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured endpoint. The names may be empty: then it calibrates whatever it is given for."""

    url: str
    at: str
    """When, RFC 3339."""
    levels: tuple[Level, ...]
    served_model: str = ""
    model: str = ""
    gpu: str = ""
    count: int = 0
    quantization: str = ""


def as_json(measured: Measured) -> dict[str, Any]:
    """The saved file's object."""
    return {"kind": KIND, **asdict(measured)}


def read(raw: Mapping[str, Any], origin: str) -> Measured:
    """A saved file's object. Raises `Malformed`, naming `origin`."""
    if raw.get("kind") != KIND:
        raise Malformed(f"{origin} is not a measured profile: kind is {raw.get('kind')!r}, expected {KIND!r}")
    try:
        values = {key: value for key, value in raw.items() if key != "kind"}
        return Measured(**{**values, "levels": tuple(read_level(level) for level in raw["levels"])})
    except (KeyError, TypeError, ValueError) as wrong:
        raise Malformed(f"{origin} is not a measured profile: {wrong}") from None


def read_level(raw: Mapping[str, Any]) -> Level:
    """One level of a saved file."""
    values = dict(raw)
    for key in ("ttft", "itl", "e2e", "tokens_per_second"):
        if values.get(key) is not None:
            values[key] = Estimate(**values[key])
    return Level(**{**values, "notes": tuple(values.get("notes", ()))})


def mismatch(measured: Measured, deployment: Deployment) -> str:
    """Why these measurements are of something else; empty when they may calibrate this deployment."""
    pairs = (
        ("model", measured.model, deployment.model.name),
        ("GPU", measured.gpu, deployment.gpu.name),
        ("quantization", measured.quantization, deployment.quantization.name),
        ("number of GPUs", measured.count, deployment.gpus),
    )
    for what, was, wanted in pairs:
        if was and was != wanted:
            return f"its {what} is {was}, not {wanted}"
    return ""


def calibration(deployment: Deployment, levels: Sequence[Level]) -> Calibration:
    """The corrections that these levels ask for: the lowest and the highest closed-loop load (one, when there is
    one).
    """
    closed = sorted((level for level in levels if level.loop == "closed" and level.completed), key=lambda one: one.load)
    own = closed if len(closed) < 2 else [closed[0], closed[-1]]
    steps = StepModel(deployment)
    ttft, itl, rate = [], [], []
    for level in own:
        workload = Workload(max(level.input_tokens, 1), max(level.output_tokens, 1))
        tokens = workload.input_tokens + workload.output_tokens
        room = max(memory(deployment, tokens, level.load).max_concurrency, 1.0)
        state = closed_loop(steps, workload, level.load, room)
        ttft += [(state.ttft, level.ttft.value)] if level.ttft else []
        itl += [(state.itl, level.itl.value)] if level.itl and state.itl else []
        rate += [(state.requests_per_second, level.requests_per_second)]
    return Calibration(Correction.of(ttft), Correction.of(itl), Correction.of(rate))
