"""Whole rollouts as a story: a ModelCanary, the operator as a process, traffic, and what became of each request.

Used by the tests `test_stories_*.py`. A `Story` applies plans and starts operators; a `Rollout` keeps everything that
its status ever said and holds it against what clients saw at the gateway: by who answered, never by what a route says.
"""

import json
import math
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tests.cluster.bed import Node, until
from tests.cluster.charts import install_crd
from tests.cluster.traffic import Hit, Load

SERINUS = Path(sys.executable).parent / "serinus"
GATE = "error_rate <= 10%"
RATE = 120.0
"""Requests a second of a rollout whose test names no other."""
FALLING_S = 2.0
"""Seconds that a fall may take on a busy machine until the last proxy thread knows it (7 to 22 ms on a quiet one)."""
WINDOW_S = 1.0
UNBELIEVABLE = 16.0
"""Nats: a share this far above the stage is chance once in nine million windows (Chernoff's bound)."""
VARIANT: Mapping[str, Any] = {"runtime": "serinus-sim", "resources": {"cpu": "200m", "memory": "96Mi"}}
JUDGED = frozenset({"Analyzing", "Watching"})
FOUR_WEEKS = ("5%", "25%", "75%", "100%")


def stages(*shares: str, hold: str = "3s", gates: Sequence[Any] = (GATE,)) -> list[dict[str, Any]]:
    """Stages of equal length."""
    return [{"traffic": share, "hold": hold, "gates": list(gates)} for share in shares]


def host_of(namespace: str, name: str) -> str:
    """By which clients ask for the model of a rollout."""
    return f"{name}.{namespace}.example.com"


def plan(
    namespace: str,
    name: str = "chat",
    *,
    stable: Mapping[str, Any] | None = None,
    canary: Mapping[str, Any] | None = None,
    gateway: str = "kserve/kserve-ingress-gateway",
    **spec: Any,
) -> dict[str, Any]:
    """A ModelCanary from v1 to v2, the four-week plan in seconds; more fields of the variants and the spec follow."""
    return {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": name},
            "platform": {"kserve": {"gateway": gateway, "hostname": host_of(namespace, name)}},
            "stable": {"name": "v1", "uri": "hf://example/chat-bf16", **VARIANT, **(stable or {})},
            "canary": {"name": "v2", "uri": "hf://example/chat-int4", **VARIANT, **(canary or {})},
            "stages": stages(*FOUR_WEEKS),
            **spec,
        },
    }


@dataclass
class Operator:
    """One operator process; its log outlives it."""

    command: Sequence[str]
    log: Path
    process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start it, or start it again."""
        with self.log.open("a") as out:
            self.process = subprocess.Popen(self.command, stderr=out, text=True)
        return self

    def kill(self) -> None:
        """`kill -9`: it can say and write nothing more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    @property
    def said(self) -> list[str]:
        """Its sentences so far, those of earlier processes too."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(str(json.loads(line)["message"]))
            except (ValueError, KeyError):
                found.append(line)
        return found

    @property
    def led_at(self) -> float:
        """When it first began to carry out rollouts, by its own word (seconds since the epoch)."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        stamp = next(each["time"] for each in lines if "Carrying out" in each["message"])
        return datetime.fromisoformat(stamp).timestamp()

    def leads(self, times: int = 1) -> bool:
        """Whether it has begun to carry out rollouts, or begun anew after a restart."""
        return sum("Carrying out" in each for each in self.said) >= times


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a rollout's history."""

    at: float
    """Seconds since the epoch."""
    event: str
    phase: str
    reason: str
    stage: int
    weight: float
    """The share that the canary was to get from then on."""
    message: str


