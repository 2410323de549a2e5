"""Selectors as kubectl knows them; the shared suite compares them with a real server as well."""

import pytest

from testing.fake_apiserver.selector import matches

LABELS = {"app": "chat", "tier": "canary", "serinus.dev/rollout": "support-llm"}


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "app=chat",
        "app == chat , tier=canary",
        "serinus.dev/rollout=support-llm",
        "app!=mail",
        "zone!=a",
        "tier",
        "!zone",
        "tier in (stable,canary)",
        "tier notin (stable)",
        "zone notin (a, b)",
        "tier in (canary),!zone,app",
    ],
)
def test_it_matches(selector: str) -> None:
    assert matches(selector, LABELS)


@pytest.mark.parametrize(
    "selector", ["app=mail", "app=chat,tier=stable", "zone", "!tier", "zone=", "zone in (a)", "tier notin (canary)"]
)
def test_it_does_not_match(selector: str) -> None:
    assert not matches(selector, LABELS)


@pytest.mark.parametrize("selector", ["app=chat tier=x", "=x", "tier in canary", "a b", ",", "a=b=c"])
def test_what_cannot_be_read_is_an_error(selector: str) -> None:
    """In place of matching by chance."""
    with pytest.raises(ValueError, match="unable to parse"):
        matches(selector, LABELS)
