"""`serinus schema`: the JSON Schema of canary.yml, for editors that check and complete while one writes, and the
CustomResourceDefinition of ModelCanary, for clusters.
"""

import json

import click

from canary.spec.crd import custom_resource_definition
from canary.spec.schema import json_schema

GENERATED = "# Made by `serinus schema --crd` from the models that read canary.yml; not to be edited.\n"


@click.command()
@click.option("--crd", is_flag=True, help="Print the CustomResourceDefinition of ModelCanary, as YAML, instead.")
def command(*, crd: bool) -> None:
    """Print the JSON Schema of canary.yml, for editors.

    Save it and name it in the first line of a canary.yml: # yaml-language-server: $schema=canary.schema.json
    """
    if crd:
        click.echo(crd_as_yaml(), nl=False)
        return
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def crd_as_yaml() -> str:
    """The file in `manifests/crd/`."""
    import yaml

    # By way of JSON, so that equal parts are written out and not as aliases of each other.
    plain = json.loads(json.dumps(custom_resource_definition()))
    text = yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=True)
    return f"{GENERATED}{text}"
