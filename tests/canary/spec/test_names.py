"""Texts with a form of their own refuse what could mean something else to whoever gets them next."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from canary.spec.names import Header, Hostname, HttpPath, Listen, Location, Name, RelativePath, WebAddress


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Name, "support-llm"),
        (Name, "v1.10"),
        (Header, "x-customer-tier"),
        (HttpPath, "/v2/health/ready?full=1"),
        (Listen, "127.0.0.1:0"),
        (Listen, "[::1]:8080"),
        (Listen, "localhost:65535"),
        (WebAddress, "http://judge.models.svc/v1"),
        (Hostname, "*.example.com"),
        (RelativePath, "prompts/returns-v2.txt"),
        (Location, "hf://meta-llama/Llama-3.1-8B-Instruct"),
        (Location, "meta-llama/Llama-3.1-8B-Instruct"),
        (Location, "/models/llama"),
        (Location, "s3://bucket/key"),
        (Location, "evals/returns.jsonl"),
    ],
)
def test_honest_texts_are_taken_as_they_are(kind: Any, text: str) -> None:
    assert TypeAdapter(kind).validate_python(text) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Name, "Support LLM"),
        (Name, "-v1"),
        (Name, "v1\n"),
        (Name, ""),
        (Name, "x" * 64),
        (Header, "x-tier:"),
        (Header, "x tier"),
        (Header, "x\r\nevil: 1"),
        (HttpPath, "health"),
        (HttpPath, "/a b"),
        (HttpPath, "/\r\nHost: x"),
        (Listen, "8080"),
        (Listen, "127.0.0.1:65536"),
        (Listen, "127.0.0.1:8080 "),
        (WebAddress, "ftp://x"),
        (WebAddress, "javascript:alert(1)"),
        (WebAddress, "http://a b"),
        (Hostname, "exa mple.com"),
        (RelativePath, "/etc/passwd"),
        (RelativePath, "../secrets"),
        (RelativePath, "a/../../b"),
        (RelativePath, "-rf"),
        (RelativePath, "$HOME/x"),
        (RelativePath, "%2e%2e/x"),
        (RelativePath, "a\nb"),
        (RelativePath, "file://x"),
        (RelativePath, ""),
        (Location, "--upload-pack=x"),
        (Location, "ext::sh -c x"),
        (Location, "git://host/x"),
        (Location, "hf://"),
        (Location, "hf://a/../../b"),
        (Location, "s3://a/%2E%2E/b"),
        (Location, "a b"),
    ],
)
def test_s5_texts_that_could_mean_something_else_are_refused(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)
