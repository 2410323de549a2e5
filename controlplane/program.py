"""The whole program for one machine, on a page: what is opened, what runs, in which order it ends.

Called by `serinus run`, `serinus demo` and the benchmarks. Decides nothing: settings and the plan come in, adapters are
put together here and nowhere else, and `controlplane.reconcile` carries the rollout through.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from canary.drain import longest
from canary.errors import BadInput, ExternalError
from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest, Snapshot, Verb, request_id
from canary.spec import revision
from canary.spec.models import LocalPlatform, ModelCanary
from canary.spec.stored import from_text, to_text
from canary.weights import Arm
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.callback_notifier import CallbackNotifier
from controlplane.adapters.cost_source import rates_of
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.local_metrics import open_metrics, stop_left_behind
from controlplane.adapters.processes import ProcessPlatform
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.adapters.state_dir import locked
from controlplane.adapters.system_clock import SystemClock
from controlplane.alerts import open_notifier
from controlplane.evaluation.loading import Loaded
from controlplane.evaluation.rehearsal import LocalRehearsal
from controlplane.observability.serving import ServingRecord
from controlplane.ports import Ports, Stored
from controlplane.profiles.identity import MOST_BYTES
from controlplane.profiles.served import ServedIdentity
from controlplane.reconcile.managed_rollout import ManagedRollout
from controlplane.reconcile.watch import Periods, run_until_done
from controlplane.view.live import LiveRecord
from profiles.catalogue import Catalogue

ADDRESS_PERIOD = 0.1
"""Seconds between two looks at where the replicas are."""
GRACE = 2.0
"""Seconds that Envoy may take to answer what it has begun before it is stopped."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears what while a rollout runs. Every callback returns at once."""

    say: Callable[[str], None] = lambda _sentence: None
    """One sentence about the machine: a port chosen, a program that died and what happens next."""
    event: Callable[[Event], None] = lambda _event: None
    """An entry of the history, after it was saved."""
    update: Callable[[Rollout, Snapshot], None] = lambda _rollout, _seen: None
    """After each pass: the state and the snapshot."""
    serving: Callable[["Serving"], None] = lambda _serving: None
    """Once, when clients can connect."""
    commit: str = ""
    """The commit that brought the plan, where there is one; alerts name it."""
    closing: Callable[[], Awaitable[None]] | None = None
    """Awaited after the rollout has ended and before anything is stopped: the last moment for clients to leave."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where things are on this machine."""

    address: str
    """Where clients connect, `host:port`."""
    metrics: str
    """Where the numbers come from, in words."""
    replicas: Callable[[], Mapping[Arm, Mapping[str, str]]]
    """Addresses of the ready replicas by arm and name."""


