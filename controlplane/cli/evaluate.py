"""`serinus eval`: a data set asked of two model servers that run already, and what came of it.

`run` asks and decides, `plan` says before what it can show, `show` prints the last run. Ctrl-C or a kill loses nothing:
the same command goes on. The lines of `-o json` are a contract (`docs/contracts.md`).
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from controlplane.cli.main import LazyGroup
from controlplane.cli.signals import on_any_signal

if TYPE_CHECKING:
    from canary.weights import Arm
    from controlplane.adapters.bounded_http import BoundedHttp
    from controlplane.evaluation.loading import Loaded
    from controlplane.evaluation.runner import EvaluationOutcome, Progress, Side

CODES = {"pass": 0, "fail": 1, "wait": 3}
PROGRESS_EVERY_S = 1.0
WIDEST = 300
"""Characters of an answer in the table of differences."""


class EvalGroup(LazyGroup):
    """The commands below `serinus eval`."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "run": ("controlplane.cli.evaluate:run", "Ask both variants the data set, and decide."),
        "plan": ("controlplane.cli.evaluate:plan", "Say what the data set can show, before anyone is asked."),
        "show": ("controlplane.cli.evaluate:show", "Print the last run: the table, then the answers that differ."),
    }


@click.group(cls=EvalGroup)
def command() -> None:
    """Measure a variant's answers against stable's, before anyone gets one."""


def _file(called: Callable[..., None]) -> Callable[..., None]:
    return click.argument("file", type=click.Path(path_type=Path))(called)


def _state(called: Callable[..., None]) -> Callable[..., None]:
    words = "Folder of the answers (default: by FILE's name, in your state directory)."
    return click.option("--state", type=click.Path(path_type=Path, file_okay=False), help=words)(called)


def _output(called: Callable[..., None]) -> Callable[..., None]:
    return click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")(
        called
    )


@click.command()
@_file
@click.option("--stable", metavar="URL", help="Where stable answers, such as http://127.0.0.1:8000.")
@click.option("--canary", metavar="URL", required=True, help="Where the canary answers.")
@click.option("--stable-version", help="Digest or tag of stable: its answers are kept for later runs too.")
@click.option("--canary-version", help="Digest or tag of the canary: likewise.")
@click.option("--fresh", is_flag=True, help="Forget the answers of a run that was interrupted.")
@_state
@_output
def run(
    file: Path,
    stable: str | None,
    canary: str,
    stable_version: str | None,
    canary_version: str | None,
    fresh: bool,
    state: Path | None,
    output: str,
) -> None:
    """Ask both variants the items of FILE, an evaluation file or a canary.yml, until it is decided.

    Interrupted, the same command goes on and asks nothing twice. Exit codes: 0 pass, 1 fail, 2 bad input, 3 undecided.
    """
    from controlplane.evaluation.loading import load_file

    loaded = load_file(file)
    if loaded.scoring.compares and stable is None:
        raise click.UsageError("FILE compares with stable, so --stable is needed: where stable answers.")
    urls: dict[Arm, str | None] = {"stable": stable if loaded.scoring.compares else None, "canary": canary}
    for url in filter(None, urls.values()):
        if not url.startswith(("http://", "https://")):
            raise click.UsageError(f"expected an address such as http://127.0.0.1:8000, got {url}")
    versions: dict[Arm, str | None] = {"stable": stable_version, "canary": canary_version}
    code = asyncio.run(_run(loaded, urls, versions, _folder(file, state), output=output, fresh=fresh))
    raise SystemExit(code)


