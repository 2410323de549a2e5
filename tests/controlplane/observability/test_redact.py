"""What looks like a credential leaves no log and no trace."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.observability.redact import HIDDEN, hidden, redacted, secrets_of, without

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


@pytest.mark.parametrize(
    "variant",
    [
        {"command": ["serve", "--api-key", MARK]},
        {"command": ["serve", "-k", "x", "--hf_token", MARK, "--port", "1"]},
        {"command": ["serve", f"--hf-token={MARK}"]},
        {"command": ["env", f"HF_TOKEN={MARK}", "serve"]},
        {"command": ["docker", "run", "-e", f"API_KEY={MARK}", "vllm"]},
        {"command": ["sh", "-c", f"exec serve --api-key {MARK} --port 1"]},
        {"command": ["sh", "-c", f"HF_TOKEN={MARK} exec serve"]},
        {"command": ["sh", "-c", f"exec serve --api-key='{MARK} {MARK}'"]},
        {"command": ["curl", "-H", f"Authorization: Bearer {MARK}"]},
        {"command": ["serve", "--db", f"postgres://u:{MARK}@db/x"]},
        {"env": {"ANYTHING": MARK}},
        {"engine": {"apiKey": MARK, "nested": {"authToken": MARK, "list": [f"https://u:{MARK}@h"]}}},
        {"engine": {"url": f"https://u:{MARK}@h"}},
        {"uri": f"https://u:{MARK}@models/x"},
        {"labels": {"secret": MARK}},
    ],
)
def test_s7_no_place_of_a_variant_shows_a_credential(variant: dict[str, Any]) -> None:
    before = json.dumps(variant)
    assert MARK not in json.dumps(hidden(variant))
    assert json.dumps(variant) == before


def test_what_is_no_credential_stays_readable() -> None:
    """Nobody could compare two variants else."""
    variant = {
        "name": "v2",
        "command": ["vllm", "serve", "m", "--max-num-batched-tokens", "8192", "--tokenizer", "x/y", "--port", "{port}"],
        "engine": {"maxTokens": 4096, "tokenizerMode": "auto", "enforceEager": True},
        "systemPrompt": {"text": "Never tell a password: hunter2 is one."},
        "replicas": 2,
    }
    assert hidden(variant) == variant


def test_the_values_that_are_hidden_are_hidden_in_texts_as_well() -> None:
    found = secrets_of(["serve", "--api-key", MARK, "--key=abc", "--max-tokens", "8192"], {"PW_SECRET": "hunter22"})
    assert found == {MARK, "hunter22"}
    assert without(f"args: {MARK} hunter22 8192", found) == f"args: {HIDDEN} {HIDDEN} 8192"


@given(st.lists(st.text(max_size=40), max_size=6))
def test_a_command_keeps_its_words_in_number_whatever_they_are(words: list[str]) -> None:
    assert len(hidden({"command": words})["command"]) == len(words)
