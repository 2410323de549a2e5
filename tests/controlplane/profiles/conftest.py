"""The tiny model of the tests that quantize for real: made once for each of their files."""

from pathlib import Path

import pytest

from tests.controlplane.profiles.tiny_model import TEXT, make_tiny_llama


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder; beside it `text.txt` for perplexity and `prompts.txt` to calibrate on."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    make_tiny_llama(folder)
    (folder.parent / "text.txt").write_text(TEXT)
    lines = [TEXT[start : start + 300] for start in range(0, 6000, 300)]
    (folder.parent / "prompts.txt").write_text("\n".join(lines))
    return folder
