"""One rollout on one page, to keep, to send or to print: HTML or text, with nothing to load.

Made for `serinus report` and `kubectl canary report`. The values and sentences are those of the read model
(`controlplane.readmodel.state`), as on the dashboard; everything that comes from outside is escaped. The page has no
script, and says so to the browser.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from canary.rollout import Event
    from canary.snapshot import Snapshot
    from canary.spec.models import CanarySpec
    from controlplane.ports import Stored
    from controlplane.readmodel.state import State
    from controlplane.view.live import Live

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem .25rem 0; }
th, td { border-bottom: 1px solid #8884; vertical-align: top; } td.n { text-align: right; white-space: nowrap; }
.good { color: #187a3c; } .bad { color: #b3261e; } .open { color: #8a5a00; }
@media (prefers-color-scheme: dark) { .good { color: #6fd08c; } .bad { color: #ff8a80; } .open { color: #ffcf70; } }
.cause { border-left: 4px solid #b3261e; padding-left: .8rem; } .quiet { opacity: .7; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
@media print { body { margin: 0; max-width: none; } h2, tr { break-inside: avoid; } }
""".strip()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about, as far as its laptop or its cluster knows."""

    place: str
    """Where it runs, such as `namespace models`."""
    stored: "Stored"
    spec: "CanarySpec"
    """The plan that is carried out."""
    seen: "Snapshot"
    live: "Live | None"
    """The last look of its own process; None where there is none."""
    variants: Mapping[str, Mapping[str, Any]]
    """By arm, as their owner wrote them."""
    events: "Sequence[Event]"
    now: float
    """The moment that is shown, in seconds since the epoch."""


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a report is to be, and where it goes: `output` and `file`."""
    command = click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write to this file.",
    )(command)
    return click.option(
        "-o", "--output", type=click.Choice(["html", "text"]), default="html", show_default=True, help="Which."
    )(command)


def hand_over(subject: Subject, called: str, output: str, file: Path | None) -> None:
    """Print the report or write it to the file. `called`: the rollout as a person finds it. Raises `BadInput`."""
    page = html_of(subject) if output == "html" else text_of(subject)
    if file is None:
        click.echo(page)
        return
    _write(file, page)
    click.echo(f"The report of {called} is in {file}.", err=True)


def _write(file: Path, page: str) -> None:
    from canary.errors import BadInput

    try:
        file.write_text(f"{page}\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The report cannot be written to {file}: {error.strerror or error}.") from error


def text_of(subject: Subject) -> str:
    """The screen and the whole history."""
    from controlplane.view.marks import marks_for
    from controlplane.view.model import picture
    from controlplane.view.plain import event_text
    from controlplane.view.still import bare

    marks = marks_for(sys.stdout.encoding)
    shown = picture(subject.spec, subject.stored.rollout, subject.seen, subject.now, of_record=True)
    return "\n".join([bare(shown), *(event_text(each, marks) for each in subject.events)])


def html_of(subject: Subject) -> str:
    """The page."""
    from canary.serial import rfc3339
    from controlplane.readmodel.panels_diff import changes
    from controlplane.readmodel.plan_text import plan_text
    from controlplane.readmodel.state import state_of
    from controlplane.view.table import differences

    stored, both = subject.stored, subject.variants
    state = state_of(stored.rollout.name, stored, subject.live, subject.now, spec=subject.spec)
    title = f"{state.name}: {state.badge.word}"
    badge = f"{state.badge.symbol} {state.badge.word}"
    place = (
        f"{subject.place}, attempt {state.attempt}, revision {state.revision[:12]}; "
        f"began {state.began}, as of {rfc3339(subject.now)}, after {state.age.text}"
    )
    parts = [
        f'<h1>{escape(state.name)} <span class="{state.badge.tone}">{escape(badge)}</span></h1>',
        f'<p class="quiet">{escape(place)}</p>',
        f'<p class="{"cause" if state.ending else ""}">{escape(state.sentence)}</p>',
        *_ending(state),
        "<h2>Traffic</h2>",
        _table(
            ("", "Variant", "Share asked for", "Share in force", "Requests"),
            [(each.arm, each.name, each.asked.text, each.in_force.text, each.served.text) for each in state.arms],
        ),
        "<h2>Stages</h2>",
        _table(
            ("Share", "State", "Hold", "Gates"),
            [(each.share.text, each.state, each.hold.text, str(each.gates)) for each in state.stages],
        ),
        "<h2>Gates</h2>",
        _table(
            ("Gate", "Stable", "Canary", "Limit", "Verdict", "Requests", "Why"),
            [
                (
                    g.gate,
                    g.stable.text,
                    g.canary.text,
                    g.limit.text,
                    f"{g.badge.symbol} {g.badge.word}",
                    g.samples_text,
                    g.why,
                )
                for g in state.gates
            ],
        ),
        "<h2>What the canary changes</h2>",
        f"<pre>{escape(chr(10).join(differences(changes(both['stable'], both['canary']))) or 'nothing')}</pre>",
        "<h2>What happened</h2>",
        _table(("When", "Canary", "What", ""), [_event(each) for each in subject.events]),
        "<h2>The plan</h2>",
        f"<pre>{escape(plan_text(stored.spec_text))}</pre>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>"
    )


def _ending(state: "State") -> list[str]:
    if state.ending is None:
        return []
    how = state.ending
    told = (
        f"Decided {how.harm_to_verdict.text} after the harm began (estimated); no traffic {how.verdict_to_zero.text} "
        f"later; at most {how.peak.text} of the traffic."
    )
    return [f"<p>{escape(told)}</p>"]


def _event(event: "Event") -> tuple[str, str, str, str]:
    from canary import format as fmt
    from canary.serial import rfc3339
    from controlplane.view.text import clean

    word = str(event.evidence.get("verdict", event.event)) if event.event == "verdict" else event.event
    return rfc3339(event.at), fmt.share(event.weight), word, clean(event.message)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    titles = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(cells)}</tbody></table>"
