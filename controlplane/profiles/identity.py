"""Takes fingerprints: of a model directory by reading its files, of an endpoint by asking what it makes of fixed texts.

Used by `serinus profile fingerprint`. What cannot be found out stays None and is reported as unknown, never as equal.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2

from controlplane.profiles.sources import read_json
from profiles.errors import Malformed
from profiles.fingerprint import Fingerprint

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tekken.json")
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "Grüße, Ελλάδα, 東京, مرحبا, 🙂 and naïve café.",
    "def f(x):\n\treturn {'a': [1, 2.50, 0xff]}  # 100%\n\n",
    "   leading, trailing   and 1234567890 ''\"\"",
)
CONVERSATION = (
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy?"},
)
TIMEOUT_SECONDS = 10.0


def fingerprint(source: str) -> Fingerprint:
    """The fingerprint of a directory or of an endpoint's URL. Raises `Malformed` when it is neither."""
    if source.startswith(("http://", "https://")):
        return of_endpoint(source)
    path = Path(source)
    if path.is_dir():
        return of_directory(path)
    raise Malformed(f"{source} is neither a model directory nor the URL of an endpoint")


def of_directory(path: Path) -> Fingerprint:
    """What the files of a downloaded model say."""
    config = optional(path / "config.json")
    generation = optional(path / "generation_config.json")
    tokenizer = optional(path / "tokenizer_config.json")
    if not config and not tokenizer:
        raise Malformed(f"{path} holds neither config.json nor tokenizer_config.json: not a model directory")
    text = config.get("text_config") or config
    stops = generation.get("eos_token_id", text.get("eos_token_id"))
    quantization = config.get("quantization_config")
    return Fingerprint(
        tokenizer=files_digest([path / name for name in TOKENIZER_FILES]),
        chat_template=template_digest(path, tokenizer),
        generation_config=canonical(without(generation, "eos_token_id", "transformers_version", "_from_model_config"))
        if generation
        else None,
        stop_tokens=canonical(sorted(stops if isinstance(stops, list) else [stops])) if stops is not None else None,
        quantization_config=canonical(quantization or {}) if config else None,
        context_length=text.get("max_position_embeddings"),
    )


def template_digest(path: Path, tokenizer: dict[str, Any]) -> str | None:
    """The chat template, from its own file or from tokenizer_config.json."""
    own = path / "chat_template.jinja"
    if own.is_file():
        return digest("file", own.read_bytes().strip())
    template = tokenizer.get("chat_template")
    if template is None:
        return None
    data = template if isinstance(template, str) else canonical(template)
    return digest("file", data.encode().strip())


def of_endpoint(url: str) -> Fingerprint:
    """What a vLLM-compatible server shows: its cards, its version, and the tokens of fixed texts."""
    base = url.rstrip("/")
    root = base.removesuffix("/v1")
    try:
        with httpx2.Client(timeout=TIMEOUT_SECONDS) as client:
            cards = client.get(f"{root}/v1/models")
            cards.raise_for_status()
            card = cards.json()["data"][0]
            model = card["id"]
            tokens = [tokenized(client, root, {"model": model, "prompt": text}) for text in PROBES]
            chat = tokenized(client, root, {"model": model, "messages": list(CONVERSATION)})
            version = answered(client, f"{root}/version")
    except httpx2.HTTPError as wrong:
        raise Malformed(
            f"{url} does not answer as an OpenAI-compatible endpoint: {str(wrong) or type(wrong).__name__}"
        ) from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise Malformed(f"{url} lists no model at /v1/models") from None
    whole = all(one is not None for one in tokens)
    return Fingerprint(
        tokenizer=digest("probe", canonical(tokens).encode()) if whole else None,
        chat_template=digest("probe", canonical(chat).encode()) if chat is not None else None,
        engine_version=(version or {}).get("version"),
        context_length=card.get("max_model_len"),
    )


def tokenized(client: httpx2.Client, root: str, request: dict[str, Any]) -> list[int] | None:
    """The server's tokens; None where it does not offer `/tokenize`."""
    answer = client.post(f"{root}/tokenize", json=request)
    if answer.status_code != 200:
        return None
    found = answer.json().get("tokens")
    return found if isinstance(found, list) else None


def answered(client: httpx2.Client, url: str) -> dict[str, Any] | None:
    """A JSON object, or None where the path is not offered."""
    answer = client.get(url)
    if answer.status_code != 200:
        return None
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def optional(path: Path) -> dict[str, Any]:
    """A JSON file that may be missing."""
    return read_json(path) if path.is_file() else {}


def files_digest(paths: list[Path]) -> str | None:
    """One digest of all files that are there; None of none."""
    there = [path for path in paths if path.is_file()]
    if not there:
        return None
    total = hashlib.sha256()
    for path in there:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return f"file:{total.hexdigest()[:16]}"


def digest(how: str, data: bytes) -> str:
    """A short digest that says how it was taken."""
    return f"{how}:{hashlib.sha256(data).hexdigest()[:16]}"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A mapping without these keys."""
    return {key: value for key, value in mapping.items() if key not in keys}
