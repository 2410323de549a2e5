"""The alert channels of rollouts in a cluster: secrets from Secrets, what was delivered remembered beside the history.

Opened by the controller in the background: a Secret that cannot be read, or a channel that hangs, delays no rollout.
What happened before a desk was open is told from the history.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from canary.alert import AlertNotice, Commands
from canary.errors import ExternalError
from canary.rollout import Event
from canary.spec import revision
from canary.spec.alerts import SecretRef
from canary.spec.models import ModelCanary
from controlplane.adapters.dial_policy import Network, Reach
from controlplane.alerts.alert_dispatcher import AlertDispatcher, open_mailboxes
from controlplane.alerts.channel_factory import ChannelDeps
from controlplane.alerts.delivery_log import DeliveryLog
from controlplane.alerts.mailbox import Mailbox
from controlplane.alerts.secrets import Missing
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.consent import Consent, Listed, NotAllowed
from controlplane.kubernetes.names import COMMIT
from controlplane.operator.event_log import ALERTS, EventLog, said_in
from controlplane.operator.operator_rollout import NotifierMux
from controlplane.operator.store import StatusStore
from controlplane.ports import Clock

RETRY = 10.0
"""Seconds until channels that could not be opened are tried again."""
LAST_WORDS = 300.0
"""Seconds that channels have, after a rollout's end, for what they were not told yet."""


class ClusterSecrets:
    """Secrets of one namespace, read anew for each delivery, so that a rotated one counts at once.

    And so does a consent that is taken back.
    """

    def __init__(self, consent: Consent, namespace: str) -> None:
        self._consent, self._namespace = consent, namespace

    async def read(self, reference: SecretRef) -> SecretStr:
        """The secret; raises `Missing`. Variables and files would be the operator's own, and are never read."""
        if reference.secret is None or reference.key is None:
            raise Missing(f"{reference} is on no machine of yours here; in a cluster, name a Secret and its key")
        where = f"Secret {self._namespace}/{reference.secret}"
        try:
            found = await self._consent.read(self._namespace, reference.secret)
        except NotAllowed as error:
            raise Missing(str(error)) from None
        except ExternalError as error:
            raise Missing(f"{where} cannot be read: {error}") from None
        value = found.get(reference.key)
        if value is None:
            raise Missing(f"{where} has no key {reference.key}")
        text = base64.b64decode(value).decode("utf-8", "replace").strip()
        if not text or not text.isprintable():
            raise Missing(f"{where}, key {reference.key}, holds nothing, more than one line, or control characters")
        return SecretStr(text)


class ClusterLedger(DeliveryLog):
    """Remembers deliveries in the rollout's history, so that the next leader repeats none."""

    def __init__(self, books: EventLog, owner: Object, *, now: Callable[[], float], say: Callable[[str], None]) -> None:
        super().__init__(Path(ALERTS), now=now, say=say)
        self._books, self._owner, self._number = books, owner, 0

    async def open(self) -> None:
        """Read what was delivered before."""
        for line in await self._books.lines(self._owner["metadata"]["name"], ALERTS):
            with suppress(OverflowError):  # of a line that somebody else wrote
                self._learn(said_in(line) or {})

    async def _add(self, line: dict[str, Any]) -> None:
        self._learn(line)
        self._number += 1
        numbered = {"id": f"{self._now():.6f}/{self._number}", **line}
        name = self._owner["metadata"]["name"]
        try:
            await self._books.append(name, self._owner, ALERTS, {numbered["id"]: json.dumps(numbered)})
        except ExternalError as error:
            if not self._complained:
                self._complained = True
                self._say(f"Which alerts were sent cannot be kept ({error}): after a restart some may be sent again.")


class AlertDispatchers:
    """Opens a desk for each rollout whose plan names somebody to tell."""

    def __init__(
        self,
        kube: Kube,
        *,
        clock: Clock,
        networks: Sequence[Network] = (),
        address: str = "",
        listed: Iterable[Listed] = (),
        counted: Callable[[str, str], None] = lambda _channel, _outcome: None,
        warn: Callable[[Object, str], None] = lambda _owner, _sentence: None,
    ) -> None:
        """`networks`: what may be dialled besides public and private addresses; `address`: of the dashboard.

        `listed`: Secrets that may be read without a word of their own, see `Consent`. `counted` hears of each attempt
        to tell a channel, see `Mailbox`; `warn` of channels that cannot be told, with the ModelCanary that names them.
        """
        self._counted, self._warn, self._consent = counted, warn, Consent(kube, "alerts", listed)
        self._clock, self._networks, self._address = clock, networks, address

    async def open(
        self, plan: ModelCanary, store: StatusStore, owner: Object, say: Callable[[str], None]
    ) -> AlertDispatcher:
        """The desk of a rollout, with what was missed before it was open; its mailboxes do not run yet.

        Raises `ExternalError` while the history cannot be read.
        """
        desk = await self._made(plan, store.books, owner, say)
        await desk.catch_up(store, plan.metadata.name, self._clock.now())
        return desk

    async def _made(
        self, plan: ModelCanary, books: EventLog, owner: Object, say: Callable[[str], None]
    ) -> AlertDispatcher:
        namespace = owner["metadata"]["namespace"]
        world = ChannelDeps(
            ClusterSecrets(self._consent, namespace), Reach(loopback=False, networks=self._networks), self._clock.now
        )

        def warn(sentence: str) -> None:
            say(sentence)
            self._warn(owner, sentence)

        ledger = ClusterLedger(books, owner, now=self._clock.now, say=say)
        mailboxes = await open_mailboxes(plan.spec.alerts, world, ledger, say=say, warn=warn, counted=self._counted)
        commit = (owner["metadata"].get("annotations") or {}).get(COMMIT, "")
        commits = {revision(plan): commit} if commit else {}
        return NamespacedDesk(namespace, mailboxes, say=say, address=self._address, commits=commits)


class NamespacedDesk(AlertDispatcher):
    """A desk whose alerts are told apart from those of a rollout of the same name in another namespace."""

    def __init__(
        self,
        namespace: str,
        mailboxes: Sequence[Mailbox],
        *,
        say: Callable[[str], None],
        address: str,
        commits: Mapping[str, str],
    ) -> None:
        commands = Commands("kubectl canary", f" -n {namespace}")
        super().__init__(mailboxes, commands, say=say, address=address, commits=commits)
        self._namespace = namespace

    def _alerts(self, event: Event) -> list[AlertNotice]:
        place, alerts = self._namespace, super()._alerts(event)
        link = f"{self._address}/rollouts/{place}~{event.rollout}" if self._address else ""
        return [replace(alert, id=f"{place}/{alert.id}", key=f"{place}/{alert.key}", link=link) for alert in alerts]


async def attend(
    told: NotifierMux,
    opening: Callable[[], Awaitable[AlertDispatcher]],
    over: asyncio.Event,
    clock: Clock,
    say: Callable[[str], None],
) -> None:
    """Open a desk, and deliver what comes to it until the rollout is over, and for a while what is left then."""
    while not over.is_set():
        try:
            desk = await opening()
        except ExternalError as error:
            say(f"No alerts yet: {error} It is tried again.")
            await clock.sleep(RETRY)
            continue
        if told.desk_over is over:
            told.desk = desk
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(mailbox.run()) for mailbox in desk.mailboxes]
            await over.wait()
            await asyncio.gather(*(mailbox.empty(LAST_WORDS) for mailbox in desk.mailboxes))
            for task in running:
                task.cancel()
