"""The answer to "does it fit, how fast is it, what does it cost": one value with bounds, basis and reasons for
everything.

`predict` puts memory, load and cost together; `Profiler` is the short Python form of the same. Called by the
commands, the checks of canary.yml and capacity planning. Refuses impossible combinations, and says of anything
unusual why it is less certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from profiles.accelerator import GIB
from profiles.calibration import Calibration
from profiles.catalogue import Catalogue, builtin
from profiles.constants import FITTED, Constants
from profiles.cost import Cost, cost, scaled
from profiles.deployment import Deployment
from profiles.engine import Engine
from profiles.errors import Malformed, ProfileRefused
from profiles.interval import THIN, Basis, Estimate, factor
from profiles.load import Steady, Workload, closed_loop
from profiles.measured import Level
from profiles.measured import calibration as calibrate
from profiles.memory import MemoryEstimate, memory, smallest_change
from profiles.model import ModelShape
from profiles.quantization import Quantization
from profiles.step import StepModel
from profiles.support import refusal

MEASURED_GPUS = {
    "T4", "RTX-3090", "RTX-4090", "RTX-A6000", "RTX-6000-Ada", "L40S", "A100", "A100-PCIe", "H100-PCIe", "H100", "H200",
    "B200",
}  # fmt: skip
"""GPUs with points behind the constants; the others have data sheets only."""
LONGEST_MEASURED = 22_000
"""Tokens of the longest request among the points."""
LARGEST_MEASURED = 120e9
"""Parameters of the largest model among the points."""
TERMS_SHOWN = 3
SAME_TOKENS = 0.05
"""Own measurements within this share of the asked token counts are of the same load."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Averages of a request, in seconds; and the replica's speed."""

    ttft: Estimate
    """Time to first token."""
    itl: Estimate
    """Inter-token latency: the gap between two tokens of one answer."""
    e2e: Estimate
    """The whole request."""
    tokens_per_second: Estimate
    """Output tokens a second of the replica."""
    requests_per_second: Estimate


@dataclass(frozen=True)
class Prediction:
    """Everything about one deployment under one load."""

    deployment: Deployment
    workload: Workload
    concurrency: float
    latency: Latency
    memory: MemoryEstimate
    cost: Cost | None
    basis: Basis
    because: tuple[str, ...]
    """The largest terms of the time a request takes."""
    notes: tuple[str, ...]
    """What makes this less certain, or what to know before using it."""
    state: Steady

    @property
    def fits(self) -> bool:
        """Whether weights, activations and the workload's KV cache have room in what the engine reserves."""
        return self.memory.fits

    @cached_property
    def shortage(self) -> str:
        """How much memory is missing and the smallest change that helps; empty when it fits."""
        if self.fits:
            return ""
        gpu, gpus = self.deployment.gpu.name, self.deployment.gpus
        where = f"one {gpu}" if gpus == 1 else f"each of {gpus} {gpu}"
        text = f"{self.memory.missing / GIB:.1f} GiB are missing on {where}"
        running = int(self.memory.max_concurrency)
        if running:
            text += f"; {running} of {self.concurrency:g} requests run at once, the others wait"
        tokens = self.workload.input_tokens + self.workload.output_tokens
        change = smallest_change(self.deployment, tokens, self.concurrency)
        if change:
            return f"{text}. Smallest change that fits: {change.flag}."
        return f"{text}. No flag helps: use fewer bits per weight, or a GPU with more memory."


def predict(
    deployment: Deployment,
    workload: Workload,
    concurrency: float,
    *,
    price: float | None = None,
    calibration: Calibration | None = None,
    levels: Sequence[Level] = (),
    allow_fallback: bool = False,
    constants: Constants = FITTED,
) -> Prediction:
    """What so many concurrent callers get from one replica.

    `price`: the user's dollars a GPU-hour. `levels`: own measurements of this deployment; they calibrate, and where
    one was taken at this very load it is the answer. Raises `ProfileRefused` for combinations that cannot run and
    `Malformed` for impossible loads.
    """
    reason = refusal(deployment.model, deployment.gpu, deployment.quantization, deployment.gpus, allow_fallback)
    if reason:
        raise ProfileRefused(reason)
    if not 0 < concurrency < float("inf"):
        raise Malformed(f"concurrency must be a positive number, got {concurrency}")
    if workload.output_tokens < 1 or workload.input_tokens < 1:
        raise Malformed(
            f"a request has at least one token in and out, got {workload.input_tokens:g} and {workload.output_tokens:g}"
        )
    tokens = workload.input_tokens + workload.output_tokens
    if tokens > deployment.context:
        raise ProfileRefused(
            f"{workload.input_tokens:g} + {workload.output_tokens:g} tokens are more than the {deployment.context} "
            f"that {deployment.model.name} is served with"
        )
    plan = memory(deployment, tokens, concurrency)
    steps = StepModel(deployment, constants)
    capacity = max(plan.max_concurrency, 1.0)
    state = closed_loop(steps, workload, concurrency, capacity, constants)
    known = calibration or calibrate(deployment, levels)
    own = same_load(levels, workload, concurrency)
    doubts = uncertain(deployment, tokens)
    limit = plan.context_fits
    shorten = (
        f"start the engine with --max-model-len {limit} or less: "
        f"a context of {deployment.context} has no room in its KV cache"
    )
    basis: Basis = "calibrated" if known.points else "extrapolated" if doubts else "predicted"
    latency = estimates(state, workload, known, basis)
    if own:
        basis, latency = "measured", observed(own, latency)
    return Prediction(
        deployment=deployment,
        workload=workload,
        concurrency=concurrency,
        latency=latency,
        memory=plan,
        cost=cost(deployment, latency.requests_per_second, workload.output_tokens, price),
        basis=basis,
        because=largest_terms(state, steps, workload),
        notes=(*doubts, shorten) if tokens <= limit < deployment.context else tuple(doubts),
        state=state,
    )


