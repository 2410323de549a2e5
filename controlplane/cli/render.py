"""`serinus render`: the Kubernetes objects of a plan at one of its stages, to be read or compared; applies nothing.

The objects are those that the operator would write: rendered by the same functions, from the same plan.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from canary.spec import Document
    from controlplane.kubernetes.api import Object
    from profiles.catalogue import Catalogue

WITHOUT_OBJECTS = {"spec.shadow", "spec.evaluation", "spec.budget", "spec.sticky"}
"""Parts of a plan that no object stands for: what is said of them is a warning here."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--stage", type=click.IntRange(min=0), default=1, show_default=True, help="Counted from 1; 0 is before any traffic."
)
@click.option("-n", "--namespace", help="Namespace of the objects; the plan's own when left out.")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@click.option(
    "--catalogue",
    "additions",
    type=click.Path(path_type=Path),
    multiple=True,
    help="YAML with your own gpus, models, quantizations.",
)
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="json: one List.")
def command(
    file: Path, stage: int, namespace: str | None, settings: Path | None, additions: tuple[Path, ...], output: str
) -> None:
    """Print the ServingRuntimes, InferenceServices and the route of FILE at a stage.

    Exit code: 0 rendered, 2 bad input (nothing is printed then).
    """
    from canary.errors import BadInput, SpecError
    from controlplane import spec_files
    from controlplane.profiles.sources import catalogue
    from profiles.errors import ProfileError

    try:
        document = spec_files.load(file, settings=settings)
        _refuse(document)
        objects, notes = manifests(document, stage, namespace, catalogue(additions))
    except (BadInput, SpecError, ProfileError) as error:
        click.echo(f"{error}\nNothing was rendered.", err=True)
        raise SystemExit(2) from error
    for note in notes:
        click.echo(f"{file}: note: {note}", err=True)
    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, ensure_ascii=False))
    else:
        click.echo(as_yaml(objects), nl=False)


def manifests(
    document: "Document", stage: int, namespace: str | None, known: "Catalogue"
) -> tuple[list["Object"], list[str]]:
    """The objects of a stage in the order in which they are made, and what a person should know of them.

    Raises `BadInput` for a stage that the plan does not have, and for a variant that no server can carry out.
    """
    from canary.errors import BadInput
    from canary.weights import ALL_STABLE, Weights
    from controlplane.kserve.manifests import variants

    plan = document.canary
    if stage > len(plan.spec.stages):
        raise BadInput(f"{plan.metadata.name} has {len(plan.spec.stages)} stages, so there is no stage {stage}.")
    weights = Weights.of_share(plan.spec.stages[stage - 1].traffic) if stage else ALL_STABLE
    place = namespace or plan.metadata.namespace or "default"
    made = variants(plan, weights, namespace=place, known=known)
    objects, notes = list(made.objects), list(made.notes)
    if made.needs_route:
        objects.append(_route(document, weights, place))
    return objects, notes


def as_yaml(objects: list["Object"]) -> str:
    """One document for each object, in the order of their keys, as people write them."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Without anchors: two probes of one shape are two mappings to a reader."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump_all(objects, Dumper=Plain, sort_keys=False, allow_unicode=True, explicit_start=True))


def _route(document: "Document", weights: Any, namespace: str) -> "Object":
    """The HTTPRoute once these weights are in force."""
    from controlplane.gateway.route import backends_of, http_route
    from controlplane.gateway.slots import all_on, steps

    backends = backends_of(document.canary)
    slots = all_on(backends["stable"])
    for step in steps(slots, backends, weights):
        slots = step.slots
    return http_route(document.canary, namespace, slots)


def _refuse(document: "Document") -> None:
    """What the operator would not accept is not rendered; parts without objects are only named."""
    from canary.errors import SpecError
    from canary.spec.cluster import cluster_faults
    from controlplane.adapters.cost_source import dollars_an_hour
    from controlplane.cli.validate import as_warning

    faults = cluster_faults(document, dollars_an_hour)
    if grave := tuple(fault for fault in faults if fault.path not in WITHOUT_OBJECTS):
        raise SpecError(grave)
    for fault in faults:
        click.echo(as_warning(fault), err=True)
