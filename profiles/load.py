"""A replica under load: what requests see when many are served at once.

Closed loop: C callers, each sends its next request when the last is answered. A request keeps the GPU busy for its
prompt P and, shared by the B that decode together, for its steps: so B/(steps + B P) requests a second are answered,
and by Little's law they belong to C = B (1 + W/(steps + B P)) callers, where W is what a first token waits for beyond
its prompt. The B of a given C is found by bracketing. Called by `profiles.predict` and `profiles.capacity`; the times
of one step come from `profiles.step`.
"""

from dataclasses import dataclass

from profiles.constants import FITTED, Constants
from profiles.step import StepModel

RELATIVE_TOLERANCE = 1e-7
MAX_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Workload:
    """What callers send. Token counts are averages of a request."""

    input_tokens: float
    output_tokens: float
    cached_input: float = 0.0
    """Share of the prompt that the prefix cache holds."""
    first_wave: float = 0.0
    """Share of callers whose prompts collide because all start together (a benchmark's artefact; 0 in production)."""

    @property
    def context(self) -> float:
        """Average context of a running sequence."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def prompt_tokens(self) -> float:
        """Prompt tokens that are computed."""
        return self.input_tokens * (1 - self.cached_input)


@dataclass(frozen=True, slots=True)
class Steady:
    """The steady state. Times are averages in seconds."""

    concurrency: float
    batch: float
    """Sequences that decode at once."""
    ttft: float
    itl: float
    e2e: float
    requests_per_second: float
    prompt: float
    """GPU time of one prompt."""
    waiting: float
    """Part of `ttft` spent waiting for room."""
    capacity: float
    """Sequences that can run at once; more wait."""

    def tokens_per_second(self, workload: Workload) -> float:
        """Output tokens a second of the replica."""
        return self.requests_per_second * workload.output_tokens


def closed_loop(
    steps: StepModel, workload: Workload, concurrency: float, capacity: float, constants: Constants = FITTED
) -> Steady:
    """Steady state with `concurrency` callers; those beyond `capacity` wait for a free slot."""
    running = min(concurrency, capacity)
    replica = _Replica(steps, workload, running, constants)
    batch = replica.batch(max(running, 1.0))
    ttft, itl = replica.times(batch)
    answer = ttft + replica.gaps * itl
    rate = running / answer
    waiting = (concurrency - running) / rate
    return Steady(concurrency, batch, ttft + waiting, itl, answer + waiting, rate, replica.prompt, waiting, capacity)


class _Replica:
    """One replica with so many requests in it, as a function of the sequences that decode together."""

    def __init__(self, steps: StepModel, workload: Workload, running: float, constants: Constants) -> None:
        self._steps = steps
        self._context = workload.context
        self._queue = constants.queue
        self.prompt = steps.prompt(workload.prompt_tokens)
        self._chunks = steps.chunks(workload.prompt_tokens)
        self._overhead = steps.costs.first_token + self._chunks * steps.chunk_overhead
        self._overhead += workload.prompt_tokens * constants.prompt_token
        self._overhead += workload.first_wave * max(running - 1, 0.0) / 2 * self.prompt
        self.gaps = max(workload.output_tokens - 1, 0.0)
        """Gaps between the tokens of one answer."""

    def times(self, batch: float) -> tuple[float, float]:
        """`(ttft, itl)` when so many sequences decode together.

        While one of them decodes, each of the others is replaced once, and the newcomer's prompt delays it.
        """
        step = self._steps.step(batch, self._context)
        ttft = self.prompt + self._beyond_prompt(batch, step)
        others = (batch - 1) * self.prompt
        if not self.gaps:
            return ttft + others, 0.0
        return ttft, step + others / self.gaps

    def _beyond_prompt(self, batch: float, step: float) -> float:
        """What a first token waits for beyond its own prompt: steps, other prompts, the way through the server."""
        steps = self._chunks + 0.5 * (1 - 1 / batch)  # a busy engine first finishes the step that it is in
        waiting = 0.0
        if self.gaps:
            odds = (
                batch * self.prompt / (self.gaps * step)
            )  # rho / (1 - rho), rho: share of the GPU's time spent on prompts
            waiting = self._queue * odds * self.prompt
        return self._overhead + steps * step + waiting

    def callers(self, batch: float) -> float:
        """Callers that keep so many sequences decoding. Rises with the batch."""
        step = self._steps.step(batch, self._context)
        busy = self.gaps * step + batch * self.prompt
        return batch * (1 + self._beyond_prompt(batch, step) / busy)

    def batch(self, running: float) -> float:
        """The batch that belongs to so many callers, found between 1 and their number (Illinois method)."""
        low, high = 1.0, running
        at_low, at_high = self.callers(low) - running, self.callers(high) - running
        if at_low >= 0:
            return low
        for _ in range(MAX_ROUNDS):
            middle = high - at_high * (high - low) / (at_high - at_low)
            at_middle = self.callers(middle) - running
            if abs(at_middle) <= RELATIVE_TOLERANCE * running:
                return middle
            if at_middle < 0:
                low, at_low, at_high = middle, at_middle, at_high / 2
            else:
                high, at_high, at_low = middle, at_middle, at_low / 2
        return high
