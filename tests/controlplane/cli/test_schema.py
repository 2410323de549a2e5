"""`serinus schema`: the JSON Schema, for editors."""

import json

import jsonschema
from click.testing import CliRunner

from controlplane.cli.schema import command


def test_the_schema_is_printed_as_json() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert len(schema["oneOf"]) == 3
