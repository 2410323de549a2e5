"""`serinus schema`: the JSON Schema of canary.yml, for editors that check and complete while one writes."""

import json

import click

from canary.spec.schema import json_schema


@click.command()
def command() -> None:
    """Print the JSON Schema of canary.yml, for editors.

    Save it and name it in the first line of a canary.yml: # yaml-language-server: $schema=canary.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
