"""Charts as SVG, drawn from plain series: horizontal bars with their 80 % range, and lines over a load. No library,
no script.

Called by `serinus profile compare` and `measure`, which write the text to .svg or, wrapped, to .html files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from profiles.interval import Estimate

WIDTH = 760
LABEL = 190
ROW = 30
TOP = 46
PLOT = WIDTH - LABEL - 110
INK = "#1f2328"
FAINT = "#d0d7de"
BAR = "#e3b505"
RANGE = "#7a5c00"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: a name and a value with bounds, in the chart's unit; None where there is nothing to show, with the
    reason.
    """

    name: str
    estimate: Estimate | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChartPanel:
    """One chart: a title with its unit, and rows."""

    title: str
    bars: Sequence[Bar]


def svg(panels: Sequence[ChartPanel], heading: str) -> str:
    """All panels below each other, as one SVG document."""
    parts: list[str] = []
    y = float(TOP)
    for panel in panels:
        drawn, height = draw(panel, y)
        parts += drawn
        y += height
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:g}" viewBox="0 0 {WIDTH} {y:g}" '
        f'role="img" aria-label="{escape(heading)}" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(heading)}</text>\n{body}\n</svg>\n'
    )


def draw(panel: ChartPanel, y: float) -> tuple[list[str], float]:
    """`(SVG elements, height)` of one panel."""
    top = max((bar.estimate.high for bar in panel.bars if bar.estimate), default=1.0) or 1.0
    parts = [f'<text x="16" y="{y + 18}" font-weight="600">{escape(panel.title)}</text>']
    for index, bar in enumerate(panel.bars):
        middle = y + 30 + index * ROW + ROW / 2
        parts.append(f'<text x="{LABEL - 10}" y="{middle + 4}" text-anchor="end">{escape(bar.name)}</text>')
        if bar.estimate is None:
            parts.append(f'<text x="{LABEL}" y="{middle + 4}" fill="#656d76">{escape(bar.note or "no value")}</text>')
            continue
        value, low, high = (PLOT * number / top for number in (bar.estimate.value, bar.estimate.low, bar.estimate.high))
        parts += [
            f'<rect x="{LABEL}" y="{middle - 9}" width="{value:.1f}" height="18" rx="2" fill="{BAR}"/>',
            f'<path d="M{LABEL + low:.1f} {middle}H{LABEL + high:.1f}" stroke="{RANGE}" stroke-width="2"/>',
            f'<text x="{LABEL + high + 8:.1f}" y="{middle + 4}">{number(bar.estimate.value)}</text>',
        ]
    height = 30 + len(panel.bars) * ROW + 16
    parts.append(f'<line x1="{LABEL}" x2="{LABEL}" y1="{y + 26}" y2="{y + height - 14}" stroke="{FAINT}"/>')
    return parts, height


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def html(panels: Sequence[ChartPanel], heading: str) -> str:
    """The same as a page that needs nothing else."""
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(heading)}</title>\n'
        f'<body style="margin:24px;background:#f6f8fa">\n{svg(panels, heading)}'
        f'<p style="font:13px system-ui;color:#656d76">Bars are expected values, lines hold 80 %.</p>\n</body></html>\n'
    )
