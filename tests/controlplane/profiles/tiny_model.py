"""A tiny Llama with random weights and a tokenizer of words, made in code: small enough to quantize on any CPU.

Needs torch and transformers. Random weights make it as ignorant as can be (a perplexity near the size of its
vocabulary), but every layer that a quantizer touches is there.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from controlplane.cli.quantize import command
from controlplane.profiles import quantizer

WORDS = 500
TEXT = " ".join(f"w{index * index * 7 % WORDS}" for index in range(1_500))
"""Three windows of perplexity, the last one shorter."""


def quantize(model: Path, method: str, out: Path, *more: str) -> Result:
    """Run the command, which runs the quantizer as a program of its own; the model's folder has the text beside it."""
    text = ["--text", str(model.parent / "text.txt")]
    return CliRunner().invoke(command, [str(model), "--method", method, "--out", str(out), *text, *more])


def perplexity_of(folder: Path) -> float:
    """What the artefact scores when it is loaded as any user of it would."""
    transformers = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return quantizer.perplexity(transformers.AutoModelForCausalLM.from_pretrained(folder), tokenizer, TEXT)


def make_tiny_llama(folder: Path) -> None:
    """A 16-bit checkpoint, the same at every call."""
    torch, transformers, tokenizers = (import_module(name) for name in ("torch", "transformers", "tokenizers"))
    vocabulary = {"<unk>": 0, **{f"w{index}": index + 1 for index in range(WORDS)}}
    words: Any = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1_024,
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
