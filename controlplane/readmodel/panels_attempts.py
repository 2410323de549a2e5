"""Earlier attempts of a rollout: a panel to choose from, and each as it ended, told again from its history.

Used by the route of one rollout. A store keeps the whole state of the newest attempt and the events of all; what an
earlier plan said beyond its events is not known any more and is left out, never guessed.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import Any

from canary.format import duration
from canary.rollout import Event, Phase, Rollout
from canary.spec.gates import gate as gate_of
from canary.spec.models import CanarySpec, Gate, Stage
from canary.spec.units import UnreadableNumber
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ARMS, Weights
from controlplane.ports import Stored
from controlplane.readmodel.panels import Cell, Panel, cell, moment
from controlplane.readmodel.state import State, state_of
from controlplane.view.marks import UNICODE, of_phase

SHOWN = 5
"""Earlier attempts that are listed; `?attempt=` shows older ones too."""
_TONES = {Phase.SUCCEEDED: "good", Phase.ROLLED_BACK: "bad"}


def attempts_panel(newest: Rollout, earlier: Mapping[int, Sequence[Event]]) -> Panel:
    """The newest attempt and earlier ones by number, each with a link that shows it."""
    histories = {newest.attempt: newest.history, **{number: earlier[number] for number in sorted(earlier)[::-1]}}
    return Panel(
        id="attempts",
        title="Attempts",
        columns=["Attempt", "Began", "Took", "Ended", "Why"],
        rows=[_row(number, events, newest) for number, events in histories.items() if events],
        empty="This is the first attempt.",
    )


def _row(number: int, events: Sequence[Event], newest: Rollout) -> list[Cell]:
    last = events[-1]
    began = last.at - last.t
    symbol, _ = of_phase(UNICODE, last.phase)
    told = str(last.evidence.get("result", "")).replace("_", " ") if last.event == "end" else ""
    why = [event.message for event in events if event.event == "phase" and event.phase is Phase.ROLLING_BACK]
    return [
        Cell(text=f"#{number}", link="?" if number == newest.attempt else f"?attempt={number}"),
        moment(began),
        cell(duration(last.t)),
        cell(told or "under way", _TONES.get(last.phase, "busy"), symbol),
        cell(why[-1] if why else last.message),
    ]


def earlier_state(id_: str, stored: Stored, spec: CanarySpec, events: Sequence[Event], now: float) -> State:
    """An earlier attempt as it ended. `stored` and `spec` are of the newest one; `events` are not empty."""
    rollout = as_it_ended(stored.rollout, events)
    if rollout.revision != stored.rollout.revision:
        spec = _as_far_as_told(spec, events)
    past = replace(stored, rollout=replace(rollout, stage=min(rollout.stage, len(spec.stages) - 1)))
    return state_of(id_, past, None, now, spec=spec).model_copy(update={"actions": []})


def as_it_ended(newest: Rollout, events: Sequence[Event]) -> Rollout:
    """The state that these events lead to, as far as they say."""
    last, end = events[-1], dict(events[-1].evidence) if events[-1].event == "end" else {}
    phases = [event for event in events if event.event == "phase"] or [last]
    stage = max(event.stage for event in events)
    requests = end.get("requests")
    served = requests if isinstance(requests, Mapping) else {}
    lost = served.get("failed_by_shift")
    return Rollout(
        name=newest.name,
        revision=last.revision,
        attempt=last.attempt,
        began=last.at - last.t,
        phase=last.phase,
        reason=phases[-1].reason,
        message=phases[-1].message,
        since=phases[-1].at,
        stage=stage,
        weights=Weights.of_share(last.weight),
        peak=Weights.of_share(max(event.weight for event in events)),
        passed=tuple(range(stage + 1 if end.get("result") == "promoted" else stage)),
        verdicts=_verdicts(events, stage),
        harm_began=_number(end.get("harm_began")),
        decided=_number(end.get("decided")),
        zero=_number(end.get("zero")),
        result=end.get("result"),
        served={arm: count for arm in ARMS if (count := _number(served.get(arm))) is not None},
        unrouted=_number(lost),
        cut=_number(served.get("cut_by_stop")),
        history=tuple(events),
        events=len(events),
    )


def _verdicts(events: Sequence[Event], stage: int) -> tuple[GateVerdict, ...]:
    """The last word on each gate of the last stage."""
    found: dict[str, GateVerdict] = {}
    for event in events:
        said = event.evidence
        if event.event == "verdict" and event.stage == stage and said.get("verdict") in set(GateAnswer):
            samples = said.get("samples")
            found[str(said.get("gate"))] = GateVerdict(
                gate=str(said.get("gate")),
                verdict=GateAnswer(said["verdict"]),
                grounds=event.message,
                canary=_number(said.get("canary")),
                stable=_number(said.get("stable")),
                limit=_number(said.get("limit")),
                samples=dict(samples) if isinstance(samples, Mapping) else {},
            )
    return tuple(found.values())


def _as_far_as_told(spec: CanarySpec, events: Sequence[Event]) -> CanarySpec:
    """A plan with the stages and gates that the events speak of; for an attempt whose own plan is not kept."""
    shares, gates = dict[int, float](), dict[int, dict[str, Gate]]()
    for event in events:
        if event.event == "weights" and event.weight > 0:
            shares[event.stage] = event.weight
        text = event.evidence.get("gate")
        if event.event == "verdict" and isinstance(text, str):
            with suppress(UnreadableNumber):
                gates.setdefault(event.stage, {})[text] = gate_of(text)
    stages, share = [], 0.0
    for index in range(max(event.stage for event in events) + 1):
        share = shares.get(index, share)
        asked = tuple(gates.get(index, {}).values())
        stages.append(Stage.model_construct(traffic=share, hold=0.0, gates=asked))
    arms = {str(arm): getattr(spec, arm).model_copy(update={"name": arm}) for arm in ARMS}
    return spec.model_copy(update={"stages": tuple(stages), **arms})


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None
