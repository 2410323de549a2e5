"""`serinus profile measure`: a real load on a real endpoint, and a profile that calibrates later predictions."""

import asyncio
import os
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from controlplane.profiles.commands.options import ProfileCommand, additions, output, print_json
from controlplane.profiles.load import LoadRun, LoadShape, Prompts, Window
from controlplane.profiles.saved import save
from controlplane.profiles.sources import catalogue, model_shape
from controlplane.profiles.stream import Client, LoadEndpoint
from profiles.errors import Malformed, ProfileError
from profiles.interval import Estimate
from profiles.measured import Level, Measured, as_json
from profiles.samples import LoadSample, level

PROGRESS_SECONDS = 1.0


class UnreachableError(ProfileError):
    """The endpoint does not answer as one should."""


@click.command(cls=ProfileCommand)
@click.option("--url", required=True, help="OpenAI-compatible endpoint: http://127.0.0.1:8000/v1.")
@click.option("--model", default="", help="Served model name; the endpoint's first one when left out.")
@click.option(
    "--concurrency",
    default="1,8,32",
    show_default=True,
    help="Closed loop: numbers of callers, one level each; empty for none.",
)
@click.option("--rate", default="", help="Open loop: requests a second, one level each: 2,5.5.")
@click.option(
    "--input-tokens", type=click.IntRange(1), default=512, show_default=True, help="About so many prompt tokens."
)
@click.option(
    "--output-tokens", type=click.IntRange(1), default=128, show_default=True, help="At most so many answer tokens."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Counted length of a level."
)
@click.option(
    "--warmup", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds before counting begins."
)
@click.option(
    "--stall",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="Silence after which an answer counts as stalled.",
)
@click.option("--stop-at-eos", is_flag=True, help="Let answers end by themselves (do not send vLLM's ignore_eos).")
@click.option(
    "--api-key-env", default="OPENAI_API_KEY", show_default=True, help="Variable with the bearer token, if it is set."
)
@click.option("--of", "of_model", default="", help="The catalogue's model that is served, for calibration.")
@click.option("--gpu", default="", help="GPU type that serves it.")
@click.option("--count", type=click.IntRange(0), default=0, help="GPUs of the replica.")
@click.option("--quantization", default="", help="How its weights are stored.")
@click.option("--save", "target", type=click.Path(path_type=Path), help="Write the profile here, after every level.")
@click.option("--chart", type=click.Path(path_type=Path), help="Write a chart (.svg or .html).")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides prompts and arrivals.")
@additions
@output
def command(
    url: str,
    model: str,
    concurrency: str,
    rate: str,
    input_tokens: int,
    output_tokens: int,
    seconds: float,
    warmup: float,
    stall: float,
    stop_at_eos: bool,
    api_key_env: str,
    of_model: str,
    gpu: str,
    count: int,
    quantization: str,
    target: Path | None,
    chart: Path | None,
    seed: int,
    catalogues: tuple[Path, ...],
    output: str,
) -> None:
    """Measure time to first token, inter-token and end-to-end latency and throughput of an endpoint, level by level.

    A profile saved with --of, --gpu and --quantization calibrates `serinus profile predict --profile FILE`; two
    closed levels, the lowest and the highest concurrency, do best. Ctrl-C keeps what was measured. Exits with 1 when
    a level has no complete answer.
    """
    known = catalogue(catalogues)
    key = os.environ.get(api_key_env, "")
    endpoint = LoadEndpoint.of(url, (("authorization", f"Bearer {key}"),) if key else ())
    plan = [("closed", callers) for callers in numbers(concurrency, "--concurrency")]
    plan += [("open", arrivals) for arrivals in numbers(rate, "--rate")]
    if not plan:
        raise Malformed("nothing to measure: give --concurrency or --rate")
    subject = Measured(
        url=url,
        at=now(),
        levels=(),
        model=model_shape(of_model, known).name if of_model else "",
        gpu=known.gpu(gpu).name if gpu else "",
        count=count or (1 if gpu else 0),
        quantization=known.quantization(quantization).name if quantization else "",
    )
    work = Work(endpoint, plan, Window(warmup, seconds), stall, seed, target)
    shape = LoadShape(model, input_tokens, output_tokens, ignore_eos=not stop_at_eos)
    measured, complete = asyncio.run(measure(work, shape, subject))
    if chart:
        from controlplane.profiles.charts import write_measured

        write_measured(measured, chart)
    if output == "json":
        print_json(as_json(measured))
    else:
        show(measured)
    bad = not complete or not measured.levels or any(not one.completed for one in measured.levels)
    click.get_current_context().exit(1 if bad else 0)


@dataclass(frozen=True, slots=True)
class Work:
    """What to do, level by level."""

    endpoint: LoadEndpoint
    plan: list[tuple[str, float]]
    window: Window
    stall: float
    seed: int
    target: Path | None