async def _run(
    loaded: "Loaded",
    urls: "Mapping[Arm, str | None]",
    versions: "Mapping[Arm, str | None]",
    folder: Path,
    *,
    output: str,
    fresh: bool,
) -> int:
    from controlplane.adapters.state_dir import locked
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.evaluation.answers import AnswerStore
    from controlplane.evaluation.endpoint import open_http
    from controlplane.evaluation.runner import evaluate

    clock = SystemClock()
    with locked(folder):
        store = AnswerStore(folder)
        http = open_http(loaded.scoring.evaluation, tls=any((url or "").startswith("https:") for url in urls.values()))
        try:
            if fresh:
                await store.forget()
            if output == "text":
                click.echo(_before(loaded))
            view = _View(output, clock.now)
            sides = {arm: _side(arm, url, versions[arm], http, loaded) for arm, url in urls.items() if url is not None}
            asking = asyncio.ensure_future(
                evaluate(loaded, sides, store, run=loaded.digest, now=clock.now, item=view.item, progress=view.progress)
            )
            on_any_signal(lambda: _leave(asking))
            try:
                outcome = await asking
            except asyncio.CancelledError:
                view.close()
                click.echo("Left before it was decided. The answers are kept; the same command goes on.", err=True)
                return CODES["wait"]
            view.end(outcome)
            if not outcome.problem:
                await store.forget()
            return CODES[outcome.verdict.verdict]
        finally:
            await http.close()
            await store.close()


def _leave(asking: "asyncio.Future[EvaluationOutcome]") -> None:
    asking.cancel()


def _side(arm: "Arm", url: str, version: str | None, http: "BoundedHttp", loaded: "Loaded") -> "Side":
    """One variant. Without a version it is known by its address until this evaluation has ended, and not after."""
    from controlplane.evaluation.endpoint import ChatEndpoint
    from controlplane.evaluation.runner import Side

    endpoint = ChatEndpoint(arm, lambda: [url], http, loaded.scoring.evaluation)
    return Side(endpoint, f"version {version}" if version else f"at {url}", lasting=version is not None)


@click.command()
@_file
@click.option("--drop", "drops", multiple=True, type=click.FloatRange(0.1, 99), help="A drop in points: items for it.")
@_output
def plan(file: Path, drops: tuple[float, ...], output: str) -> None:
    """Say how many items FILE has and the smallest drop that they can show, before anyone is asked."""
    from canary.evaluation import power
    from canary.evaluation.paired import design_of
    from controlplane.evaluation.loading import load_file

    loaded = load_file(file)
    design = design_of(loaded.units, len(loaded.scoring.evaluation.metrics))
    wanted = drops or (2.0, 5.0, 10.0)
    needed = {drop: power.items_needed(drop / 100, design.alpha) for drop in wanted}
    if output == "json":
        line = {
            "items": design.items,
            "units": design.units,
            "smallest_drop": power.smallest_drop(design.items, design.alpha),
            "items_needed": {f"{drop / 100:g}": count for drop, count in needed.items()},
            "digest": loaded.digest,
        }
        click.echo(json.dumps(line))
        return
    click.echo(_before(loaded))
    for drop, count in needed.items():
        click.echo(f"A drop of {drop:g} points needs {count} items." if count else f"{drop:g} points: too many items.")


@click.command()
@_file
@click.option("--all", "everything", is_flag=True, help="Every item, and not only those with different scores.")
@_state
@_output
def show(file: Path, everything: bool, state: Path | None, output: str) -> None:
    """Print the last run of FILE: what each criterion says, then the answers whose scores differ, the worst first."""
    from canary.errors import BadInput
    from controlplane.evaluation.answers import AnswerStore

    folder = _folder(file, state)

    async def latest() -> Any:
        store = AnswerStore(folder)
        try:
            return await store.latest()
        finally:
            await store.close()

    found = asyncio.run(latest())
    if found is None:
        raise BadInput(f"No run of {file} has ended yet in {folder}: serinus eval run {file} begins one.")
    verdict, lines = found
    wanted = [line for line in lines if everything or _loss(line) or _differs(line)]
    wanted.sort(key=_loss, reverse=True)
    if output == "json":
        for line in (*wanted, verdict):
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    for words in _table(verdict):
        click.echo(words)
    for line in wanted:
        click.echo()
        for words in _diff(line):
            click.echo(words)


