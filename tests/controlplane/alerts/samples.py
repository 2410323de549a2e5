"""Alerts as the tests of the channels need them, and secrets that would be seen anywhere."""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from canary.alert import AlertNotice, over
from canary.alert_facts import Fact
from canary.spec.alerts import SecretRef
from controlplane.alerts.secrets import Missing

REFERENCE = SecretRef(secret="channel", key="url")
HOSTILE = "<!channel> <https://evil.example|click> **bold** [x](https://evil.example) `code` & <script>\"'</script>"
"""What a variant's name or a server's last words may be made of."""

ROLLED_BACK = AlertNotice(
    id="support-llm/3/20/rolledBack",
    key="support-llm/3/rolledBack",
    number=20,
    kind="rolledBack",
    severity="critical",
    state="firing",
    rollout="support-llm",
    attempt=3,
    revision="9f2c",
    began=1_700_000_000.0,
    at=1_700_000_001.5,
    sentence="error rate: 15.6 % on the canary (3,200 requests), 0 % on stable (9,600).",
    facts=(Fact("Gate", "error_rate <= 5%"), Fact("Canary", "15.6 % (3,200 samples)"), Fact("Limit", "5 %")),
    commands=("serinus history support-llm", "serinus status support-llm"),
    link="https://serinus.example.com/rollouts/support-llm",
)
BLIND = replace(
    ROLLED_BACK,
    id="support-llm/3/7/blind",
    key="support-llm/3/blind",
    number=7,
    kind="blind",
    severity="warning",
    sentence="The metric source is silent (connection refused): the weights stay as they are until it is back.",
    facts=(),
    standing=True,
)
SEES_AGAIN = replace(over(BLIND, BLIND.at + 60, "The metric source is back."), id="support-llm/3/9/blind", number=9)


def hostile(alert: AlertNotice = ROLLED_BACK) -> AlertNotice:
    """An alert whose texts try to be obeyed."""
    return replace(alert, sentence=HOSTILE, facts=(Fact("Canary", HOSTILE),), commands=(HOSTILE,))


class Given:
    """Secrets from a table, by the reference's words."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] = dict(values)

    async def read(self, reference: SecretRef) -> SecretStr:
        try:
            return SecretStr(self.values[reference.key or ""])
        except KeyError:
            raise Missing(f"{reference} is nowhere") from None


def ref(key: str) -> SecretRef:
    """A reference to one of `Given`'s values."""
    return SecretRef(secret="given", key=key)


def strings(value: Any) -> list[str]:
    """Every text in a JSON value."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for each in value.values() for text in strings(each)]
        case list():
            return [text for each in value for text in strings(each)]
        case _:
            return []
