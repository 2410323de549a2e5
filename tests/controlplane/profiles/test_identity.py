"""Fingerprints of model directories: from their files, stable under what does not matter."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.profiles.identity import fingerprint
from profiles.errors import Malformed
from profiles.fingerprint import compare


def model(folder: Path, template: str = "{{ messages }}", config: dict[str, Any] | None = None) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"max_position_embeddings": 8192, "eos_token_id": 2} | (config or {}))
    )
    (folder / "tokenizer.json").write_text('{"model": {}}')
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "eos_token_id": [9, 2]}))
    return folder


def test_two_downloads_of_one_model_are_the_same(tmp_path: Path) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b")
    found = compare(fingerprint(str(first)), fingerprint(str(second)))
    assert found.verdict == "pass"
    assert found.unknown == ("engine_version",)


def test_a_changed_template_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b", template="{{ other }}")
    assert compare(fingerprint(str(first)), fingerprint(str(second))).verdict == "block"
    (second / "chat_template.jinja").write_text("{{ messages }}\n")
    assert compare(fingerprint(str(first)), fingerprint(str(second))).verdict == "pass"


def test_the_generation_configs_stop_tokens_win_in_any_order(tmp_path: Path) -> None:
    assert fingerprint(str(model(tmp_path / "a"))).stop_tokens == "[2,9]"


def test_a_quantized_checkpoint_differs(tmp_path: Path) -> None:
    plain, quantized = (
        model(tmp_path / "a"),
        model(tmp_path / "b", config={"quantization_config": {"quant_method": "awq"}}),
    )
    found = compare(fingerprint(str(plain)), fingerprint(str(quantized)))
    assert [one.field for one in found.differences] == ["quantization_config"]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="not a model directory"):
        fingerprint(str(tmp_path))
    with pytest.raises(Malformed, match="neither a model directory nor"):
        fingerprint(str(tmp_path / "nothing"))


def test_an_endpoint_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(Malformed, match="does not answer"):
        fingerprint("http://127.0.0.1:9/v1")
