"""Evidence for all rollouts of a cluster from one Prometheus: one tick asks once for everybody, whatever their number.

The operator registers rollouts, calls `tick` every `period`, and gives each rollout its `source`. Counters are raw
samples of a short range, as in `controlplane.adapters.prometheus`, so each comes with the time of its scrape; the
answer is split by owner (`series_attribution.py`) into ledgers (`rollout_series.py`). What makes an answer useless for
everybody is told to everybody; what makes it useless for one rollout, to that one alone: a series, a rollout that fails
is missing data of that one. However large an answer is, the event loop has its turn while it is taken in. Differences
nothing and decides nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from traceback import clear_frames
from typing import NamedTuple

from canary import format as fmt
from canary.errors import ExternalError, Unavailable
from canary.snapshot import Counters, clauses
from canary.spec.sources import PROFILES
from canary.staleness import STALE_INTERVALS
from controlplane.adapters.answer_budget import Hold
from controlplane.adapters.bounded_http import TooLarge
from controlplane.adapters.prometheus_api import PrometheusApi, QueryRefused
from controlplane.adapters.prometheus_gates import duration, query_of
from controlplane.adapters.prometheus_parse import Newest
from controlplane.evidence.anomaly_score import anomaly_score
from controlplane.evidence.gate_queries import Answer, GateQueryRunner, Spawn, read
from controlplane.evidence.history import history
from controlplane.evidence.metric_locations import EVERYWHERE, Key, Labels, MetricLocations, SlotsSeen
from controlplane.evidence.promql_selectors import Family, family_of, selectors
from controlplane.evidence.rollout_series import RolloutSeries
from controlplane.evidence.series_attribution import GATEWAY_PROFILES, SeriesOwners
from controlplane.evidence.series_places import SERIES_AT_ONCE, SeriesPlaces
from controlplane.ports import Clock

LONGEST_PERIOD_S = 5.0
TICKS_A_SCRAPE = 5
"""How often Prometheus is asked between two scrapes that lie far apart: news must not wait for as long as a scrape."""
SHORTEST_PERIOD_S = 1.0
APART_S = 60.0
"""Seconds for which namespaces are asked about each by itself, after the question for all had too large an answer."""
APART_AT_ONCE = 4
FORGET_AFTER_S = 60.0
"""Seconds after which a rollout that has had too many series may be met anew: they may have gone since."""
LONGEST_PATIENCE_S = 0.5
"""How long a rollout's counters wait for the answers to its own gates' queries."""
PASTS_AT_ONCE = 4
MOST_OLD_SERIES = 10_000
"""Series that are remembered after they vanished, besides as many as there are."""
MOST_BYTES = 64 * 1024 * 1024
"""An answer for a thousand rollouts has some 20 MB; `BoundedHttp` has to let it through."""
Question = tuple[Family, str]
"""What is asked about, and for which namespace; empty for all of them."""


def period_of(interval: float) -> float:
    """Seconds between two ticks for so many between two scrapes."""
    return min(interval, max(SHORTEST_PERIOD_S, min(interval / TICKS_A_SCRAPE, LONGEST_PERIOD_S)))


class SharedPrometheus:
    """Counters of every registered rollout, as of the last tick."""

    def __init__(
        self,
        api: PrometheusApi,
        *,
        clock: Clock,
        interval: float,
        labels: Labels | None = None,
        spawn: Spawn | None = None,
        queries_at_once: int = 8,
    ) -> None:
        """`interval`: seconds between scrapes; `spawn` runs people's own queries in the background (None: waits)."""
        self.api = api
        self.interval = interval
        self.labels = labels or Labels()
        self.period = period_of(interval)
        """Seconds between two ticks."""
        self.window = STALE_INTERVALS * interval
        """Seconds after which a sample is not the present any more."""
        self.slipped = 0
        """Ticks that began more than half a period late."""
        self.lag_s = 0.0
        """How late the last tick began."""
        self.past = asyncio.Semaphore(PASTS_AT_ONCE)
        """Who reads the past waits here: a leader that takes over hundreds must not bury Prometheus, nor itself."""
        self._clock = clock
        self._readings = GateQueryRunner(api, spawn, at_once=queries_at_once)
        self._owners = SeriesOwners(self.labels)
        self._ledgers: dict[Key, RolloutSeries] = {}
        self._slots: dict[Key, SlotsSeen] = {}
        self._series = SeriesPlaces(self._owners, self._ledgers, api.budget.hold("series"))
        self._listed = 0
        """Series in the answers of the last tick."""
        self._met_anew_at = float("-inf")
        self._news: dict[Key, Counters | ExternalError] = {}
        self._suspicion: dict[Key, float] = {}
        self._awaited: dict[Key, asyncio.Event] = {}
        """Set once a rollout is registered whose past somebody waits to read."""
        self._questions: Mapping[Question, str] | None = None
        self._apart: set[Family] = set()
        """Families whose namespaces are asked about each by itself: one of them has more than all may have."""
        self._apart_until = float("inf")
        self._few = asyncio.Semaphore(APART_AT_ONCE)
        self._due: float | None = None
        self._answered_at: float | None = None

    def register(self, key: Key, places: MetricLocations) -> None:
        """From the next tick on this rollout's numbers are read. Registering it again moves it.

        Raises `BugError` for names that are none, which would spoil the question for everybody.
        """
        selectors([places], self.labels)
        self.forget(key)
        self._ledgers[key] = RolloutSeries(places)
        self._questions = None
        if key in self._awaited:
            self._awaited.pop(key).set()

    def forget(self, key: Key) -> None:
        """Nothing is read for this rollout any more."""
        ledger = self._ledgers.pop(key, None)
        if ledger is not None:
            self._owners.drop(key)
            self._slots.pop(key, None)
            self._news.pop(key, None)
            self._suspicion.pop(key, None)
            self._questions = None
            self._series.forget([ledger])

    def close(self) -> None:
        """Nothing is asked here any more: its memory is others' to have."""
        self._series.clear()

    def source(self, key: Key) -> "SharedPrometheusSource":
        """The rollout's own metric source."""
        return SharedPrometheusSource(self, key)

    def places(self, key: Key) -> MetricLocations | None:
        """Where a rollout's numbers are; None for one that is not registered."""
        ledger = self._ledgers.get(key)
        return ledger.places if ledger else None

    async def registered(self, key: Key) -> MetricLocations:
        """Where a rollout's numbers are, as soon as that is known: what counts them may still be looked for."""
        while (places := self.places(key)) is None:
            await self._awaited.setdefault(key, asyncio.Event()).wait()
        return places

    def newest(self, key: Key) -> Counters:
        """The rollout's counters of the last tick; raises as `PrometheusSource.read` does."""
        if self._answered_at is None and not self._news:
            raise Unavailable(f"Prometheus on {self.api.url} has not been asked yet.")
        news = self._news.get(key)
        if news is None:
            raise ExternalError("Nothing has been read for this rollout yet.")
        if isinstance(news, ExternalError):
            raise type(news)(str(news))
        silent = self._clock.now() - (self._answered_at or 0.0)
        if silent > self.window + self.period:
            raise Unavailable(f"Prometheus on {self.api.url} was heard {fmt.duration(silent)} ago: the ticks are late.")
        return news

    def suspicion(self, key: Key) -> float:
        """How much worse the canary's newest requests look than its earlier ones, from 0 to 1: no verdict."""
        return self._suspicion.get(key, 0.0)

    async def tick(self) -> None:
        """Ask once for everybody."""
        self._note_time(self._clock.now())
        if not self._ledgers:
            return
        self._meet_anew()
        bugs = self._look_at_slots()
        if self._questions is None:
            self._questions = self._asked()
        own = {
            query_of(gate): each.places.namespace
            for each in self._ledgers.values()
            if each.asks
            for gate in each.places.gates
            if gate.asks
        }
        await self._readings.ask(own)
        questions = self._questions
        failures, senseless = await self._ask(questions)
        if len(failures) < len(questions):
            self._answered_at = self._clock.now()
        self._ask_apart(failures)
        told = _Told(failures, bugs, senseless)
        # Nobody waits for the queries of others.
        await self._publish([key for key, each in self._ledgers.items() if not each.asks], told, {})
        if own:
            answers = await self._readings.taken(min(self.period / 4, LONGEST_PATIENCE_S))
            await self._publish([key for key, each in self._ledgers.items() if each.asks], told, answers)

    async def _ask(self, questions: Mapping[Question, str]) -> tuple[dict[Question, ExternalError], int]:
        """Take in the answers to these; why there are none to some, and how many series make no sense."""
        failures: dict[Question, ExternalError] = {}
        senseless, self._listed = 0, 0
        with ExitStack() as stack:
            held = {each: stack.enter_context(self.api.budget.hold(each)) for each in questions}
            asked = [self._newest(each, query, held[each]) for each, query in questions.items()]
            found = await asyncio.gather(*asked, return_exceptions=True)
            for ledger in self._ledgers.values():
                ledger.begin()
            for question, answer in zip(questions, found, strict=True):
                if isinstance(answer, Newest):
                    try:
                        senseless += answer.unreadable + await self._take(question, answer)
                    except TooLarge as error:
                        failures[question] = self._failure(error)
                    self._listed += len(answer.labels)
                elif isinstance(answer, Exception):
                    failures[question] = self._failure(_without_frames(answer))
                else:
                    raise answer
        return failures, senseless

    def _failure(self, error: Exception) -> ExternalError:
        """Why a question has no answer of use."""
        if isinstance(error, TooLarge):
            return self.api.too_large(error)
        return error if isinstance(error, ExternalError) else _bug(error)

    def _note_time(self, now: float) -> None:
        due = now if self._due is None else self._due
        self.lag_s = max(now - due, 0.0)
        if self.lag_s > self.period / 2:
            self.slipped += 1
        self._due = max(due + self.period, now)

    def _asked(self) -> dict[Question, str]:
        """What is asked for all rollouts together, or for each namespace by itself."""
        since = f"[{duration(self.window)}]"
        everybody = [each.places for each in self._ledgers.values()]
        questions: dict[Question, str] = {}
        for family, each in selectors(everybody, self.labels).items():
            if family not in self._apart:
                questions[family, ""] = each + since
        for namespace in {places.namespace for places in everybody} if self._apart else ():
            theirs = [places for places in everybody if places.namespace == namespace]
            for family, each in selectors(theirs, self.labels).items():
                if family in self._apart:
                    questions[family, namespace] = each + since
        return questions

    async def _newest(self, question: Question, query: str, kept: Hold) -> Newest:
        if not question[1]:
            return await self.api.newest(query, kept)
        async with self._few:
            return await self.api.newest(query, kept)

    def _ask_apart(self, failures: Mapping[Question, ExternalError]) -> None:
        """Ask about each namespace by itself, where all together have too much: then it is that one's affair alone.

        What gateways count is asked of gateways alone, and nobody else can make it grow.
        """
        now = self._clock.now()
        if self._apart and now >= self._apart_until:
            self._apart.clear()
            self._questions = None
        several = len({each.places.namespace for each in self._ledgers.values()}) > 1
        for (family, namespace), error in failures.items():
            too_much = isinstance(error.__cause__, TooLarge) or isinstance(error, QueryRefused)
            if several and too_much and family != "gateway" and not namespace:
                self._apart.add(family)
                self._apart_until, self._questions = now + APART_S, None

    def _meet_anew(self) -> None:
        """Forget series that have gone, before they fill the memory or a rollout's share."""
        if self._series.lacks_memory or len(self._series) > 2 * self._listed + MOST_OLD_SERIES:
            crowded = list(self._ledgers.values())
            self._series.clear()
        elif self._clock.now() - self._met_anew_at >= FORGET_AFTER_S:
            crowded = [ledger for ledger in self._ledgers.values() if ledger.left_out]
        else:
            return
        self._met_anew_at = self._clock.now()
        for ledger in crowded:
            ledger.forget()
        if crowded:
            self._series.forget(crowded)

    def _look_at_slots(self) -> dict[Key, ExternalError]:
        """A place of which somebody else took possession begins a new replica. Answers whose places cannot be told."""
        bugs: dict[Key, ExternalError] = {}
        changed = []
        for key, ledger in self._ledgers.items():
            try:
                slots = tuple(ledger.places.slots())
            except Exception as error:  # noqa: BLE001 - a bug met by one rollout must not make the others blind
                bugs[key] = _bug(error)
                continue
            if self._slots.get(key) != slots:
                self._owners.put(key, ledger.places, slots)
                self._slots[key] = slots
                ledger.forget()
                changed.append(ledger)
        if changed:
            self._series.forget(changed)
        return bugs

    async def _take(self, question: Question, answer: Newest) -> int:
        """Put every series' newest point into its place; answers how many have labels that are none."""
        cells = await self._series.of(question, answer.labels)
        for first in range(0, len(cells), SERIES_AT_ONCE):
            few = slice(first, first + SERIES_AT_ONCE)
            for cell, at, value in zip(cells[few], answer.at[few], answer.values[few], strict=True):
                if cell is not None:
                    cell.put(at, value)
            await asyncio.sleep(0)
        return self._series.senseless_in(answer.labels)

    async def _publish(self, keys: Sequence[Key], told: "_Told", answers: Mapping[str, Answer]) -> None:
        """These rollouts' counters, or why there are none."""
        added_up = 0
        for key in keys:
            if (ledger := self._ledgers.get(key)) is None:
                continue
            before = self._news.get(key)
            try:
                news = self._news[key] = told.bugs.get(key) or self._counters(ledger, before, told, answers)
                if isinstance(news, Counters):
                    self._suspicion[key] = anomaly_score(before if isinstance(before, Counters) else None, news)
            except Exception as error:  # noqa: BLE001 - a bug met by one rollout must not make the others blind
                self._news[key] = _bug(error)
            added_up += 1 + ledger.size
            if added_up >= SERIES_AT_ONCE:
                added_up = 0
                await asyncio.sleep(0)

    def _counters(
        self,
        ledger: RolloutSeries,
        before: Counters | ExternalError | None,
        told: "_Told",
        answers: Mapping[str, Answer],
    ) -> Counters | ExternalError:
        places = ledger.places
        counting = {family_of(row) for row in PROFILES[places.profile] if row.feeds == "requests"}
        failures = {
            family: error for (family, whose), error in told.failures.items() if whose in ("", places.namespace)
        }
        if failed := [failures[family] for family in counting if family in failures]:
            return failed[0]
        if ledger.at < 0:
            return self._nothing(ledger)
        if isinstance(before, Counters) and before.at == ledger.at:
            return before
        own = read(places.gates, answers, places.variants)
        arms = ledger.totals()
        senseless = f"{told.senseless} series of its answer make no sense" if told.senseless else ""
        return Counters(
            at=ledger.at,
            arms=arms,
            proxied=ledger.proxied,
            in_flight=ledger.in_flight(arms),
            segments=ledger.segments(arms),
            readings=own.readings,
            counted=own.counted,
            problem=clauses(
                [
                    *ledger.problems,
                    *own.problems,
                    *map(str, failures.values()),
                    senseless and f"Prometheus on {self.api.url}: {senseless}",
                ]
            ),
        )

    def _nothing(self, ledger: RolloutSeries) -> ExternalError:
        where = f"Prometheus on {self.api.url}"
        if ledger.unusable:
            return ExternalError(f"{where} has no number for the requests of {ledger.places.route} (NaN or infinite).")
        if ledger.anything:
            return ExternalError(
                f"{where} has no count of requests younger than {self.window:g} s for {ledger.places.route}: "
                "it does not reach the proxy."
            )
        return ExternalError(
            f"{where} has no sample younger than {self.window:g} s for {ledger.places.route}: it scrapes nothing of it"
            f"{self._believed(ledger.places)}."
        )

    def _believed(self, places: MetricLocations) -> str:
        """Whose targets count for a rollout that gateways count, for whoever has them elsewhere."""
        if places.profile not in GATEWAY_PROFILES or EVERYWHERE in self.labels.gateways:
            return ""
        known = sorted({each for each in (*self.labels.gateways, places.gateway) if each})
        return f", or its gateway's pods have no label {self.labels.namespace} that is one of {', '.join(known)}"


