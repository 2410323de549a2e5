"""`serinus schema`: the JSON Schema, for editors."""

import json

import jsonschema
import yaml
from click.testing import CliRunner

from controlplane.cli.schema import command


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert len(schema["oneOf"]) == 3


def test_the_definition_for_clusters_is_printed_as_yaml_that_kubectl_takes() -> None:
    """One document, written out in full, with a line that says what it is made of."""
    result = CliRunner().invoke(command, ["--crd"])
    assert result.exit_code == 0
    assert result.stdout.startswith("# Made by `serinus schema --crd`")
    assert "&id" not in result.stdout
    found = yaml.safe_load(result.stdout)
    assert found["kind"] == "CustomResourceDefinition"
    assert found["spec"]["names"]["shortNames"] == ["mcan"]
