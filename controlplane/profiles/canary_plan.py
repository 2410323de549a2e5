"""The capacity of a canary.yml: does each variant fit its GPU, and is there room for the canary beside stable?

Called by `serinus profile fit FILE.yml`. Variants say their GPU and quantization in `profile` and `quantization`;
what they leave out is taken from the inventory and from 16 bit.
"""

from collections.abc import Mapping

import click

from canary.spec.models import CanarySpec, Variant
from controlplane.profiles.commands.options import print_json
from controlplane.profiles.sources import model_shape
from profiles.accelerator import Accelerator
from profiles.capacity import Neutral, Objectives, neutral
from profiles.catalogue import Catalogue
from profiles.deployment import Deployment
from profiles.errors import Malformed, ProfileRefused
from profiles.load import Workload

Inventory = Mapping[str, tuple[Accelerator, int]]


def show_canary(
    spec: CanarySpec,
    there: Inventory,
    known: Catalogue,
    workload: Workload,
    rate: float,
    objectives: Objectives,
    output: str,
) -> None:
    """Print the capacity-neutral plan of the first stage, or refuse with what is missing (exit code 1)."""
    try:
        found = plan_of(spec, there, known, workload, rate, objectives)
    except ProfileRefused as reason:
        if output == "json":
            print_json({"plan": None, "refused": str(reason)})
        else:
            click.echo(f"Refused: {reason}")
        click.get_current_context().exit(1)
    if output == "json":
        print_json(
            {
                "plan": str(found),
                "stable_before": found.stable_before,
                "stable_after": found.stable_after,
                "canary": found.canary,
                "headroom": found.headroom,
            }
        )
    else:
        click.echo(str(found))


def plan_of(
    spec: CanarySpec, there: Inventory, known: Catalogue, workload: Workload, rate: float, objectives: Objectives
) -> Neutral:
    """The plan of the first stage: stable's replicas are what the spec says, or all that the inventory holds of its
    GPU.
    """
    stable = variant(spec, spec.stable, there, known)
    canary = variant(spec, spec.canary, there, known)
    available = there.get(stable.gpu.name, (stable.gpu, 0))[1] // stable.gpus
    replicas = spec.stable.replicas if spec.stable.replicas > 1 else available
    if replicas > available:
        raise ProfileRefused(
            f"stable's {replicas} replicas need {replicas * stable.gpus} {stable.gpu.name} and the inventory has "
            f"{available * stable.gpus}"
        )
    return neutral(stable, canary, replicas, workload, rate, spec.stages[0].traffic, objectives)


def variant(spec: CanarySpec, one: Variant, there: Inventory, known: Catalogue) -> Deployment:
    """What a variant of the file is to the predictor."""
    uri = one.uri or spec.model.uri or spec.model.name
    gpu = known.gpu(one.profile.gpu) if one.profile else next(iter(there.values()))[0]
    quantization = known.quantization(one.quantization or "bf16")
    try:
        model = model_shape(uri, known)
    except Malformed as wrong:
        raise Malformed(f"variant {one.name}: {wrong}") from None
    return Deployment(model, gpu, quantization, gpus=one.profile.count if one.profile else 1)
