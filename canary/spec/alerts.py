"""Where alerts go: the `alerts` of a canary.yml, one model a channel, and secrets by reference.

Used by `models.py`; read by `controlplane.alerts`. What becomes an alert, and its words, stand in `canary/alert.py`.
Values of secrets never stand in a canary.yml: it is committed, shown and stored.
"""

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.alias_generators import to_camel

from canary.spec.base import Model, length
from canary.spec.names import ObjectName
from canary.spec.source import quoted
from canary.spec.units import Text, UnreadableNumber

AlertKind = Literal[
    "rolledBack",
    "failed",
    "aborted",
    "stableNotReady",
    "blind",
    "paused",
    "awaitingApproval",
    "promoted",
    "modelDiffers",
]
"""What may be told, by the name that stands in `on`. `canary/alert.py` says when each is."""
TEMPLATE_FIELDS = (
    "id",
    "key",
    "kind",
    "state",
    "severity",
    "title",
    "sentence",
    "text",
    "rollout",
    "attempt",
    "revision",
    "at",
    "commit",
    "link",
)
"""Fields of a webhook's template, each written `$name` or `${name}`."""

_KEY = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,253}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z")
_SERVER = re.compile(r"([A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:.]{2,45}\]):[0-9]{1,5}\Z")
_REFERENCE = "such as {secret: slack-webhook, key: url}, {env: SLACK_URL} or {file: /run/secrets/slack-url}"


def _secret_key(value: str) -> str:
    if not _KEY.match(value):
        raise UnreadableNumber(f"expected a key of letters, digits, -, _ and ., such as url, got {quoted(value)}")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.match(value):
        raise UnreadableNumber(f"expected the name of an environment variable, such as SLACK_URL, got {quoted(value)}")
    return value


def _absolute_path(value: str) -> str:
    if not value.startswith(("/", "~/")) or "/../" in f"{value}/" or not value.isprintable():
        raise UnreadableNumber(f"expected a path from / or ~/, such as /run/secrets/slack-url, got {quoted(value)}")
    return value


def _mailbox(value: str) -> str:
    if not _MAILBOX.match(value):
        raise UnreadableNumber(f"expected an e-mail address such as ml-oncall@example.com, got {quoted(value)}")
    return value


def _server(value: str) -> str:
    if not _SERVER.match(value) or not 0 < int(value.rpartition(":")[2]) <= 65535:
        raise UnreadableNumber(
            f"expected a mail server and its port, such as smtp.example.com:587, got {quoted(value)}"
        )
    return value


def _template(value: str) -> str:
    """A template is JSON once its fields are filled in, whatever they are filled with."""
    template = Template(value)
    if not template.is_valid():
        raise UnreadableNumber("expected fields such as $sentence; a dollar sign itself is written $$")
    unknown = [name for name in template.get_identifiers() if name not in TEMPLATE_FIELDS]
    if unknown:
        raise UnreadableNumber(f"knows no field ${unknown[0]}; known are ${', $'.join(TEMPLATE_FIELDS)}")
    try:
        json.loads(template.substitute(dict.fromkeys(TEMPLATE_FIELDS, "x")))
    except ValueError as error:
        raise UnreadableNumber('expected JSON with each field in quotes, such as {"text": "$sentence"}') from error
    return value


