"""Lines to blocks; what is refused is tested with the command, in `cli/test_judge.py`."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput
from canary.spec.models import Gate
from controlplane.block_lines import BlockLines
from tests.canary.judge.worlds import FAST, plan

SPEC = plan(FAST)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["t", "stage", "weight", "arms", "readings"])


def test_a_line_becomes_the_block_that_it_says() -> None:
    line = {
        "t": 35.0,
        "stage": 1,
        "weight": 0.25,
        "arms": {
            "canary": {
                "pods": {
                    "c-0": {
                        "requests": 50,
                        "errors": 1,
                        "latency": {"+Inf": 50, "0.1": 41},
                        "kpi": {"conversion": {"events": 11, "of": 50}},
                        "totals": {"generation_tokens": 900},
                        "gauges": {"kv_cache_usage": 0.5},
                    }
                }
            }
        },
        "readings": {"csat drop <= 3%": {"canary": 4.0, "stable": None}},
    }
    block = BlockLines(SPEC).read(1, json.dumps(line).encode())
    pod = block.arms["canary"]["c-0"]
    assert (block.t, block.stage, block.weight, list(block.arms)) == (35.0, 1, 0.25, ["canary"])
    assert (pod.requests, pod.errors) == (50.0, 1.0)
    assert list(pod.histograms["latency"].items()) == [(0.1, 41.0), (math.inf, 50.0)]
    assert pod.kpis == {"conversion": (11.0, 50.0)}
    assert (pod.totals, pod.gauges) == ({"generation_tokens": 900.0}, {"kv_cache_usage": 0.5})
    assert block.readings == {"csat drop <= 3%": {"canary": 4.0}}


def test_history_needs_neither_stage_nor_weight() -> None:
    block = BlockLines(SPEC).read(1, b'{"t": -5, "arms": {"stable": {"pods": {"s": {"requests": 3}}}}}')
    assert (block.stage, block.weight) == (0, 0.0)


def test_a_sum_may_exceed_its_count_and_be_negative() -> None:
    """A satisfaction of 1 to 5 stars adds up to more than its answers; a promoter score may be below zero."""
    pod = {"kpi": {"csat": {"events": 42, "of": 10}, "nps": {"events": -3, "of": 10}}}
    line = {"t": 1, "stage": 0, "weight": 0.1, "arms": {"canary": {"pods": {"c": pod}}}}
    block = BlockLines(SPEC).read(1, json.dumps(line).encode())
    assert block.arms["canary"]["c"].kpis == {"csat": (42.0, 10.0), "nps": (-3.0, 10.0)}


def test_stages_beyond_the_file_are_judged_by_its_last_gates() -> None:
    assert BlockLines(SPEC).read(1, b'{"t": 1, "stage": 9, "weight": 0.5}').stage == 1


@given(st.dictionaries(KEYS, values, max_size=5) | values | st.binary(max_size=30))
def test_whatever_comes_it_is_a_block_or_bad_input(line: object) -> None:
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    said = "line 1"
    try:
        BlockLines(SPEC).read(1, text)
    except BadInput as error:
        said = str(error)
    assert "line 1" in said


def test_a_number_too_large_for_anything_is_refused() -> None:
    with pytest.raises(BadInput, match="must be finite"):
        BlockLines(SPEC).read(1, b'{"t": 1' + b"0" * 400 + b"}")


def test_segments_are_read_by_label_and_value() -> None:
    """The same increments once more, for gates with `by`; what is wrong in them is named by its place."""
    pods = {"canary": {"pods": {"c-0": {"requests": 5, "errors": 1}}}}
    line = {"t": 5, "stage": 0, "weight": 0.1, "arms": pods, "segments": {"tenant": {"acme": pods}}}
    block = BlockLines(SPEC).read(1, json.dumps(line).encode())
    assert block.segments["tenant"]["acme"]["canary"]["c-0"].errors == 1.0
    wrong = {**line, "segments": {"tenant": {"acme": {"stable": {"pods": {"s": {"requests": -1}}}}}}}
    with pytest.raises(BadInput, match=r"segments\.tenant\.acme\.stable\.pods\.s\.requests: is -1"):
        BlockLines(SPEC).read(1, json.dumps(wrong).encode())


def test_a_kpi_whose_counters_the_plan_names_is_written_as_any_other() -> None:
    """Replicas are added up, as a job that counts for all of them would."""
    gate = Gate(
        text="csat drop <= 3%", metric="kpi/csat", comparison="drift", limit=0.03, better="higher", events="a", of="b"
    )
    pods = {name: {"kpi": {"csat": {"events": 4, "of": 10}}} for name in ("c-0", "c-1")}
    line = {"t": 1, "stage": 0, "weight": 0.1, "arms": {"canary": {"pods": pods}, "stable": {"pods": {"s-0": {}}}}}
    block = BlockLines(plan(gate)).read(1, json.dumps(line).encode())
    assert block.counted == {"csat drop <= 3%": {"canary": (8.0, 20.0)}}
