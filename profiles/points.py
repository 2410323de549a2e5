"""Measured points: the rows of a CSV of public or own measurements, and what the model says to each.

Columns: model, params_b, quant, gpu, num_gpus, engine, concurrency_or_batch, input_tokens, output_tokens, metric,
value, unit, source. Used by `profiles.validation` (error table), by calibration, and by the fit. Reads no file: it
gets rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from profiles.catalogue import Catalogue
from profiles.constants import FITTED, Constants
from profiles.deployment import Deployment
from profiles.engine import Engine
from profiles.errors import Malformed, ProfileError
from profiles.load import Workload, closed_loop
from profiles.memory import memory
from profiles.quantization import Quantization
from profiles.step import StepModel

Class = Literal["itl", "ttft", "throughput"]
CLASSES: Mapping[str, Class] = {
    "tpot_ms": "itl",
    "itl_ms": "itl",
    "ttft_ms": "ttft",
    "first_token_ms": "ttft",
    "step_latency_ms": "throughput",
    "batch_latency_ms": "throughput",
    "e2e_ms": "throughput",
    "output_tok_s": "throughput",
    "output_tok_s_max": "throughput",
    "output_tok_s_burst": "throughput",
    "output_tok_s_static": "throughput",
}
"""Metric to the class of the error table; latencies of a whole step or batch count as throughput."""
BURST_LONGEST = 512 / 357
"""Longest answer over the mean answer in the public burst runs (at most 512 tokens, 357 on average)."""
REQUIRED = (
    "model",
    "quant",
    "gpu",
    "engine",
    "concurrency_or_batch",
    "input_tokens",
    "output_tokens",
    "metric",
    "value",
)


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """One measurement. `value` is in seconds or tokens a second."""

    deployment: Deployment
    concurrency: float | None
    """Callers or batch; None is the load at which nothing more fits."""
    input_tokens: float
    output_tokens: float
    metric: str
    value: float
    source: str = ""
    line: int = 0

    @property
    def kind(self) -> Class:
        """Its class in the error table."""
        return CLASSES[self.metric]

    @property
    def group(self) -> tuple[str, str, str, int, tuple[str, tuple[int, ...]], str]:
        """What identifies the deployment (one lab's model on one server), for folds and calibration."""
        d = self.deployment
        return (
            d.model.name,
            d.quantization.name,
            d.gpu.name,
            d.gpus,
            (d.engine.family, d.engine.version),
            lab(self.source),
        )


def lab(source: str) -> str:
    """Who measured: the source without the run it came from. One of the files collects runs of two labs."""
    for collected in ("InferenceMAX", "NVIDIA AIC"):
        if collected in source:
            return collected
    return source.split("@", maxsplit=1)[0].split(" ", maxsplit=1)[0].rstrip("/")


def harness(point: MeasuredPoint) -> str:
    """How the lab sent its load, a row of `Constants.waves`: it decides how many first prompts collide."""
    if "Poisson" in point.source:
        return "none"
    if "NVIDIA AIC run" in point.source:
        return "batch" if point.deployment.engine.family == "sglang" else "fixed"
    return "random"


def kv_value_bytes(quantization: Quantization, engine: Engine, source: str) -> float:
    """Bytes of a cached key or value in public runs: the 8-bit checkpoints that NVIDIA publishes bring an 8-bit cache
    along, and TensorRT-LLM's and InferenceMAX's runs use those.
    """
    brings_its_own = engine.family.startswith("trtllm") or "InferenceMAX" in source
    return 1.0 if brings_its_own and quantization.kernel in {"fp8", "nvfp4"} else 2.0


def read_point(row: Mapping[str, str], catalogue: Catalogue, line: int = 0) -> MeasuredPoint:
    """One row. Raises `Malformed` for a bad value or `Unknown` for a name that the catalogue does not have."""
    for key in REQUIRED:
        if not (row.get(key) or "").strip():
            raise Malformed(f"line {line}: column {key} is missing or empty")
    metric = row["metric"].strip()
    if metric not in CLASSES:
        raise Malformed(f"line {line}: unknown metric {metric!r}; expected one of {', '.join(CLASSES)}")
    value = number(row, "value", line)
    if value <= 0:
        raise Malformed(f"line {line}: value must be positive, got {value}")
    load = row["concurrency_or_batch"].strip()
    engine = Engine.named(row["engine"])
    quantization = catalogue.quantization(row["quant"].strip())
    return MeasuredPoint(
        deployment=Deployment(
            model=catalogue.model(row["model"].strip()),
            gpu=catalogue.gpu(row["gpu"].strip()),
            quantization=quantization,
            gpus=int(number(row, "num_gpus", line)) if (row.get("num_gpus") or "").strip() else 1,
            engine=engine,
            kv_value_bytes=kv_value_bytes(quantization, engine, row.get("source") or ""),
        ),
        concurrency=None if load == "max" else number(row, "concurrency_or_batch", line),
        input_tokens=number(row, "input_tokens", line),
        output_tokens=number(row, "output_tokens", line),
        metric=metric,
        value=value / 1000 if metric.endswith("_ms") else value,
        source=(row.get("source") or "").strip(),
        line=line,
    )


def number(row: Mapping[str, str], key: str, line: int) -> float:
    """A column as a finite number."""
    try:
        value = float(row[key])
    except ValueError:
        raise Malformed(f"line {line}: column {key} must be a number, got {row[key]!r}") from None
    if not 0 <= value < float("inf"):
        raise Malformed(f"line {line}: column {key} must be a finite number from 0, got {row[key]!r}")
    return value


def read_points(rows: Iterable[Mapping[str, str]], catalogue: Catalogue) -> tuple[list[MeasuredPoint], list[str]]:
    """`(points, reasons for the rows that were skipped)`; the first row of the file is line 2."""
    points, skipped = [], []
    for line, row in enumerate(rows, start=2):
        try:
            points.append(read_point(row, catalogue, line))
        except ProfileError as wrong:
            text = str(wrong)
            skipped.append(text if text.startswith("line ") else f"line {line}: {text}")
    return points, skipped


def predicted(point: MeasuredPoint, constants: Constants = FITTED) -> float:
    """What the model says to this row, in the unit of `point.value`."""
    steps = StepModel(point.deployment, constants)
    batch = point.concurrency if point.concurrency is not None else 1.0
    match point.metric:
        case "step_latency_ms":
            return steps.step(batch, point.input_tokens + point.output_tokens / 2)
        case "first_token_ms":
            return _first_token(steps, point, batch)
        case "output_tok_s_static":
            return batch * point.output_tokens / _batch_time(steps, point, batch)
        case "batch_latency_ms":
            return _batch_time(steps, point, batch)
        case "output_tok_s_burst":
            return batch * point.output_tokens / _burst_time(steps, point, batch)
        case _:
            return _under_load(steps, point, constants)


def _under_load(steps: StepModel, point: MeasuredPoint, constants: Constants) -> float:
    """Metrics of a closed loop."""
    tokens = point.input_tokens + point.output_tokens
    room = max(memory(point.deployment, tokens, 1).max_concurrency, 1.0)
    callers = room if point.concurrency is None else max(point.concurrency, 1.0)
    workload = Workload(point.input_tokens, point.output_tokens, first_wave=constants.waves[harness(point)])
    state = closed_loop(steps, workload, callers, room, constants)
    match point.metric:
        case "ttft_ms":
            return state.ttft
        case "e2e_ms":
            return state.e2e
        case "tpot_ms" | "itl_ms":
            return state.itl
        case _:
            return state.tokens_per_second(workload)


def _first_token(steps: StepModel, point: MeasuredPoint, batch: float) -> float:
    """One batch of prompts on an idle engine, without the request's way through a server."""
    chunk = steps.chunk_overhead * steps.chunks(batch * point.input_tokens)
    return steps.prompt(point.input_tokens, batch) + chunk + steps.step(batch, point.input_tokens)


def _batch_time(steps: StepModel, point: MeasuredPoint, batch: float) -> float:
    """One static batch from its prompts to its last token."""
    step = steps.step(batch, point.input_tokens + point.output_tokens / 2)
    return _first_token(steps, point, batch) + max(point.output_tokens - 1, 0) * step


def _burst_time(steps: StepModel, point: MeasuredPoint, batch: float) -> float:
    """All requests at once, to the end of the longest: the batch thins out as the shorter ones finish."""
    longest = point.output_tokens * BURST_LONGEST
    average = batch / BURST_LONGEST
    step = steps.step(average, point.input_tokens + longest / 2)
    prompts = steps.prompt(point.input_tokens, batch)
    return prompts + steps.chunk_overhead * steps.chunks(batch * point.input_tokens) + longest * step