class SecretRef(Model):
    """Where a secret is kept: exactly one of a Secret and its key, a variable, or a file."""

    secret: ObjectName | None = None
    """Name of the Secret; on one machine a folder of this name in `$SERINUS_SECRETS`."""
    key: Annotated[Text, AfterValidator(_secret_key)] | None = None
    """Key in the Secret; on one machine a file in that folder."""
    env: Annotated[Text, AfterValidator(_variable)] | None = None
    """On one machine: the environment variable of Serinus that holds it."""
    file: Annotated[Text, AfterValidator(_absolute_path)] | None = None
    """On one machine: the file that holds it, from `/` or `~/`."""

    @model_validator(mode="before")
    @classmethod
    def _no_value(cls, value: Any) -> Any:
        """A text in this place is most likely the secret itself, so it is not repeated in the message."""
        if isinstance(value, str):
            raise UnreadableNumber(
                f"values never stand in canary.yml; expected where it is kept, {_REFERENCE}", private=True
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        kept = [self.secret or self.key, self.env, self.file]
        if sum(place is not None for place in kept) != 1 or (self.secret is None) is not (self.key is None):
            raise UnreadableNumber(f"expected one place where it is kept, {_REFERENCE}")
        return self

    def __str__(self) -> str:
        """The reference as a person names it; never the value."""
        if self.secret is not None:
            return f"{self.secret}/{self.key}"
        return f"${self.env}" if self.env is not None else str(self.file)


class Channel(Model):
    """What all channels have in common: secrets only by reference."""

    @model_validator(mode="before")
    @classmethod
    def _no_values(cls, value: Any) -> Any:
        """`url:` where `urlFrom:` is meant: say so, and do not repeat what stands there."""
        if isinstance(value, Mapping):
            references = {to_camel(name) for name in cls.model_fields if name.endswith("_from")}
            for key in value:
                if f"{key}From" in references:
                    hint = f"write {key}From: where it is kept, {_REFERENCE}"
                    raise UnreadableNumber(f"values never stand in canary.yml; {hint}", key=str(key), private=True)
        return value


class Slack(Channel):
    """A Slack channel, by an incoming webhook."""

    channel: Text | None = None
    """The channel, such as `#ml-releases`; quoted, since `#` begins a comment. A webhook of an app has its own."""
    url_from: SecretRef
    """Where the webhook's address is kept."""


class Teams(Channel):
    """A Microsoft Teams channel, by a workflow that posts what it is sent."""

    url_from: SecretRef
    """Where the workflow's address is kept."""


class Discord(Channel):
    """A Discord channel, by a webhook."""

    url_from: SecretRef
    """Where the webhook's address is kept."""


class PagerDuty(Channel):
    """A PagerDuty service, by Events API v2."""

    routing_key_from: SecretRef
    """Where the integration's routing key is kept."""
    region: Literal["us", "eu"] = "us"
    """Where the account is."""


class Opsgenie(Channel):
    """An Opsgenie team, by the Alert API."""

    api_key_from: SecretRef
    """Where the integration's API key is kept."""
    region: Literal["us", "eu"] = "us"
    """Where the account is."""


class Email(Channel):
    """Mail over SMTP."""

    to: Annotated[tuple[Annotated[Text, AfterValidator(_mailbox)], ...], *length(1)]
    """Who gets it."""
    sender: Annotated[Text, AfterValidator(_mailbox), Field(alias="from")]
    """Who it is from."""
    server: Annotated[Text, AfterValidator(_server)]
    """The mail server and its port, such as `smtp.example.com:587`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; `none` sends no credentials."""
    username_from: SecretRef | None = None
    """Where the user's name is kept, if the server asks for one."""
    password_from: SecretRef | None = None
    """Where the password is kept."""

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if (self.username_from is None) is not (self.password_from is None):
            raise UnreadableNumber("expected both usernameFrom and passwordFrom, or neither")
        if self.security == "none" and self.username_from is not None:
            raise UnreadableNumber(
                "a password is not sent over a connection that anybody can read; use starttls or tls"
            )
        return self


class Webhook(Channel):
    """Any server that takes JSON: CloudEvents 1.0, or a template of your own."""

    url_from: SecretRef
    """Where its address is kept."""
    signing_key_from: SecretRef | None = None
    """Where the key of the signature (Standard Webhooks) is kept; unsigned without."""
    token_from: SecretRef | None = None
    """Where a bearer token is kept, if the server asks for one."""
    template: Annotated[Text, AfterValidator(_template)] | None = None
    """The body as JSON with fields such as `$sentence`; a CloudEvent when left out."""


class Alertmanager(Channel):
    """A Prometheus Alertmanager, by its API v2."""

    url_from: SecretRef
    """Where its address is kept, such as http://alertmanager.monitoring.svc:9093."""
    token_from: SecretRef | None = None
    """Where a bearer token is kept, if something before it asks for one."""


class Alert(Model):
    """One place to tell: exactly one channel, and what it is told."""

    slack: Slack | None = None
    """A Slack channel."""
    teams: Teams | None = None
    """A Microsoft Teams channel."""
    discord: Discord | None = None
    """A Discord channel."""
    pagerduty: PagerDuty | None = None
    """A PagerDuty service."""
    opsgenie: Opsgenie | None = None
    """An Opsgenie team."""
    email: Email | None = None
    """Mail."""
    webhook: Webhook | None = None
    """Any server that takes JSON."""
    alertmanager: Alertmanager | None = None
    """A Prometheus Alertmanager."""
    on: Annotated[tuple[AlertKind, ...], *length(1)] | None = None
    """What it is told; everything when left out, but channels that page people are told no good news."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in CHANNELS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UnreadableNumber(f"expected exactly one of {', '.join(CHANNELS)}, found {found}")
        return self

    @property
    def channel(self) -> Channel:
        """The one that was given."""
        found: Channel = next(each for name in CHANNELS if (each := getattr(self, name)) is not None)
        return found


CHANNELS = tuple(name for name in Alert.model_fields if name != "on")
"""The channels by their keys."""
