"""Properties of the speed model: physics and monotony, over the whole catalogue."""

from hypothesis import assume, given
from hypothesis import strategies as st

from profiles.catalogue import builtin, distinct
from profiles.deployment import Deployment
from profiles.load import Workload, closed_loop
from profiles.step import StepModel
from profiles.support import refusal

KNOWN = builtin()
deployments = st.builds(
    Deployment,
    model=st.sampled_from(distinct(KNOWN.models)),
    gpu=st.sampled_from(distinct(KNOWN.gpus)),
    quantization=st.sampled_from(distinct(KNOWN.quantizations)),
    gpus=st.sampled_from([1, 2, 4, 8]),
)
workloads = st.builds(Workload, st.integers(1, 32_000), st.integers(1, 4_000))


@given(deployment=deployments, workload=workloads, few=st.floats(1, 1000), more=st.floats(1, 10))
def test_more_callers_never_speed_up_a_token_nor_slow_down_the_replica(
    deployment: Deployment, workload: Workload, few: float, more: float
) -> None:
    assume(
        refusal(deployment.model, deployment.gpu, deployment.quantization, deployment.gpus, allow_fallback=True) is None
    )
    steps = StepModel(deployment)
    alone = closed_loop(steps, workload, few, 1e9)
    crowded = closed_loop(steps, workload, few * more, 1e9)
    assert crowded.itl >= alone.itl * (1 - 1e-4)
    assert crowded.requests_per_second >= alone.requests_per_second * (1 - 1e-4)


@given(deployment=deployments, workload=workloads, callers=st.floats(1, 4000))
def test_no_prediction_beats_the_data_sheet(deployment: Deployment, workload: Workload, callers: float) -> None:
    """Bytes read and operations done a second stay below the peaks of bandwidth and arithmetic."""
    assume(
        refusal(deployment.model, deployment.gpu, deployment.quantization, deployment.gpus, allow_fallback=True) is None
    )
    model, gpu, gpus = deployment.model, deployment.gpu, deployment.gpus
    steps = StepModel(deployment)
    state = closed_loop(steps, workload, callers, 1e9)
    flops = state.requests_per_second * (
        workload.input_tokens * 2 * model.body_parameters + (workload.output_tokens - 1) * 2 * model.active_parameters
    )
    peak = max(rate for rate in (gpu.fp16, gpu.fp8, gpu.int8, gpu.fp4) if rate)
    assert flops <= gpus * peak
    batch = max(state.batch, 1.0)
    touched = steps.experts_touched(batch)
    read = deployment.quantization.attention_bytes(model) + touched * deployment.quantization.expert_bytes(model)
    read += deployment.quantization.head_bytes(model) + batch * model.kv_bytes(workload.context) * gpus / max(
        gpus, min(gpus, model.kv_heads)
    )
    assert read <= steps.step(batch, workload.context) * gpus * gpu.bandwidth


@given(deployment=deployments, workload=workloads)
def test_more_gpus_are_never_more_than_so_many_times_as_fast(deployment: Deployment, workload: Workload) -> None:
    one = Deployment(deployment.model, deployment.gpu, deployment.quantization)
    single, many = StepModel(one), StepModel(deployment)
    assert many.step(8, workload.context) * deployment.gpus >= single.step(8, workload.context) * (1 - 1e-9)


@given(workload=workloads, callers=st.floats(1, 2000), capacity=st.floats(1, 500))
def test_callers_beyond_capacity_wait_and_littles_law_holds(
    workload: Workload, callers: float, capacity: float
) -> None:
    steps = StepModel(Deployment(KNOWN.model("Llama-3.1-8B"), KNOWN.gpu("H100"), KNOWN.quantization("fp8")))
    state = closed_loop(steps, workload, callers, capacity)
    assert abs(state.requests_per_second * state.e2e - callers) <= 1e-3 * callers
    assert (state.waiting > 0) == (callers > capacity)