async def measure(work: Work, shape: LoadShape, subject: Measured) -> tuple[Measured, bool]:
    """All levels in turn; `(what was measured, whether all of it)`. An interrupt ends the level and keeps it."""
    client = Client(work.endpoint, time.perf_counter, work.stall)
    try:
        shape = await prepared(client, shape)
        subject = replace(subject, served_model=shape.model)
        for index, (loop, load) in enumerate(work.plan):
            chance = random.Random(f"{work.seed}/{index}")  # noqa: S311 - prompts and arrivals, repeatable on purpose
            run = LoadRun(client, shape, work.window, time.perf_counter, chance)
            whole = await interruptible(run, loop, load, work.window)
            subject = replace(subject, levels=(*subject.levels, finished(run, load)))
            if not sys.stderr.isatty():
                done, unit = subject.levels[-1], "callers" if loop == "closed" else "requests a second"
                click.echo(
                    f"level {index + 1} of {len(work.plan)}: {done.completed} answers at {load:g} {unit}", err=True
                )
            if work.target:
                save(subject, work.target)
            if not whole:
                return subject, False
    finally:
        client.close()
    return subject, True


async def prepared(client: Client, shape: LoadShape) -> LoadShape:
    """One request before everything: finds the model's name, and whether the server takes `ignore_eos`.

    Raises `UnreachableError` when not even that is answered.
    """
    if not shape.model:
        try:
            cards = await client.get("/models")
            shape = replace(shape, model=str(cards["data"][0]["id"]))
        except ConnectionError:
            raise UnreachableError(f"nobody listens on {client.address}") from None
        except (OSError, ValueError, KeyError, IndexError, TypeError, TimeoutError) as wrong:
            raise UnreachableError(f"the endpoint does not list its models ({wrong}); name one with --model") from None
    chance = random.Random(0)  # noqa: S311 - one throw-away prompt
    first = await client.ask(Prompts(shape, chance).next(), time.perf_counter())
    if first.failure in {"status 400", "status 422"} and shape.ignore_eos:
        shape = replace(shape, ignore_eos=False)
        first = await client.ask(Prompts(shape, chance).next(), time.perf_counter())
        if not first.failure:
            click.echo("The server does not take ignore_eos: answers may end early.", err=True)
    if first.failure:
        raise UnreachableError(f"the endpoint does not answer a first request: {first.failure}")
    return shape


async def interruptible(run: LoadRun, loop: str, load: float, window: Window) -> bool:
    """Run one level with its progress; False when Ctrl-C ended it early."""
    work = asyncio.ensure_future(run.closed(int(load)) if loop == "closed" else run.open(load))
    running = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(name, work.cancel)
    begun = time.perf_counter()
    try:
        while not work.done():
            await asyncio.wait([work], timeout=PROGRESS_SECONDS)
            progress(
                run, loop, load, min((time.perf_counter() - begun) / (window.warmup_seconds + window.seconds), 1.0)
            )
        with suppress(asyncio.CancelledError):
            work.result()
        return not work.cancelled()
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            running.remove_signal_handler(name)
        if sys.stderr.isatty():
            click.echo(err=True)


def progress(run: LoadRun, loop: str, load: float, share: float) -> None:
    """One line that is written over, on terminals only."""
    if not sys.stderr.isatty():
        return
    samples = run.warmed_up
    failed = sum(bool(sample.failure) for sample in samples)
    bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
    unit = "callers" if loop == "closed" else "requests/s"
    click.echo(f"\r{load:g} {unit} {bar} {len(samples) - failed} answered, {failed} failed ", nl=False, err=True)


def finished(run: LoadRun, load: float) -> Level:
    """The level that a run's samples make."""
    inside: list[LoadSample]
    inside, seconds = run.counted()
    return level(inside, run.loop, load, seconds)


def numbers(text: str, option: str) -> list[float]:
    """`1,8,64` → numbers; raises `Malformed`."""
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            value = float(part)
        except ValueError:
            raise Malformed(f"{option}: {part!r} is not a number") from None
        if not 0 < value < 1e6 or (option == "--concurrency" and value != int(value)):
            raise Malformed(
                f"{option}: {part!r} must be {'a whole number of' if option == '--concurrency' else ''} above zero"
            )
        found.append(value)
    return found


def now() -> str:
    """RFC 3339, seconds."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def show(measured: Measured) -> None:
    """The levels as a table; bounds hold 80 %."""
    click.echo(f"{measured.url} ({measured.served_model}), {measured.at}")
    click.echo("load             answers   TTFT ms (80 %)        ITL ms (80 %)         E2E s   tok/s  failed")
    for one in measured.levels:
        name = f"{one.load:g} callers" if one.loop == "closed" else f"{one.load:g} requests/s"
        e2e = f"{one.e2e.value:.3f}" if one.e2e else "-"
        speed = f"{one.tokens_per_second.value:.0f}" if one.tokens_per_second else "-"
        failed = ", ".join(f"{count} {kind}" for kind, count in one.failures.items()) or "none"
        click.echo(
            f"{name:<16}{one.completed:>8}   {span(one.ttft):<22}{span(one.itl):<20}{e2e:>7}{speed:>8}  {failed}"
        )
        for note in one.notes:
            click.echo(f"  note: {note}")


def span(estimate: Estimate | None) -> str:
    """`12.3 (12.1 - 12.5)` in milliseconds."""
    if estimate is None:
        return "-"
    value, low, high = (1e3 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:.4g} ({low:.4g} - {high:.4g})"
