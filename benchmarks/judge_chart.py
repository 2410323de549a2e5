"""Draws what `judge.py` found: how long each rule takes to see each kind of harm, as one picture.

Called by `judge_publish.py`, which writes it to `docs/pictures/judge.svg`. All rules are re-tuned to roll back one
healthy canary in twenty, since a rule that rolls everything back is always the first.
"""

import math
from html import escape
from typing import Any

HARMS = {
    "err20": "errors × 20",
    "err2": "errors × 2",
    "lat20": "latency + 20 %",
    "tail25": "tail + 25 %",
    "leak": "a leak",
    "load": "slow under load only",
    "interm": "bad now and then",
    "kpi5": "KPI - 5 %",
}
OURS = "ours"
TICKS = {10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 14400: "4 h"}
LEFT, RIGHT, NEVER, TOP, ROW = 170, 700, 760, 74, 36
"""Pixels: where the axis begins and ends, where those stand that saw nothing, the first row, a row's height."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .faint { fill: #6e7781; font-size: 12px }
line { stroke: #d0d7de } .other { fill: #8c959f; fill-opacity: .55 } .ours { fill: #0a7d55 }
.span { stroke: #0a7d55; stroke-width: 3 } .title { font-weight: 600 } .times { fill: #0a7d55; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 } line { stroke: #3d444d } .ours, .times { fill: #3fb984 }
  .span { stroke: #3fb984 }
}
"""


def chart(found: dict[str, Any]) -> str:
    """The picture as SVG; `found` by harm, `retuned` and rule: median and 90 % in seconds, None: not seen."""
    height = TOP + ROW * len(HARMS) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" width="860" height="{height}" role="img">',
        "<title>Seconds from harm to rollback, by kind of harm and by rule</title>",
        f"<style>{STYLE}</style>",
        _text(0, 18, "From the harm to the rollback", "title"),
        _text(0, 38, "every rule tuned to roll back 5 % of healthy canaries; medians of 200 rollouts", "faint"),
        f'<circle cx="590" cy="14" r="6" class="ours"/>{_text(602, 18, "Serinus, and its slowest tenth")}',
        f'<circle cx="590" cy="34" r="5" class="other"/>{_text(602, 38, "rules of other tools")}',
    ]
    bottom = TOP + ROW * len(HARMS)
    for seconds, words in TICKS.items():
        parts += [_line(_x(seconds), TOP - 14, _x(seconds), bottom), _text(_x(seconds), bottom + 18, words, "faint", 1)]
    parts.append(_text(NEVER, bottom + 18, "not seen", "faint", 1))
    parts.append(_text(800, TOP - 20, "sooner", "faint"))
    for number, (harm, words) in enumerate(HARMS.items()):
        parts += _row(TOP + ROW * number + 8, words, found[harm]["retuned"])
    return "\n".join([*parts, "</svg>", ""])


def _row(y: int, words: str, rules: dict[str, Any]) -> list[str]:
    ours = rules[OURS]
    others = [rule["median"] for name, rule in rules.items() if name != OURS]
    best = min(filter(None, others), default=None)
    parts = [_text(0, y + 4, words)]
    parts += [f'<circle cx="{_x(median):.0f}" cy="{y}" r="5" class="other"/>' for median in others]
    parts.append(f'<line x1="{_x(ours["median"]):.0f}" y1="{y}" x2="{_x(ours["p90"]):.0f}" y2="{y}" class="span"/>')
    parts.append(f'<circle cx="{_x(ours["median"]):.0f}" cy="{y}" r="6" class="ours"/>')
    if best and ours["median"]:
        parts.append(_text(800, y + 4, f"{best / ours['median']:.1f} ×", "times"))
    return parts


def _x(seconds: float | None) -> float:
    """Place on the logarithmic axis."""
    if seconds is None:
        return NEVER
    low, high = math.log(10), math.log(14400)
    return LEFT + (RIGHT - LEFT) * (math.log(max(seconds, 10)) - low) / (high - low)


def _text(x: float, y: float, words: str, kind: str = "", middle: int = 0) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.0f}" y="{y}" class="{kind}"{anchor}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.0f}" y1="{y1}" x2="{x2:.0f}" y2="{y2}"/>'
