"""Writes charts of predictions and measurements to .svg or .html files."""

from collections.abc import Sequence
from pathlib import Path

from profiles.chart import Bar, ChartPanel, html, svg
from profiles.cost import scaled
from profiles.errors import Malformed
from profiles.interval import Estimate
from profiles.measured import Level, Measured


def write(panels: Sequence[ChartPanel], heading: str, path: Path) -> None:
    """One file; its ending says which kind."""
    kinds = {".svg": svg, ".html": html}
    if path.suffix not in kinds:
        raise Malformed(f"--chart: {path} must end in .svg or .html")
    try:
        path.write_text(kinds[path.suffix](panels, heading), "utf-8")
    except OSError as wrong:
        raise Malformed(f"--chart: {path} cannot be written: {wrong.strerror}") from None


def write_measured(measured: Measured, path: Path) -> None:
    """Latency and throughput of every level."""

    def panel(title: str, attribute: str, by: float) -> ChartPanel:
        bars = []
        for level in measured.levels:
            found: Estimate | None = getattr(level, attribute)
            bars.append(Bar(label(level), scaled(found, by) if found else None, "no complete answer"))
        return ChartPanel(title, bars)

    panels = [
        panel("Time to first token, ms", "ttft", 1e3),
        panel("Between tokens, ms", "itl", 1e3),
        panel("Output tokens a second", "tokens_per_second", 1.0),
    ]
    write(panels, f"{measured.served_model} at {measured.url}", path)


def label(level: Level) -> str:
    """`8 callers` or `2.5 requests/s`."""
    return f"{level.load:g} callers" if level.loop == "closed" else f"{level.load:g} requests/s"
