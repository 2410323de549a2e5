"""Takes fingerprints: of a model directory by reading its files, of an endpoint by asking what it makes of fixed texts.

Used by `serinus profile fingerprint` and, in a rollout, by `served.py`. What cannot be found out stays None and is
reported as unknown, never as equal.
"""

import asyncio
import hashlib
import json
import ssl
from pathlib import Path
from typing import Any

from canary.errors import Unavailable
from controlplane.adapters.bounded_http import BoundedAnswer, BoundedHttp
from controlplane.profiles.sources import read_json
from profiles.errors import Malformed
from profiles.fingerprint import Fingerprint

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tekken.json")
NO_SAMPLING = ("eos_token_id", "transformers_version", "_from_model_config")
"""What generation_config.json holds besides sampling defaults."""
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
MOST_BYTES = 1 << 20
"""Of one answer: a list of models and a few tokens are small."""


def fingerprint(source: str) -> Fingerprint:
    """The fingerprint of a directory or of an endpoint's URL. Raises `Malformed` when it is neither."""
    if source.startswith(("http://", "https://")):
        return asyncio.run(_asked(source))
    path = Path(source)
    if path.is_dir():
        return of_directory(path)
    raise Malformed(f"{source} is neither a model directory nor the URL of an endpoint")


async def _asked(url: str) -> Fingerprint:
    http = BoundedHttp(most_bytes=MOST_BYTES, tls=ssl.create_default_context())
    try:
        return await of_endpoint(http, url)
    except Unavailable as wrong:
        raise Malformed(f"{url} does not answer as an OpenAI-compatible endpoint: {wrong}") from None
    finally:
        await http.close()


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
        # A model without the file, or without a template, is known to have none: that is not the same as not knowing.
        generation_config=canonical(without(generation, *NO_SAMPLING)) if config or generation else None,
        stop_tokens=canonical(sorted(stops if isinstance(stops, list) else [stops])) if stops is not None else None,
        quantization_config=canonical(quantization or {}) if config else None,
        context_length=text.get("max_position_embeddings"),
    )


def template_digest(path: Path, tokenizer: dict[str, Any]) -> str | None:
    """The chat template, from its own file or from tokenizer_config.json."""
    own = path / "chat_template.jinja"
    if own.is_file():
        return digest("file", own.read_bytes().strip())
    if not tokenizer:
        return None
    template = tokenizer.get("chat_template") or ""
    data = template if isinstance(template, str) else canonical(template)
    return digest("file", data.encode().strip())


async def of_endpoint(
    http: BoundedHttp, url: str, model: str | None = None, *, seconds: float = TIMEOUT_SECONDS
) -> Fingerprint:
    """What a vLLM-compatible server shows of this model (None: its first): card, version, tokens of fixed texts.

    Raises `Unavailable` where nobody answers in time, and `Malformed` where what answers lists no model.
    """
    return (await of_served(http, url, model, seconds=seconds))[0]


async def of_served(
    http: BoundedHttp, url: str, model: str | None, *, seconds: float
) -> tuple[Fingerprint, tuple[str, ...]]:
    """The same, and the names that the server answers to; raises as `of_endpoint` does."""
    root = url.rstrip("/").removesuffix("/v1")
    cards = await http.get(f"{root}/v1/models", seconds=seconds)
    card = _card(cards, model)
    if card is None:
        raise Malformed(f"{url} lists no model at /v1/models (status {cards.status})")
    tokens = [await tokenized(http, seconds, root, {"model": card["id"], "prompt": text}) for text in PROBES[:1]]
    if tokens[0] is not None:  # whoever does not offer it is not asked for more
        tokens += [await tokenized(http, seconds, root, {"model": card["id"], "prompt": text}) for text in PROBES[1:]]
    chat = (
        await tokenized(http, seconds, root, {"model": card["id"], "messages": list(CONVERSATION)})
        if tokens[0]
        else None
    )
    version = _object(await http.get(f"{root}/version", seconds=seconds)).get("version")
    length = card.get("max_model_len")
    found = Fingerprint(
        tokenizer=None if any(one is None for one in tokens) else digest("probe", canonical(tokens).encode()),
        chat_template=None if chat is None else digest("probe", canonical(chat).encode()),
        engine_version=version if isinstance(version, str) else None,
        context_length=length if isinstance(length, int) else None,
    )
    return found, tuple(str(each["id"]) for each in _cards(cards))


async def tokenized(http: BoundedHttp, seconds: float, root: str, request: dict[str, Any]) -> list[int] | None:
    """The server's tokens; None where it does not offer `/tokenize`."""
    found = _object(await http.post_json(f"{root}/tokenize", seconds=seconds, body=request)).get("tokens")
    return found if isinstance(found, list) else None


def _card(cards: BoundedAnswer, model: str | None) -> dict[str, Any] | None:
    """The served model of this name, else the first; None where no model is listed."""
    named = _cards(cards)
    return next((each for each in named if each["id"] == model), named[0] if named else None)


def _cards(cards: BoundedAnswer) -> list[dict[str, Any]]:
    """All served models that have a name."""
    listed = _object(cards).get("data")
    return [each for each in listed if isinstance(each, dict) and "id" in each] if isinstance(listed, list) else []


def _object(answer: BoundedAnswer) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where the path is not offered or says something else."""
    if answer.status != 200:
        return {}
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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
