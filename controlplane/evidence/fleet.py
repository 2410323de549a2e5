"""Evidence for all rollouts of a cluster from one Prometheus: one tick asks once for everybody, whatever their number.

The operator registers rollouts, calls `tick` every `period`, and gives each rollout its `source`. Counters are raw
samples of a short range, as in `controlplane.adapters.prometheus`, so each comes with the time of its scrape; the
answer is split by owner (`owners.py`) into ledgers (`ledger.py`). What makes an answer useless for everybody is told to
everybody; what makes it useless for one rollout, to that one alone. Differences nothing and decides nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence

from pydantic_core import from_json

from canary.errors import Unavailable, WorldError
from canary.observation import Counters
from canary.spec.sources import PROFILES
from canary.weights import Arm
from controlplane.adapters.prometheus import NO_NUMBERS, STALE_INTERVALS
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import duration, query_of
from controlplane.adapters.prometheus_text import Newest
from controlplane.evidence.history import history
from controlplane.evidence.ledger import Cell, Ledger
from controlplane.evidence.owners import Owners
from controlplane.evidence.places import Key, Labels, Places, SlotsSeen
from controlplane.evidence.questions import Family, family_of, selectors
from controlplane.evidence.readings import Answer, Readings, Spawn, read
from controlplane.evidence.suspicion import suspicion
from controlplane.ports import Clock

LONGEST_PERIOD_S = 5.0
TICKS_A_SCRAPE = 5
"""How often Prometheus is asked between two scrapes that lie far apart: news must not wait for as long as a scrape."""
SHORTEST_PERIOD_S = 1.0
ROLLOUTS_AT_ONCE = 50
"""Ledgers that are added up before the rest of the program has its turn."""
LONGEST_PATIENCE_S = 0.5
"""How long a rollout's counters wait for the answers to its own gates' queries."""
PASTS_AT_ONCE = 4
MOST_OLD_SERIES = 10_000
"""Series that are remembered after they vanished, besides as many as there are."""
MOST_BYTES = 64 * 1024 * 1024
"""An answer for a thousand rollouts has some 20 MB; `CappedHttp` has to let it through."""


def period_of(interval: float) -> float:
    """Seconds between two ticks for so many between two scrapes."""
    return min(interval, max(SHORTEST_PERIOD_S, min(interval / TICKS_A_SCRAPE, LONGEST_PERIOD_S)))


class FleetMetrics:
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
        self._readings = Readings(api, spawn, at_once=queries_at_once)
        self._owners = Owners(self.labels)
        self._ledgers: dict[Key, Ledger] = {}
        self._slots: dict[Key, SlotsSeen] = {}
        self._cells: dict[str, Cell | None] = {}
        """By the labels of a series, as they stand in answers: its place, or None where it is nobody's."""
        self._answered: dict[Family, tuple[list[str], Sequence[Cell | None]]] = {}
        """The series of the last answer, and their places."""
        self._news: dict[Key, Counters | WorldError] = {}
        self._suspicion: dict[Key, float] = {}
        self._awaited: dict[Key, asyncio.Event] = {}
        """Set once a rollout is registered whose past somebody waits to read."""
        self._questions: Mapping[Family, str] | None = None
        self._due: float | None = None
        self._answered_at: float | None = None

    def register(self, key: Key, places: Places) -> None:
        """From the next tick on this rollout's numbers are read. Registering it again moves it."""
        self.forget(key)
        self._ledgers[key] = Ledger(places)
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
            self._forget_cells([ledger])

    def source(self, key: Key) -> "FleetSource":
        """The rollout's own metric source."""
        return FleetSource(self, key)

    def places(self, key: Key) -> Places | None:
        """Where a rollout's numbers are; None for one that is not registered."""
        ledger = self._ledgers.get(key)
        return ledger.places if ledger else None

    async def registered(self, key: Key) -> Places:
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
            raise WorldError("Nothing has been read for this rollout yet.")
        if isinstance(news, WorldError):
            raise type(news)(str(news))
        silent = self._clock.now() - (self._answered_at or 0.0)
        if silent > self.window + self.period:
            raise Unavailable(f"Prometheus on {self.api.url} was heard {silent:.0f} s ago: the ticks are late.")
        return news

    def suspicion(self, key: Key) -> float:
        """How much worse the canary's newest requests look than its earlier ones, from 0 to 1: no verdict."""
        return self._suspicion.get(key, 0.0)

    async def tick(self) -> None:
        """Ask once for everybody."""
        self._note_time(self._clock.now())
        if not self._ledgers:
            return
        self._look_at_slots()
        if self._questions is None:
            selected = selectors([each.places for each in self._ledgers.values()], self.labels)
            self._questions = {family: f"{each}[{duration(self.window)}]" for family, each in selected.items()}
        own = {query_of(gate) for each in self._ledgers.values() for gate in each.places.gates if gate.query}
        await self._readings.ask(own)
        families, asked = list(self._questions), [self.api.newest(query) for query in self._questions.values()]
        found = await asyncio.gather(*asked, return_exceptions=True)
        failures: dict[Family, WorldError] = {}
        for ledger in self._ledgers.values():
            ledger.begin()
        for family, answer in zip(families, found, strict=True):
            if isinstance(answer, WorldError):
                failures[family] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._take(family, answer)
            await asyncio.sleep(0)
        if len(failures) < len(families):
            self._answered_at = self._clock.now()
        # Nobody waits for the queries of others.
        await self._publish([key for key, each in self._ledgers.items() if not each.asks], failures, {})
        if own:
            answers = await self._readings.taken(min(self.period / 4, LONGEST_PATIENCE_S))
            await self._publish([key for key, each in self._ledgers.items() if each.asks], failures, answers)

    def _note_time(self, now: float) -> None:
        due = now if self._due is None else self._due
        self.lag_s = max(now - due, 0.0)
        if self.lag_s > self.period / 2:
            self.slipped += 1
        self._due = max(due + self.period, now)

    def _look_at_slots(self) -> None:
        """A place of which somebody else took possession begins a new replica."""
        changed = []
        for key, ledger in self._ledgers.items():
            slots = tuple(ledger.places.slots())
            if self._slots.get(key) != slots:
                self._owners.put(key, ledger.places, slots)
                self._slots[key] = slots
                ledger.forget()
                changed.append(ledger)
        if changed:
            self._forget_cells(changed)

    def _forget_cells(self, of: Sequence[Ledger]) -> None:
        """Look again whose these series are, and those that were nobody's."""
        self._answered.clear()
        self._cells = {
            labels: cell for labels, cell in self._cells.items() if cell is not None and cell.ledger not in of
        }

    def _take(self, family: Family, answer: Newest) -> None:
        """Put every series' newest point into its place."""
        for cell, at, value in zip(self._cells_of(family, answer.labels), answer.at, answer.values, strict=True):
            if cell is not None:
                cell.put(at, value)

    def _cells_of(self, family: Family, labels: list[str]) -> Sequence[Cell | None]:
        """The places of an answer's series; mostly they are the same series in the same order as the last time."""
        if (known := self._answered.get(family)) is not None and known[0] == labels:
            return known[1]
        cells = self._cells
        if len(cells) > 2 * len(labels) + MOST_OLD_SERIES:
            cells.clear()
        for text in labels:
            if text not in cells:
                cells[text] = self._place(from_json(text + "}"))
        found = [cells[text] for text in labels]
        self._answered[family] = labels, found
        return found

    def _place(self, labels: Mapping[str, str]) -> Cell | None:
        owner = self._owners.of(labels)
        return self._ledgers[owner.key].cell(owner, labels) if owner else None

    async def _publish(
        self, keys: Sequence[Key], failures: Mapping[Family, WorldError], answers: Mapping[str, Answer]
    ) -> None:
        """These rollouts' counters, or why there are none."""
        for number, key in enumerate(keys, 1):
            if number % ROLLOUTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (ledger := self._ledgers.get(key)) is not None:
                before = self._news.get(key)
                news = self._news[key] = self._counters(ledger, before, failures, answers)
                if isinstance(news, Counters):
                    self._suspicion[key] = suspicion(before if isinstance(before, Counters) else None, news)

    def _counters(
        self,
        ledger: Ledger,
        before: Counters | WorldError | None,
        failures: Mapping[Family, WorldError],
        answers: Mapping[str, Answer],
    ) -> Counters | WorldError:
        places = ledger.places
        counting = {family_of(row) for row in PROFILES[places.profile] if row.feeds == "requests"}
        if failed := [failures[family] for family in counting if family in failures]:
            return failed[0]
        if ledger.at < 0:
            return self._nothing(ledger)
        if isinstance(before, Counters) and before.at == ledger.at:
            return before
        own = {gate.text: read(gate, answers, places.variants) for gate in places.gates if gate.query}
        problems = [reading.problem for reading in own.values() if reading.problem]
        problems += [str(error) for error in failures.values()]
        if ledger.unusable:
            problems.insert(0, f"{ledger.unusable} series in Prometheus are not numbers {NO_NUMBERS}")
        readings: dict[str, Mapping[Arm, float]] = {text: each.values for text, each in own.items() if each.values}
        arms = ledger.totals()
        return Counters(
            at=ledger.at,
            arms=arms,
            proxied=ledger.proxied,
            segments=ledger.segments(arms),
            readings=readings,
            problem="; ".join(problems),
        )

    def _nothing(self, ledger: Ledger) -> WorldError:
        where = f"Prometheus on {self.api.url}"
        if ledger.unusable:
            return WorldError(f"{where} has no number for the requests of {ledger.places.route} (NaN or infinite).")
        if ledger.anything:
            return WorldError(
                f"{where} has no count of requests younger than {self.window:g} s for {ledger.places.route}: "
                "it does not reach the proxy."
            )
        return WorldError(
            f"{where} has no sample younger than {self.window:g} s for {ledger.places.route}: it scrapes nothing of it."
        )


class FleetSource:
    """One rollout's share of the fleet's numbers, behind the ports `MetricSource` and `MetricHistory`."""

    def __init__(self, fleet: FleetMetrics, key: Key) -> None:
        self._fleet = fleet
        self._key = key

    async def read(self) -> Counters:
        """The counters of the last tick; raises `Unavailable` when Prometheus is down, `WorldError` without numbers."""
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
