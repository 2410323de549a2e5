"""What looks like a credential leaves no log and no trace."""

import pytest

from controlplane.observability.redact import redacted

MARK = "s3cr3tMARKER0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"fatal: could not read https://git:{MARK}@git.example.com/shop.git",
        f"cannot reach redis://{MARK}@cache:6379",
        f"answered 401 to Authorization: Bearer {MARK}",
        f"POST https://hooks.example.com/in?token={MARK}&x=1 failed",
        f"GET /?signature={MARK}",
        f'{{"routing_key": "{MARK}"}}',
        f"env API_KEY={MARK} was set",
        f"a ghp_{MARK} b",
        f"glpat-{MARK}",
        f"https://hooks.slack.com/services/T0/B0/{MARK}",
        f"https://discord.com/api/webhooks/1/{MARK}",
        f"password: {MARK}",
        f"the password: {MARK}",
    ],
)
def test_a_marker_in_a_credentials_place_is_gone(text: str) -> None:
    assert MARK not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "error rate: 2.1 % on the canary (1,200 requests), 0.4 % on stable; tokens per second 41",
        "Clients connect to http://127.0.0.1:8080; numbers come from Prometheus on http://127.0.0.1:9090",
        "tokens: 12, generation_tokens grew",
        "ttft p95 not worse than stable by 10%: 84 ms",
    ],
)
def test_plain_sentences_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text
