"""From items of `alerts` to channels: each its own, with a name and the kinds that it is told of."""

from pathlib import Path
from typing import Any

import pytest

from canary.alert import SEVERITIES
from canary.spec.alerts import CHANNELS, Alert
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel_factory import ChannelDeps, channel_of, kinds_of, missing, names_of
from controlplane.alerts.post import Post
from controlplane.alerts.secrets import LocalSecrets

A = {"env": "A"}
ITEMS: dict[str, dict[str, Any]] = {
    "slack": {"urlFrom": A},
    "teams": {"urlFrom": A},
    "discord": {"urlFrom": A},
    "pagerduty": {"routingKeyFrom": A, "region": "eu"},
    "opsgenie": {"apiKeyFrom": A},
    "email": {"to": ["a@example.com"], "from": "b@example.com", "server": "smtp.example.com:25"},
    "webhook": {"urlFrom": A, "signingKeyFrom": {"env": "B"}},
    "alertmanager": {"urlFrom": A},
}
PAGES = {"pagerduty", "opsgenie", "alertmanager"}


def world(**environment: str) -> ChannelDeps:
    return ChannelDeps(LocalSecrets(environment), Reach(), lambda: 5.0)


def test_there_is_an_item_for_every_channel() -> None:
    assert list(ITEMS) == list(CHANNELS)


@pytest.mark.parametrize("kind", ITEMS)
def test_every_item_becomes_its_channel(kind: str) -> None:
    channel = channel_of(Alert.model_validate({kind: ITEMS[kind]}), world(), Post(Reach()))
    assert channel.name == (f"{kind} ($A)" if kind != "email" else "email (a@example.com)")
    assert channel.keyed is (kind in PAGES | {"webhook"})
    assert (channel.repeats is not None) is (kind == "alertmanager")


@pytest.mark.parametrize("kind", ITEMS)
def test_only_channels_that_page_are_spared_what_is_only_good_to_know(kind: str) -> None:
    kinds = kinds_of(Alert.model_validate({kind: ITEMS[kind]}))
    assert ("promoted" in kinds) is (kind not in PAGES)
    assert ("awaitingApproval" in kinds) is (kind not in PAGES)
    assert {each for each, severity in SEVERITIES.items() if severity != "info"} <= kinds


def test_an_owner_decides_what_a_channel_is_told() -> None:
    alert = Alert.model_validate({"pagerduty": ITEMS["pagerduty"], "on": ["promoted"]})
    assert kinds_of(alert) == {"promoted"}


def test_channels_with_one_reference_have_names_of_their_own() -> None:
    """What one was told is not what the other was told."""
    alerts = [Alert.model_validate({"slack": {"urlFrom": {"env": name}}}) for name in ("A", "B", "A", "A")]
    names = names_of([channel_of(alert, world(), Post(Reach())) for alert in alerts])
    assert names == ["slack ($A)", "slack ($B)", "slack ($A) #2", "slack ($A) #3"]


async def test_every_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    hook = Alert.model_validate({"webhook": {**ITEMS["webhook"], "tokenFrom": {"file": str(tmp_path / "token")}}})
    assert await missing(hook, world(A="x").secrets) == [
        "$B is not set",
        f"{tmp_path / 'token'} cannot be read: No such file or directory",
    ]
    (tmp_path / "token").write_text("t")
    assert await missing(hook, world(A="x", B="y").secrets) == []