def estimates(state: Steady, workload: Workload, known: Calibration, basis: Basis) -> Latency:
    """The steady state with corrections and bounds. End to end follows from its two parts, throughput from the loop."""
    ttft_value = state.ttft * known.ttft.factor
    itl_value = state.itl * known.itl.factor
    gaps = max(workload.output_tokens - 1, 0.0)
    ttft = Estimate.within(ttft_value, factor("ttft", basis, known.ttft.points))
    itl = Estimate.within(itl_value, factor("itl", basis, known.itl.points))
    e2e_value = ttft_value + gaps * itl_value
    e2e = Estimate(e2e_value, ttft.low + gaps * itl.low, ttft.high + gaps * itl.high)
    rate = state.concurrency / e2e_value
    if known.throughput.points:
        rate = state.requests_per_second * known.throughput.factor
    requests = Estimate.within(rate, factor("throughput", basis, known.throughput.points or known.itl.points))
    tokens = (number * workload.output_tokens for number in (requests.value, requests.low, requests.high))
    return Latency(ttft, itl, e2e, Estimate(*tokens), requests)


def same_load(levels: Sequence[Level], workload: Workload, concurrency: float) -> Level | None:
    """The measured level of this load, when there is one; token counts may differ by 5 %."""
    for level in levels:
        near = abs(level.input_tokens / workload.input_tokens - 1) <= SAME_TOKENS
        near = near and abs(level.output_tokens / workload.output_tokens - 1) <= SAME_TOKENS
        if level.loop == "closed" and level.load == concurrency and level.completed and near:
            return level
    return None


def observed(level: Level, otherwise: Latency) -> Latency:
    """A measured level in place of the model's figures; what it lacks stays as predicted."""
    if level.tokens_per_second is None:
        return otherwise
    per_answer = 1 / max(level.output_tokens, 1.0)
    return Latency(
        ttft=level.ttft or otherwise.ttft,
        itl=level.itl or otherwise.itl,
        e2e=level.e2e or otherwise.e2e,
        tokens_per_second=level.tokens_per_second,
        requests_per_second=scaled(level.tokens_per_second, per_answer),
    )


def largest_terms(state: Steady, steps: StepModel, workload: Workload) -> tuple[str, ...]:
    """Where the time of a request goes: the largest shares, as text."""
    terms = steps.terms(max(state.batch, 1.0), workload.context)
    gaps = max(workload.output_tokens - 1, 0.0)
    seconds = {
        "weight read": gaps * terms.weights,
        "arithmetic of decoding": gaps * terms.compute,
        "KV cache read": gaps * terms.kv_cache,
        "all-reduces between GPUs": gaps * terms.communication,
        "engine overhead": gaps * terms.overhead,
        "prompts of other requests": gaps * max(state.itl - terms.total, 0.0),
        "waiting for a free slot": state.waiting,
        "its own prompt": min(state.prompt, state.ttft),
        "rest of the time to first token": max(state.ttft - state.waiting - state.prompt, 0.0),
    }
    ranked = sorted(seconds.items(), key=lambda item: -item[1])[:TERMS_SHOWN]
    return tuple(f"{100 * value / state.e2e:.0f} % {name}" for name, value in ranked)


def uncertain(deployment: Deployment, tokens: float) -> list[str]:
    """What no public point was measured on; empty where the constants know the ground."""
    found = []
    if deployment.gpu.name not in MEASURED_GPUS:
        found.append(f"no public measurement on {deployment.gpu.name}: its speed follows from its data sheet")
    if deployment.kernel in THIN:
        found.append(f"{deployment.quantization.name}: few public measurements, most of one lab or another engine")
    if tokens > LONGEST_MEASURED:
        found.append(f"requests of {tokens:g} tokens are longer than any that was measured ({LONGEST_MEASURED})")
    if deployment.model.parameters > LARGEST_MEASURED:
        found.append(f"{deployment.model.name} is larger than any model that was measured")
    return found


class Profiler:
    """The short Python form: `Profiler(model="Mistral-7B").profile(input_tokens=512, output_tokens=128,
    batch_size=32, gpu_type="L40S")`.
    """

    def __init__(
        self,
        model: str | ModelShape,
        quantization: str | Quantization = "bf16",
        *,
        engine: str = "vllm",
        catalogue: Catalogue | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._catalogue = catalogue or builtin()
        self._model = model if isinstance(model, ModelShape) else self._catalogue.model(model)
        self._quantization = (
            quantization if isinstance(quantization, Quantization) else self._catalogue.quantization(quantization)
        )
        self._engine = Engine.named(engine)
        self._calibration = calibration

    def profile(
        self,
        input_tokens: int,
        output_tokens: int,
        batch_size: int,
        gpu_type: str,
        *,
        gpu_count: int = 1,
        price_per_gpu_hour: float | None = None,
    ) -> Prediction:
        """Latency, memory and cost of `batch_size` concurrent requests on one replica of `gpu_count` GPUs."""
        deployment = Deployment(
            self._model, self._catalogue.gpu(gpu_type), self._quantization, gpus=gpu_count, engine=self._engine
        )
        return predict(
            deployment,
            Workload(input_tokens, output_tokens),
            batch_size,
            price=price_per_gpu_hour,
            calibration=self._calibration,
        )