class _View:
    """What is printed while it runs."""

    def __init__(self, output: str, now: Callable[[], float]) -> None:
        self._output, self._now = output, now
        self._began, self._told = now(), 0.0
        self._live = output == "text" and sys.stderr.isatty()

    def item(self, line: Mapping[str, Any]) -> None:
        """One item has its scores."""
        if self._output == "json":
            self._print(line)

    def progress(self, state: "Progress") -> None:
        """At most once a second: how many, how fast, how long at most."""
        now = self._now()
        if not self._live or now - self._told < PROGRESS_EVERY_S:
            return
        self._told = now
        rate = state.asked / max(now - self._began, 1e-3)
        left = (state.items - state.asked) / max(rate, 1e-3)
        words = f"\r{state.asked} of {state.items} items, {rate:.0f}/s, {left:.0f} s left at most"
        click.echo(f"{words:<70}", err=True, nl=False)

    def close(self) -> None:
        """Leave the progress line."""
        if self._live and self._told:
            click.echo(err=True)

    def end(self, outcome: "EvaluationOutcome") -> None:
        """The verdict."""
        self.close()
        if self._output == "json":
            self._print(outcome.line())
            return
        for words in _table(outcome.line()):
            click.echo(words)

    def _print(self, line: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _before(loaded: "Loaded") -> str:
    """What can be shown, said before it starts."""
    from canary.evaluation.criterion import can_show, planned_drop
    from canary.evaluation.paired import design_of

    design = design_of(loaded.units, len(loaded.scoring.evaluation.metrics))
    if not loaded.scoring.compares:
        return f"{design.items} items; each criterion is a limit, and stable is not asked."
    grouped = f" (in {design.units} groups)" if design.units != design.items else ""
    can = can_show(design.items, planned_drop(design)).removesuffix(".")
    return f"{can}{grouped}, if one answer in ten differs."


def _table(verdict: Mapping[str, Any]) -> list[str]:
    from canary.spec.source import printable

    rows = [f"{each['verdict'].upper():<5} {each['criterion']}: {each['why']}" for each in verdict["metrics"]]
    took = f"{verdict['asked']} of {verdict['items']} items asked, {verdict['seconds']:.1f} s"
    end = f"{verdict['verdict'].upper()}: {took}, digest {verdict['digest']}."
    if verdict.get("problem"):
        end = f"WAIT: {verdict['problem']} The same command goes on from here."
    return [printable(row) for row in (*rows, end)]


def _loss(line: Mapping[str, Any]) -> float:
    """By how much stable's scores are above the canary's, of an item; scores of limits alone count as they are."""
    return max((by.get("stable", 0.0) - by["canary"] for by in line["scores"].values()), default=0.0)


def _differs(line: Mapping[str, Any]) -> bool:
    return any(by.get("stable", by["canary"]) != by["canary"] for by in line["scores"].values())


def _diff(line: Mapping[str, Any]) -> list[str]:
    """Both answers of an item, one under the other, as plain text."""
    from canary.spec.source import printable

    scores = ", ".join(
        f"{metric} {' -> '.join(f'{by[arm]:g}' for arm in ('stable', 'canary') if arm in by)}"
        for metric, by in line["scores"].items()
    )
    rows = [f"{line['id']}: {scores}"]
    for arm in ("stable", "canary"):
        if arm in line:
            said = " ".join(str(line[arm]["text"]).split())
            calls = line[arm].get("tool_calls")
            said = f"{said} {json.dumps(calls)}" if calls else said
            rows.append(f"  {arm:<7}{said[:WIDEST]}{'…' if len(said) > WIDEST else ''}")
    return [printable(row) for row in rows]


def _folder(file: Path, state: Path | None) -> Path:
    from controlplane.adapters.state_dir import default_state_folder

    return state or default_state_folder(f"eval-{file.resolve().parent.name}-{file.stem}")
