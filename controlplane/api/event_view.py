"""One event as the page shows it: the contract's line, and beside it a symbol, a word, a sentence and its evidence.

Used by the stream, and by `lasting.py` for attempts that have ended. The line itself is that of `docs/contracts.md`,
section 1, unchanged.
"""

import json
from typing import Any

from canary.rollout import Event, Phase, Reason
from canary.serial import event_line
from canary.verdict import GateAnswer
from controlplane.view.plain import ending_text
from controlplane.view.text import clean

_VERDICTS = {"pass": ("✔", "good"), "fail": ("✖", "bad"), "wait": ("◌", "open")}
_KINDS = {"alert": ("!", "bad"), "operator": ("☞", "open"), "weights": ("⇄", "busy"), "git": ("⎇", "busy")}
_ANSWERS = frozenset(GateAnswer)
_ENCODED = json.JSONEncoder(ensure_ascii=False).encode
_MARKED = {Reason.VARIANTS_READY: ("▲", "good"), Reason.GATE_FAILED: ("✖", "bad")}


def told(event: Event) -> dict[str, Any]:
    """The line, with what a person sees of it under `shown`."""
    line = event_line(event)
    symbol, tone = _look(event)
    return {
        **line,
        "shown": {
            "symbol": symbol,
            "tone": tone,
            "word": clean(str(event.evidence.get("verdict", ""))) if event.event == "verdict" else event.event,
            "text": ending_text(event) if event.event == "end" else clean(event.message),
            "evidence": [[clean(key), _words(value)] for key, value in line["evidence"].items() if _says(value)],
            "kind": event.event if event.event in {"verdict", "operator"} else "decisions",
            "marks": event.event in _KINDS or (event.event == "phase" and event.reason in _MARKED),
        },
    }


def _look(event: Event) -> tuple[str, str]:
    if event.event == "verdict" and event.evidence.get("verdict") in _ANSWERS:
        return _VERDICTS[event.evidence["verdict"]]
    if event.event in _KINDS:
        return _KINDS[event.event]
    if event.event == "phase" and event.reason in _MARKED:
        return _MARKED[event.reason]
    if event.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
        return "✖", "bad"
    return ("✔", "good") if event.phase is Phase.SUCCEEDED else ("●", "busy")


def _says(value: Any) -> bool:
    return value is not None and value != ""


def _words(value: Any) -> str:
    if isinstance(value, str):
        return clean(value)
    # Most evidence is a number, and to prepare for whatever may come takes longer than to write it.
    return repr(value) if type(value) in {int, float} else clean(_ENCODED(value))
