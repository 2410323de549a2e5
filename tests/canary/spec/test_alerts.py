"""Where alerts go: exactly one channel an item, secrets only by reference, and faults that never show a secret."""

import pytest

from canary.errors import SpecError
from canary.spec import parse
from canary.spec.alerts import CHANNELS, Alert, SecretRef
from canary.spec.stored import from_text, to_text

PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2, quantization: int4}
  stages: [{traffic: 5%}, {traffic: 100%}]
  alerts:
"""
MAIL = "to: [a@b.c], from: a@b.c, server: 'b.c:25'"
EVERY_CHANNEL = """\
    - slack: {channel: "#ml-releases", urlFrom: {secret: slack-webhook, key: url}}
      on: [rolledBack, promoted]
    - teams: {urlFrom: {file: /run/secrets/teams}}
    - discord: {urlFrom: {file: ~/discord}}
    - pagerduty: {routingKeyFrom: {env: PD_KEY}, region: eu}
    - opsgenie: {apiKeyFrom: {env: OG_KEY}}
    - email: {to: [a@example.com, b@example.com], from: serinus@example.com, server: "smtp.example.com:587"}
    - webhook: {urlFrom: {env: HOOK}, signingKeyFrom: {env: KEY}, template: '{"text": "$sentence", "price": "$$5"}'}
    - alertmanager: {urlFrom: {env: AM}, tokenFrom: {env: TOKEN}}
"""


def said(line: str) -> str:
    """What is said of a plan with this item."""
    with pytest.raises(SpecError) as caught:
        parse(f"{PLAN}    {line}\n", "c.yml")
    return str(caught.value)


def test_every_channel_is_read_and_kept() -> None:
    plan = parse(PLAN + EVERY_CHANNEL, "c.yml")
    alerts = plan.spec.alerts
    assert [next(name for name in CHANNELS if getattr(each, name)) for each in alerts] == list(CHANNELS)
    assert alerts[0].on == ("rolledBack", "promoted")
    assert [str(vars(alerts[index].channel)["url_from"]) for index in (0, 1, 2, 6)] == [
        "slack-webhook/url",
        "/run/secrets/teams",
        "~/discord",
        "$HOOK",
    ]
    assert from_text(to_text(plan)) == plan


@pytest.mark.parametrize(
    "line",
    [
        '- slack: {url: "https://hooks.slack.com/services/T/B/MARKER"}',
        '- slack: {urlFrom: "https://hooks.slack.com/services/T/B/MARKER"}',
        "- pagerduty: {routingKey: MARKER}",
        "- opsgenie: {apiKeyFrom: MARKER}",
        "- email: {to: [a@b.c], from: a@b.c, server: 'b.c:25', password: MARKER}",
        "- webhook: {urlFrom: {env: A}, signingKey: MARKER}",
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_repeated(line: str) -> None:
    """A fault may end up in a commit status, where the line must not be read."""
    message = said(line)
    assert "values never stand in canary.yml" in message
    assert "{env: SLACK_URL}" in message
    assert "MARKER" not in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- {}", "expected exactly one of slack, teams,"),
        ("- {slack: {urlFrom: {env: A}}, teams: {urlFrom: {env: B}}}", "found slack and teams"),
        ("- {slack: {urlFrom: {env: A, file: /x}}}", "expected one place where it is kept"),
        ("- {slack: {urlFrom: {secret: a}}}", "expected one place where it is kept"),
        ("- {slack: {urlFrom: {env: A}}, on: [rolledback]}", 'did you mean "rolledBack"?'),
        ("- {slack: {urlFrom: {env: A}}, on: []}", "expected at least one item"),
        ("- {slack: {urlFrom: {secret: a, key: ../x}}}", "expected a key of letters"),
        ("- {slack: {urlFrom: {secret: a, key: ..}}}", "expected a key of letters"),
        ("- {slack: {urlFrom: {env: A B}}}", "expected the name of an environment variable"),
        ("- {slack: {urlFrom: {file: secrets/url}}}", "expected a path from / or ~/"),
        ("- {slack: {urlFrom: {file: /a/../b}}}", "expected a path from / or ~/"),
        ("- {email: {to: [nobody], from: a@b.c, server: 'b.c:25'}}", "expected an e-mail address"),
        ("- {email: {to: [a@b.c], from: a@b.c, server: b.c}}", "expected a mail server and its port"),
        ("- {email: {to: [a@b.c], from: a@b.c, server: 'b.c:0'}}", "expected a mail server and its port"),
        ("- {email: {to: [a@b.c], from: a@b.c, server: 'b.c:25', usernameFrom: {env: U}}}", "expected both"),
        (f"- {{email: {{{MAIL}, security: none, usernameFrom: {{env: U}}, passwordFrom: {{env: P}}}}}}", "anybody can"),
        ('- webhook: {urlFrom: {env: A}, template: \'{"a": "$sentense"}\'}', "knows no field $sentense"),
        ("- webhook: {urlFrom: {env: A}, template: '{\"a\": $sentence}'}", "each field in quotes"),
        ('- webhook: {urlFrom: {env: A}, template: \'{"a": "$ 5"}\'}', "a dollar sign itself is written $$"),
    ],
)
def test_a_fault_says_what_was_expected(line: str, expected: str) -> None:
    assert expected in said(line)


def test_what_is_told_when_nothing_is_said_is_left_to_the_channel() -> None:
    assert Alert.model_validate({"slack": {"urlFrom": {"env": "A"}}}).on is None


def test_a_reference_is_named_without_its_value() -> None:
    assert str(SecretRef(secret="slack", key="url")) == "slack/url"
    assert str(SecretRef(env="SLACK_URL")) == "$SLACK_URL"
    assert str(SecretRef(file="/run/secrets/url")) == "/run/secrets/url"