class Rollout:
    """What a ModelCanary says from now on, and what clients see of it."""

    def __init__(self, story: "Story", name: str) -> None:
        self.node, self.namespace, self.name = story.node, story.namespace, name
        self._story = story
        self.entries: dict[str, Entry] = {}
        """Every event that any of its statuses listed, by id."""
        self.status: dict[str, Any] = {}
        self.hits: list[Hit] = []
        """Every request of all loads that have ended, by their beginning."""
        self._over = False
        self._watch: subprocess.Popen[str] | None = None
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    # What the status says

    def reached(self, **wanted: Any) -> bool:
        """Whether the newest status says all of this."""
        return wanted.items() <= self.status.items()

    def until(self, seconds: float = 120, **wanted: Any) -> None:
        """Wait until the status says all of this."""
        until(f"{self.name} to be {wanted}", lambda: self.reached(**wanted) or self._in_vain(), seconds, every=0.05)

    def until_stage(self, stage: int, seconds: float = 120) -> None:
        """Wait until this stage, counted from 0, or a later one is judged (at 100 %: watched)."""
        until(
            f"{self.name} to be at stage {stage}",
            lambda: any(e.stage >= stage and e.phase in JUDGED for e in self.story()) or self._in_vain(),
            seconds,
            every=0.05,
        )

    def until_at_rest(self, seconds: float = 150) -> None:
        """Wait until it is decided and everything is put away."""
        until(f"{self.name} to be at rest", lambda: self.at_rest() or self._story.in_vain(), seconds)

    def at_rest(self) -> bool:
        """Whether it is decided and everything is put away."""
        told = {each["type"]: each for each in self.status.get("conditions", ())}
        return bool(told.get("Progressing", {}).get("status") == "False")

    def story(self, attempt: int | None = None) -> list[Entry]:
        """Its events in their order; of the newest attempt unless another is named."""
        numbered = {tuple(map(int, key.split("/")[1:])): entry for key, entry in self.entries.items()}
        newest = max((each[0] for each in numbered), default=0) if attempt is None else attempt
        return [numbered[key] for key in sorted(numbered) if key[0] == newest]

    def phases(self) -> list[str]:
        """The phases of the newest attempt, one after the other."""
        return [entry.phase for entry in self.story() if entry.event == "phase"]

    @property
    def peak(self) -> float:
        """The largest share that its canary was ever to get."""
        return max(entry.weight for entry in self.story())

    # What clients see

    @property
    def host(self) -> str:
        """By which clients ask for its model."""
        return host_of(self.namespace, self.name)

    @contextmanager
    def traffic(self, rate: float = RATE, **settings: Any) -> Iterator[Load]:
        """Steady traffic for the time of the block; its requests are among `hits` afterwards."""
        self.until_served()
        with self.node.load(self.host, rate=rate, **settings) as load:
            yield load
        self.hits = sorted([*self.hits, *load.hits])

    def until_served(self, seconds: float = 120) -> None:
        """Wait until the proxy knows the way to stable."""

        def answered() -> bool:
            with self.node.load(self.host, requests=20) as load:
                load.wait()
            return not load.failures()

        until(f"{self.name} to be served", answered, seconds, every=0.3)

    def by(self, variant: str) -> list[Hit]:
        """The requests that this variant answered, well or badly."""
        return [hit for hit in self.hits if hit.server == f"isvc.{self.name}-{variant}-predictor"]

    def failures(self, *, but_by: str = "") -> list[Hit]:
        """The requests that failed; those that a variant made fail are left out if named."""
        own = f"isvc.{self.name}-{but_by}-predictor"
        return [hit for hit in self.hits if hit.failure and not (but_by and hit.server == own)]

    def asked(self) -> list[tuple[float, float]]:
        """When the canary was to get which share from then on."""
        return [(entry.at, entry.weight) for entry in self.story()]

    def never_more_than_asked(self, canary: str = "v2") -> float:
        """Hold each second, and each span of one weight, against what was asked for; answers the worst surprise."""
        assert self.hits, "without traffic nobody knows what was seen at the gateway"
        times, shares = zip(*self.asked(), strict=True)
        own, worst = set(self.by(canary)), 0.0
        for span in _spans(self.hits, times):
            limit = _most(times, shares, span[0].began, span[-1].began)
            got = sum(hit in own for hit in span)
            surprise = surprise_at(got, len(span), limit)
            worst = max(worst, surprise)
            assert surprise < UNBELIEVABLE, (
                f"{got} of {len(span)} requests reached {canary} at {span[0].began:.2f} to {span[-1].began:.2f}, "
                f"where at most {limit:.2%} were to: {self.asked()}"
            )
        return worst

    def never_again(self, canary: str = "v2") -> float:
        """After a rollback nobody reaches the canary; answers seconds from the decision to its last request."""
        decided = next(entry.at for entry in self.story() if entry.phase in {"RollingBack", "RolledBack"})
        last = max((hit.began for hit in self.by(canary)), default=decided)
        assert last - decided < FALLING_S, f"{last - decided:.2f} s after the decision {canary} still got a request"
        assert self.hits[-1].began > decided + FALLING_S, "traffic has to go on for longer, to show that"
        return last - decided

    # What stays as it is

    def untouched(self, variant: str = "v1") -> dict[str, Any]:
        """What must not change of a variant that serves: its pods, and its objects but for their statuses."""
        name = f"{self.name}-{variant}"
        service = self.node.get("inferenceservice", name, self.namespace)
        deployment = self.node.get("deployment", f"{name}-predictor", self.namespace)
        assert service is not None, f"there is no InferenceService {name}"
        assert deployment is not None, f"there is no Deployment {name}-predictor"
        pods = self.node.find("pods", self.namespace, "-l", f"serving.kserve.io/inferenceservice={name}")
        return {
            "service": {key: service["metadata"].get(key) for key in ("uid", "generation", "labels", "annotations")},
            "deployment": deployment["metadata"]["generation"],
            "pods": {
                pod["metadata"]["uid"]: [each["restartCount"] for each in pod["status"].get("containerStatuses", ())]
                for pod in pods
            },
        }

    def _in_vain(self) -> bool:
        """Whether nothing more will come of waiting: never true, for it raises `AssertionError` then."""
        self._story.in_vain()
        assert not self.at_rest(), f"it is over, {self.status['phase']}: {self.status['message']}"
        return False

    def close(self) -> None:
        """Follow it no longer."""
        self._over = True
        if self._watch is not None:
            self._watch.kill()
        self._follower.join(10)

    def tell(self) -> str:
        """Its story, for people."""
        begun = self.story()[0].at if self.entries else 0.0
        lines = [f"{e.at - begun:7.2f} s {e.weight:6.2%} {e.phase}: {e.message}" for e in self.story()]
        return "\n".join([f"--- {self.name}, {len(self.hits)} requests", *lines])

    def _follow(self) -> None:
        """Read every status, through restarts of the API server too."""
        words = ("get", "modelcanary", self.name, "-n", self.namespace, "-o", "json", "--watch")
        while not self._over:
            self._watch = subprocess.Popen(
                [str(self.node.kubectl_program), "--kubeconfig", str(self.node.kubeconfig), *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self._watch.stdout is not None
            with self._watch.stdout as lines:
                for object_ in _objects(lines):
                    self._take(object_.get("status") or {})
            self._watch.wait()
            time.sleep(0.2)

    def _take(self, status: dict[str, Any]) -> None:
        for each in status.get("history", ()):
            self.entries[each["id"]] = Entry(
                datetime.fromisoformat(each["at"]).timestamp(),
                each["event"],
                each["phase"],
                each["reason"],
                each["stage"],
                float(each["weight"]),
                each["message"],
            )
        self.status = status


@dataclass
class Story:
    """A namespace, its operators and its rollouts."""

    node: Node
    namespace: str
    folder: Path
    operators: list[Operator] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)

    def operator(self, *options: str) -> Operator:
        """A further operator, started."""
        command = [
            *(str(SERINUS), "controller", "--cluster", "--namespace", self.namespace),
            *("--kubeconfig", str(self.node.kubeconfig), "--prometheus", self.node.prometheus, *options),
        ]
        log = self.folder / f"operator-{len(self.operators)}.log"
        self.operators.append(Operator(command, log).start())
        return self.operators[-1]

    def begin(self, canary: dict[str, Any]) -> Rollout:
        """Apply a ModelCanary and follow it; a known one goes on being followed."""
        self.node.apply(canary)
        name = canary["metadata"]["name"]
        known = [each for each in self.rollouts if each.name == name]
        if not known:
            self.rollouts.append(Rollout(self, name))
        return known[0] if known else self.rollouts[-1]

    def in_vain(self) -> bool:
        """Whether an operator has left by itself: never true, for it raises `AssertionError` then."""
        for each in self.operators:
            assert each.process is None or each.process.poll() is None, f"{each.log.name} ended: {each.said[-3:]}"
        return False

    def services(self) -> set[str]:
        """The InferenceServices that are there and stay."""
        found = self.node.find("inferenceservices", self.namespace)
        return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}

    def events(self) -> list[tuple[str, str]]:
        """Reason and note of every Event about a ModelCanary."""
        found = self.node.find("events.events.k8s.io", self.namespace)
        return [(each["reason"], each.get("note", "")) for each in found if each["regarding"]["kind"] == "ModelCanary"]

    def said(self) -> list[str]:
        """Every sentence of every operator."""
        return [sentence for each in self.operators for sentence in each.said]


