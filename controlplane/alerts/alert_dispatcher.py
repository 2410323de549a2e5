"""Where events come in and alerts go out: one mailbox a channel, and what was missed while nobody listened.

Opened by `notifier.py`. What has to be told follows from the rollout's history, so after a
crash the history is read again and every channel gets what it was not told. Nothing here is waited for by the rollout.
"""

import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from canary.alert import AlertNotice, AlertState, Commands, hear
from canary.errors import BadInput
from canary.rollout import Event
from canary.spec import revision
from canary.spec.alerts import Alert as AlertSpec
from canary.spec.models import ModelCanary
from controlplane.adapters.dial_policy import Reach, networks_of
from controlplane.adapters.state_dir import default_state_folder
from controlplane.alerts.channel_factory import ChannelDeps, channel_of, kinds_of, missing, names_of
from controlplane.alerts.delivery_log import DeliveryLog
from controlplane.alerts.delivery_queue import WORTH_TELLING, Cap, Queue
from controlplane.alerts.mailbox import Mailbox
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import LocalSecrets
from controlplane.observability.counts import ALERTS, Counts
from controlplane.ports import Clock, RolloutStore

CAP_OF_MACHINES = Cap(messages=60, seconds=60.0)
"""For channels whose receivers tell alerts apart themselves; people get the smaller default."""
EARLIER_ATTEMPTS = 5
"""How many attempts back one looks for what was not told."""


class AlertDispatcher:
    """Tells every channel what it has to hear of. Implements `controlplane.ports.Notifier`."""

    def __init__(
        self,
        mailboxes: Sequence[Mailbox],
        commands: Commands,
        *,
        say: Callable[[str], None],
        address: str = "",
        commits: Mapping[str, str] | None = None,
    ) -> None:
        """`address`: where the dashboard answers, for links; empty for none.

        `commits`: by revision the commit that brought the plan, where one is known.
        """
        self._commits = commits or {}
        self.mailboxes = mailboxes
        self._commands, self._say, self._address = commands, say, address.rstrip("/")
        self._stories: dict[str, AlertState] = {}

    async def tell(self, event: Event) -> None:
        """Take an event in; returns at once, and takes no notice of one that comes twice."""
        self._take_in(event, replayed=False)

    async def catch_up(self, store: RolloutStore, name: str, now: float) -> None:
        """Deliver what was not told before this start; raises `ExternalError` when the store does not answer."""
        for event in await _recent_history(store, name, now):
            self._take_in(event, replayed=True)

    def _take_in(self, event: Event, *, replayed: bool) -> None:
        try:
            for alert in self._alerts(event):
                for mailbox in self.mailboxes:
                    mailbox.put(alert, replayed=replayed)
        except Exception as error:  # noqa: BLE001 - the rollout that this tells of must not end for it
            self._say(f"No alert for event {event.id}: a bug of ours, {type(error).__name__}; please report it.")

    def _alerts(self, event: Event) -> list[AlertNotice]:
        if commit := self._commits.get(event.revision):
            event = replace(event, evidence={"commit": commit, **event.evidence})
        self._stories[event.rollout], alerts = hear(
            self._stories.get(event.rollout, AlertState()), event, self._commands
        )
        link = f"{self._address}/rollouts/{quote(event.rollout, safe='')}" if self._address else ""
        return [replace(alert, link=link) for alert in alerts]


def local_deps(clock: Clock, environment: Mapping[str, str]) -> ChannelDeps:
    """Secrets and reach on one machine, where whoever writes the plan could dial anything himself."""
    networks = networks_of(environment.get("SERINUS_ALERT_NETWORKS", ""))
    return ChannelDeps(LocalSecrets(environment), Reach(networks=networks), clock.now)


async def open_mailboxes(
    alerts: Sequence[AlertSpec],
    world: ChannelDeps,
    ledger: DeliveryLog,
    *,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    counted: Callable[[str, str], None],
) -> list[Mailbox]:
    """A mailbox for each alert of a plan; none of them runs yet. `warn` is called where a channel lacks something."""
    post = Post(world.reach)
    channels = [channel_of(alert, world, post) for alert in alerts]
    await ledger.open()
    mailboxes = [
        Mailbox(
            channel,
            kinds_of(alert),
            name=name,
            ledger=ledger,
            queue=Queue(channel.keyed, channel.repeats, random.random, CAP_OF_MACHINES if channel.keyed else Cap()),
            now=world.now,
            say=say,
            counted=counted,
        )
        for alert, channel, name in zip(alerts, channels, names_of(channels), strict=True)
    ]
    for alert, mailbox in zip(alerts, mailboxes, strict=True):
        await mailbox.open()
        for clause in await missing(alert, world.secrets):
            warn(
                f"Alerts to {mailbox.channel.name} cannot be sent as it is: {clause}. The rollout goes on without them."
            )
    return mailboxes


async def open_dispatcher(
    plan: ModelCanary,
    state: Path,
    clock: Clock,
    say: Callable[[str], None],
    environment: Mapping[str, str],
    commit: str = "",
) -> AlertDispatcher:
    """The plan's channels with their mailboxes, none of which runs yet; what is missing is said.

    Raises `BadInput` for settings in the environment that mean nothing.
    """
    name, alerts = plan.metadata.name, plan.spec.alerts
    world = local_deps(clock, environment)
    ledger = DeliveryLog(state / "alerts.jsonl", now=clock.now, say=say)
    mailboxes = await open_mailboxes(alerts, world, ledger, say=say, warn=say, counted=Counts(state / ALERTS).add)
    options = "" if state == default_state_folder(name, dict(environment)) else f" --state {shlex.quote(str(state))}"
    commits = {revision(plan): commit} if commit else {}
    return AlertDispatcher(
        mailboxes, Commands(options=options), say=say, address=_dashboard(environment), commits=commits
    )


def _dashboard(environment: Mapping[str, str]) -> str:
    """Where links lead; raises `BadInput` for what no browser should open."""
    address = environment.get("SERINUS_URL", "")
    parts = urlsplit(address)
    if address and (parts.scheme not in {"http", "https"} or not parts.netloc or not address.isprintable()):
        raise BadInput("SERINUS_URL is where the dashboard answers, such as https://serinus.example.com.")
    return address


async def _recent_history(store: RolloutStore, name: str, now: float) -> list[Event]:
    """The events of the newest attempts, oldest first, as far back as anything is worth telling."""
    newest = list(await store.history(name))
    attempts = [newest] if newest else []
    while attempts and len(attempts) < EARLIER_ATTEMPTS and attempts[0][0].at > now - WORTH_TELLING:
        number = attempts[0][0].attempt
        earlier = list(await store.history(name, number - 1)) if number > 1 else []
        if not earlier:
            break
        attempts.insert(0, earlier)
    return [event for attempt in attempts for event in attempt]