class _Told(NamedTuple):
    """What is wrong with a tick besides series."""

    failures: Mapping[Question, ExternalError]
    """Questions without an answer of use, which concern everybody who needs them."""
    bugs: Mapping[Key, ExternalError]
    """Rollouts whose places cannot be told."""
    senseless: int
    """Series that are none; nobody knows whose they are."""


def _without_frames(error: Exception) -> Exception:
    """The same error, that keeps nothing of what was being read: futures and the next tick remember it."""
    each: BaseException | None = error
    while each is not None:
        clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__
    return error


def _bug(error: Exception) -> ExternalError:
    return ExternalError(f"A bug of ours keeps these numbers from being read, please report it: {error!r}.")


class SharedPrometheusSource:
    """One rollout's share of the fleet's numbers, behind the ports `MetricSource` and `MetricHistory`."""

    def __init__(self, fleet: SharedPrometheus, key: Key) -> None:
        self._fleet = fleet
        self._key = key

    async def read(self) -> Counters:
        """The counters of the last tick; raises `Unavailable` when Prometheus is down,
        `ExternalError` without numbers.
        """
        return self._fleet.newest(self._key)

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """What Prometheus remembers of this rollout's places as they stand now; raises as `read` does.

        Waits until these are known: a new leader asks before it has found out which metrics profile fits, and without
        the past a canary that broke while nobody led would have to be convicted anew.
        """
        fleet = self._fleet
        places = await fleet.registered(self._key)
        async with fleet.past:
            return await history(fleet.api, places, fleet.labels, start, end, interval=fleet.interval, most=most)