@contextmanager
def told(node: Node, namespace: str, folder: Path) -> Iterator[Story]:
    """A story with the resource installed; at its end operators leave, and none of them has met a bug of ours."""
    install_crd(node)
    story = Story(node, namespace, folder)
    try:
        yield story
    finally:
        for operator in story.operators:
            operator.stop()
        for rollout in story.rollouts:
            rollout.close()
            say(rollout.tell())
        for operator in story.operators:
            say(f"--- {operator.log.name}\n{operator.log.read_text()}")
    strange = [each for each in story.said() if "bug of ours" in each.lower() or "Traceback" in each]
    assert not strange


def surprise_at(got: int, of: int, share: float) -> float:
    """How unlikely so many are where each comes by this chance: nats, a lower bound (Chernoff); 0 where not too many.

    One in a million is what a slot without traffic has.
    """
    share = max(share, 1e-6)
    if of == 0 or share >= 1 or got / of <= share:
        return 0.0
    seen = got / of
    unseen = (1 - seen) * math.log((1 - seen) / (1 - share)) if seen < 1 else 0.0
    return of * (seen * math.log(seen / share) + unseen)


def say(figures: str) -> None:
    """Figures that one wants to see of a test that passes, too (`pytest -rP`)."""
    print(figures)  # noqa: T201 - that is its purpose


def _spans(hits: Sequence[Hit], times: Sequence[float]) -> Iterator[Sequence[Hit]]:
    """The requests between two changes of what is asked for, and those of each second of them."""
    began = [hit.began for hit in hits]
    edges = [bisect_right(began, at) for at in times]
    for start, end in zip([0, *edges], [*edges, len(hits)], strict=True):
        if start == end:
            continue
        yield hits[start:end]
        at = began[start]
        while at < began[end - 1]:
            low, high = bisect_right(began, at - 1e-9), min(end, bisect_right(began, at + WINDOW_S))
            if high > low:
                yield hits[low:high]
            at += WINDOW_S


def _most(times: Sequence[float], shares: Sequence[float], began: float, ended: float) -> float:
    """The largest share that was asked for in this span, or so shortly before that it may still be in force."""
    first = max(bisect_right(times, began - FALLING_S) - 1, 0)
    last = bisect_right(times, ended)
    return max(shares[first:last], default=0.0)


def _objects(stream: Any) -> Iterator[dict[str, Any]]:
    """The JSON objects of a watch, which kubectl writes one after the other."""
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text += line
        if line.rstrip() == "}":
            yield decoder.raw_decode(text)[0]
            text = ""
