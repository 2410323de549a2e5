"""What does not change while one looks at a rollout: the versions, attempts, requests; and earlier attempts.

Used by the route of one rollout, so that the stream need not carry it every second.
"""

from canary.spec.stored import from_text
from controlplane.api.event_view import told
from controlplane.api.messages import Detail
from controlplane.api.problem import HttpProblem
from controlplane.ports import Stored
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.panels import COMMANDS, Panel, audit_panel
from controlplane.readmodel.panels_attempts import SHOWN, attempts_panel, earlier_state
from controlplane.readmodel.panels_diff import versions_panel
from controlplane.readmodel.plan_text import plan_text


async def lasting_panels(place: RolloutHandle, stored: Stored) -> list[Panel]:
    """What the canary changes, the newest attempts, and who asked for what."""
    command = "" if stored.rollout.finished else _pause(place)
    audit = audit_panel(command, await place.store.history(place.name), await place.store.requests(place.name))
    return [versions_panel(from_text(stored.spec_text).spec), await _attempts(place, stored), audit]


async def earlier_detail(place: RolloutHandle, stored: Stored, attempt: int, now: float) -> Detail:
    """An attempt before the newest, which is `stored`; raises `HttpProblem` where nothing is known of it."""
    events = await place.store.history(place.name, attempt) if attempt < stored.rollout.attempt else ()
    if not events:
        raise HttpProblem(
            404, "No such attempt", f"{place.name} has no attempt #{attempt}, or its events are not kept."
        )
    state = earlier_state(place.id, stored, from_text(stored.spec_text).spec, events, now)
    same = state.revision == stored.rollout.revision
    versions = [versions_panel(from_text(stored.spec_text).spec)] if same else []
    return Detail(
        state=state,
        verdicts=[],
        plan=plan_text(stored.spec_text) if same else "",
        waiting=[],
        panels=[*versions, await _attempts(place, stored), audit_panel("", events, ())],
        earlier=True,
        events=[told(event) for event in events],
    )


async def _attempts(place: RolloutHandle, stored: Stored) -> Panel:
    newest = stored.rollout.attempt
    before = range(newest - 1, max(newest - 1 - SHOWN, 0), -1)
    return attempts_panel(stored.rollout, {each: await place.store.history(place.name, each) for each in before})


def _pause(place: RolloutHandle) -> str:
    """The command that does what the page's first button does."""
    return f"{COMMANDS['pod' if place.folder is None else 'process']} pause {place.name}"