@dataclass(slots=True)
class Controls:
    """What a person can do to a running rollout; handed in, so that signals and tests can use it."""

    requests: asyncio.Queue[OperatorRequest] = field(default_factory=asyncio.Queue)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to leave at once, with everything serving on as it is; the same command goes on from there."""

    def ask(self, verb: Verb, by: str, at: float, *, full: bool = False) -> None:
        """Ask the rollout for something."""
        self.requests.put_nowait(OperatorRequest(request_id(verb, at, token_hex(3)), verb, by, at, full))


async def run_rollout(
    plan: ModelCanary,
    *,
    state: Path,
    keep: bool = False,
    audience: Audience | None = None,
    controls: Controls | None = None,
    known: Catalogue | None = None,
    evaluation: Loaded | None = None,
) -> Rollout:
    """Carry out one rollout on this machine, to its end (or until `controls.leave`); answers its last state.

    `known` has the prices of GPUs, the package's own when left out; `evaluation` is the plan's own, with its data set.
    Raises `BadInput` before anything starts, and `ExternalError` when the machine cannot do it at all (no Envoy, a port
    in use).
    """
    audience, controls, clock = audience or Audience(), controls or Controls(), SystemClock()
    local = plan.spec.platform.local
    if local is None:
        raise BadInput(f"{plan.metadata.name} is not a plan for this machine: its platform is not `local`.")
    if plan.spec.evaluation is not None and evaluation is None:
        raise BadInput(f"{plan.metadata.name} has an evaluation, and its data set was not read; nothing was started.")
    with locked(state):
        async with AsyncExitStack() as world:
            store = SqliteStore(state / "serinus.db")
            world.push_async_callback(store.close)
            older = await store.load(plan.metadata.name)
            world.push_async_exit(_undo_start(store, plan.metadata.name, state))
            background = await world.enter_async_context(asyncio.TaskGroup())
            platform = await world.enter_async_context(
                ProcessPlatform(
                    state,
                    now=clock.now,
                    foreign_ok=local.listeners == "user",
                    answered=lambda replica: router.answered(replica),  # noqa: PLW0108 - it is opened after this
                )
            )
            router = await world.enter_async_context(_envoy(plan, local, state, clock, audience.say))
            metrics = await world.enter_async_context(
                open_metrics(
                    local,
                    plan.spec,
                    folder=state / "prometheus",
                    router=router,
                    platform=platform,
                    clock=clock,
                    say=audience.say,
                    rates=rates_of(plan.spec, known),
                )
            )
            notifier = await world.enter_async_context(
                open_notifier(
                    plan,
                    CallbackNotifier(audience.event),
                    store=store,
                    state=state,
                    clock=clock,
                    say=audience.say,
                    spawn=background.create_task,
                    commit=audience.commit,
                )
            )
            http = BoundedHttp(most_bytes=MOST_BYTES)
            world.push_async_callback(http.close)
            identity = None
            if plan.spec.fingerprint.policy != "ignore":
                identity = ServedIdentity(plan.spec, platform.endpoints, http, clock=clock, files=True)
            rehearsal = None
            if evaluation is not None:
                rehearsal = LocalRehearsal(
                    evaluation, platform.endpoints, state, identity=revision(plan), now=clock.now, say=audience.say
                )
                world.push_async_callback(rehearsal.close)
            ports = Ports(
                clock, platform, router, metrics.source, store, notifier, identity=identity, rehearsal=rehearsal
            )
            keepers = [
                background.create_task(router.tend(), name="Envoy keeper"),
                background.create_task(_keep_addresses(platform, router, audience.say), name="address keeper"),
                background.create_task(_take_requests(controls, store, plan.metadata.name), name="request taker"),
            ]
            audience.serving(Serving(router.address, metrics.words, platform.endpoints))

            ended = await _one_after_the_other(
                plan, older, ports, metrics.period, background, _noted(plan, audience, state, clock), controls
            )

            if rehearsal is not None and ended.finished:
                await rehearsal.forget()
            if audience.closing:
                await audience.closing()
            for keeper in keepers:
                keeper.cancel()
            if not (keep or controls.leave.is_set()):
                if metrics.server:
                    await metrics.server.close()
                await router.close(longest(plan.spec, counted=True))  # the winner finishes what it has begun
                await platform.close()
    return ended


def _noted(plan: ModelCanary, audience: Audience, state: Path, clock: SystemClock) -> Audience:
    """The same audience, with each pass noted beside the store for viewers in other processes."""
    record = LiveRecord(state, clock.now, plan.spec)
    serving = ServingRecord(state, clock.now, plan.metadata.name, plan.spec)

    def update(rollout: Rollout, seen: Snapshot) -> None:
        audience.update(rollout, seen)
        record.note(rollout, seen)
        serving.note(seen.evidence.counters, last=rollout.finished)

    return replace(audience, update=update)


def _undo_start(store: SqliteStore, name: str, state: Path) -> Callable[..., Awaitable[None]]:
    """Ends everything when the start fails before there is a rollout; one that is under way goes on serving."""

    async def undo(_type: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        stored = await store.load(name)
        if stored is None or stored.rollout.finished:
            await _stop_everything(state)

    return undo


async def stop_all(state: Path, drain: float = GRACE) -> None:
    """Stop whatever an earlier run left serving with its state in this folder. Touches nothing else.

    Open requests are finished first, for at most `drain` seconds; new clients are refused meanwhile.
    """
    with locked(state):
        await _stop_everything(state, drain)


async def _stop_everything(state: Path, drain: float = GRACE) -> None:
    async with ProcessPlatform(state, now=SystemClock().now) as platform:
        envoy = EnvoyProcess(state / "envoy", lambda _sentence: None)
        await asyncio.gather(envoy.stop_left_behind(drain), stop_left_behind(state / "prometheus"))
        await platform.close()


async def _one_after_the_other(
    plan: ModelCanary,
    older: Stored | None,
    ports: Ports,
    period: float,
    background: asyncio.TaskGroup,
    audience: Audience,
    controls: Controls,
) -> Rollout:
    """First give back the traffic of an unfinished older plan, if there is one; then carry out this one."""
    name, wanted = plan.metadata.name, revision(plan)
    plans = [(plan, "")]
    if older is not None and not older.rollout.finished and older.rollout.revision != wanted:
        audience.say(f"An unfinished rollout of another plan for {name} gives its traffic back first.")
        plans.insert(0, (from_text(older.spec_text), wanted))
    ended: Rollout | None = None
    for each, superseded_by in plans:
        managed = ManagedRollout(
            each,
            text=to_text(each),
            revision=revision(each),
            ports=ports,
            interval=_interval(each),
            say=audience.say,
            spawn=background.create_task,
            superseded_by=superseded_by,
        )
        ended = await _carry_one_through(managed, period, audience, controls)
        if controls.leave.is_set():
            break
    if ended is None:
        raise BadInput(f"{name} was left before it began; nothing was started.")
    return ended


async def _carry_one_through(
    managed: ManagedRollout, period: float, audience: Audience, controls: Controls
) -> Rollout | None:
    def tell() -> None:
        if managed.rollout is not None:
            audience.update(managed.rollout, managed.board.seen())

    await run_until_done(managed, Periods(evidence=period), tell, controls.leave)
    return managed.rollout


def _envoy(
    plan: ModelCanary, local: LocalPlatform, state: Path, clock: SystemClock, say: Callable[[str], None]
) -> EnvoyRouter:
    """Envoy with the plan's own latency limits among its histogram bounds, so that a gate's limit is exact."""
    gates = [gate for stage in plan.spec.stages for gate in stage.gates]
    limits = [1000 * gate.limit for gate in gates if gate.quantile is not None and not gate.relative]
    return EnvoyRouter(
        state / "envoy",
        listen=local.listen,
        now=clock.now,
        cohort=plan.spec.cohort,
        sticky=plan.spec.sticky,
        limits_ms=limits,
        say=say,
    )


async def _keep_addresses(platform: ProcessPlatform, router: EnvoyRouter, say: Callable[[str], None]) -> None:
    """Tell Envoy where the replicas are, whenever that changes."""
    known: object = None
    complaint = ""
    while True:
        addresses, ready = platform.addresses(), platform.endpoints()
        if (addresses, ready) != known:
            try:
                await router.set_endpoints(addresses, ready)
                known, complaint = (addresses, ready), ""
            except ExternalError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    say(f"Envoy does not know the new addresses yet: {complaint}. It is tried again.")
        await asyncio.sleep(ADDRESS_PERIOD)


async def _take_requests(controls: Controls, store: SqliteStore, name: str) -> None:
    """Put what a person asked for where the loop finds it, and where it survives a crash."""
    while True:
        await store.ask(name, await controls.requests.get())


def _interval(plan: ModelCanary) -> float:
    local = plan.spec.platform.local
    return local.scrape_interval if local else 1.0
