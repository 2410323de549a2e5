"""A catalogue of one's own, from its file to whoever asks what a GPU can do and costs; faults with their line."""

from pathlib import Path

import pytest

from canary.spec.models import Variant
from controlplane.adapters.cost_source import dollars_an_hour, rates_of
from controlplane.operator.gpu_capacity import lacking
from controlplane.operator.spec_reader import read
from controlplane.profiles.sources import catalogue
from profiles.errors import Malformed
from tests.canary.story import plan
from tests.controlplane.operator.town import a_canary, a_spec

MINE = """\
gpus:
  B300: {memory_gib: 268, bandwidth: 8000, fp16: 2250, capability: 10.3, price: 8.5, vendor: amd}
models:
  Our-7B: {layers: 32, hidden: 4096, heads: 32, kv_heads: 8, head_dim: 128, intermediate: 14336, vocabulary: 32768,
           tied_embeddings: false, max_context: 32768}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    return file


def test_its_gpus_have_prices(mine: Path) -> None:
    variant = Variant.model_validate({"name": "v", "profile": {"gpu": "B300", "count": 2}})
    assert dollars_an_hour(variant) is None
    assert dollars_an_hour(variant, catalogue([mine])) == 17.0
    assert rates_of(plan(stable=variant), catalogue([mine])) == {"stable": 17.0}


def test_the_operator_reads_plans_with_it(mine: Path) -> None:
    profile = {"gpu": "B300", "count": 1}
    uri = "hf://ours/Our-7B"
    spec = {
        **a_spec(),
        "stable": {"name": "v1", "uri": uri, "profile": profile},
        "canary": {"name": "v2", "uri": uri, "quantization": "awq", "profile": profile},
    }
    unknown, known = read(a_canary(spec=spec)), read(a_canary(spec=spec), catalogue([mine]))
    assert any("'B300' is not in the catalogue" in note for note in unknown.notes)
    assert not [note for note in known.notes if "catalogue" in note]
    assert known.plan is not None
    node = {"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": 8}}}
    assert "amd.com/gpu" in lacking(known.plan, [node], [], catalogue([mine]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus:\n  B300:\n    memory_gib: 268\n    bandwidth: eight\n", "4: B300: bandwidth must be a positive number"),
        ("gpus:\n  B300: {memory_gib: 268}\n", "2: B300: bandwidth is missing"),
        ("gpus:\n  A: 1\n", "2: A must be a mapping of fields"),
        ("\ngpu: {}\n", "2: unknown section 'gpu'; expected gpus, models or quantizations"),
        ("gpus:\n  A: [1\n", "3: not YAML: expected ',' or ']'"),
        ("quantizations:\n  X:\n    bytes_per_parameter: 1\n    colour: red\n", "4: X: colour is no field of it"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(Malformed) as wrong:
        catalogue([file])
    assert str(wrong.value).startswith(f"{file}:{said}")


def test_a_file_that_is_not_there_is_said_without_numbers(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"none\.yaml cannot be read: No such file or directory$"):
        catalogue([tmp_path / "none.yaml"])
