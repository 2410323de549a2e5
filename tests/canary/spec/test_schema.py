"""The JSON Schema for editors agrees with the parser."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import SpecError
from canary.spec import local_faults, metrics, parse, parse_document
from canary.spec.reader import read
from canary.spec.schema import json_schema
from canary.spec.source import Source
from canary.spec.units import native

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
REFERENCE = (Path(__file__).parents[3] / "docs" / "canary-yml.md").read_text(encoding="utf-8")
GATED = """\
metadata: {{name: a}}
spec:
  model: {{name: m}}
  stable: {{name: v1}}
  canary: {{name: v2}}
  stages: [{{traffic: 5%, hold: 1d}}, {{traffic: 100%, hold: 1d}}]
  {}
"""
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def as_an_editor_reads(text: str | bytes) -> Any:
    """The values that a YAML 1.2 reader without a schema makes of a text."""
    root, _ = read(Source("x.yml", text))
    assert root is not None
    return native(root.plain())


def parsed(text: str) -> bool:
    """Whether the parser accepts a text."""
    try:
        parse(text, "x.yml")
    except SpecError:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.canary.yml")), ids=lambda path: path.name)
def test_r15_the_schema_accepts_every_example(path: Path) -> None:
    VALIDATOR.validate(as_an_editor_reads(path.read_bytes()))


def test_every_field_is_explained() -> None:
    """Hovering over any key in an editor shows its sentence."""
    silent = [
        f"{name}.{key}"
        for name, definition in SCHEMA["$defs"].items()
        for key, of_property in definition.get("properties", {}).items()
        if not of_property.get("description")
    ]
    assert silent == []


def test_every_mapping_refuses_unknown_keys() -> None:
    open_ones = [name for name, each in SCHEMA["$defs"].items() if each.get("additionalProperties") is not False]
    assert open_ones == []


def test_r15_the_reference_names_every_field_metric_and_figure() -> None:
    """docs/canary-yml.md cannot fall behind the models."""
    keys = {key for each in SCHEMA["$defs"].values() for key in each.get("properties", {})}
    named = set(re.findall(r"[\w/$]+", REFERENCE))
    assert sorted((keys | metrics.BUILT_IN.keys() | metrics.KNOWN_KPIS.keys()) - named) == []
    sentences = [metric.about for metric in metrics.BUILT_IN.values()]
    assert [sentence for sentence in sentences if sentence not in REFERENCE] == []


def test_r15_every_sample_in_the_reference_is_read() -> None:
    """Plans are plans, parts of a spec are parts, and the settings complete a short form."""
    samples = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
    assert len(samples) == 9
    for sample in samples:
        if sample.startswith("# serinus.yml"):
            short = "model: m\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\n"
            document = parse_document(short, "canary.yml", Source("serinus.yml", sample))
            assert local_faults(document) == ()
        elif sample.startswith("ready:"):
            parse(GATED.format("").replace("name: v2", f"name: v2, {sample.strip()}"), "canary.yml")
        elif sample.startswith(("gates:", "fingerprint:")):
            parse(GATED.format(sample.replace("\n", "\n  ")), "canary.yml")
        else:
            parse(sample, "canary.yml")


FAULTY = {
    "an unknown key": "metadata: {name: a}\nspec: {stagez: []}\n",
    "a stage of five": "metadata: {name: a}\nspec:\n  stages: [{traffic: 5}]\n",
    "a bare hold": "metadata: {name: a}\nspec:\n  stages: [{traffic: 5%, hold: 5}]\n",
    "an unknown reaction": "metadata: {name: a}\nspec: {onBreach: explode}\n",
    "a gate without a number": "metadata: {name: a}\nspec: {gates: [latency]}\n",
    "a split without a canary": "model: m\nvariants: [{name: a}]\ntraffic_split: 95/5\n",
    "two forms at once": "model: m\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\ndeploy: {}\n",
}


@pytest.mark.parametrize("name", FAULTY)
def test_the_schema_refuses_what_an_editor_can_see(name: str) -> None:
    """And so does the parser."""
    assert not VALIDATOR.is_valid(as_an_editor_reads(FAULTY[name]))
    assert not parsed(FAULTY[name])


SCALARS = st.sampled_from(
    [
        "5%", "5 %", "0.1%", "100%", "0.05", "1.0", "0", "5", "-5%", "200ms", "2.5s", "1h30m", "7d", "0s", "5 minutes",
        "$100", "$0.40", "$1,000", "100", "true", "TRUE", "yes", "on", "null", "~", "", "1.10", "12e34567", "025",
        '"5%"', '"true"', "v1", "V1", "support-llm", "/health", "127.0.0.1:0", "hf://a/b", "../x", "rollback", "hold",
        "threshold", "sequential", "pause", "promote", "latency", "latency p95 <= 200ms", "csat drop <= 3%",
        "error_rate <= 5", "f1 >= stable", "f1 >= 70%", "kpi/x", "[a]", "[]", "{}", "{a: b}", "{a: 1}", "3", "0.5",
        "x-tier", "http://a/b", "95/5", "lower", "llm", "exact", "{name: a}", "{text: a}",
        "[{metric: latency, max: 1s}]",
    ]
)  # fmt: skip
FIELDS: dict[str, tuple[str, list[str]]] = {
    "model": ("{{name: {0}, uri: {1}}}", ["m 1.10", "m hf://a/b", "'5' v1", "true 12e34567"]),
    "stable": (
        "{{name: {0}, quantization: {1}, ready: {{path: {2}, timeout: {3}, period: {3}, failures: {4}}}}}",
        ["v1 awq /up 5s 3", "1.10 1.10 /health 200ms '1'", "v1 ~ /v2/health/ready 2.5s 100"],
    ),
    "canary": (
        "{{name: {0}, replicas: {1}, env: {{A: {2}}}, command: [{2}], ready: {3}}}",
        ["v2 3 0.5 /up", "v2 '3' on /", "v2 1 true {}"],
    ),
    "platform": ("{{local: {{listen: {0}, scrapeInterval: {1}}}}}", ["127.0.0.1:0 1s", "'[::1]:80' 200ms"]),
    "shadow": ("{{traffic: {0}, for: {1}, judge: {{kind: {2}}}}}", ["5% 7d exact", "0.05 2w exact", "100% 0 exact"]),
    "evaluation": ("{{dataset: {0}, metrics: [{1}]}}", ["a.jsonl f1>=stable", "hf://a/b f1>=70%"]),
    "stages": (
        "[{{traffic: {0}, hold: {1}, gates: [{2}]}}, {{traffic: 100%}}]",
        ["5% 1h30m latency<=1s", ".5 0 csat>=4"],
    ),
    "gates": ("[{{metric: {0}, max: {1}, window: {2}, test: threshold}}]", ["latency 200ms 4h", "error_rate 0.05 1m"]),
    "onBreach": ("{0}", ["hold", "pause", "rollback"]),
    "judge": ("{{falseRollback: {0}, warmup: {1}, hardStop: {{enabled: {2}}}}}", ["1% 0s true", "0.05 5m 'FALSE'"]),
    "maxBlind": ("{0}", ["7d", "0", "1.5s"]),
    "cohort": ("{{header: {0}, in: [{1}]}}", ["x-tier a", "x-tier true", "3 1.10"]),
    "sticky": ("{{header: {0}}}", ["x-tier", "3"]),
    "budget": ("{{perDay: {0}, onExceed: throttle, to: {1}}}", ["$100 5%", "$1000 0.05", "0 1.0"]),
    "alerts": ("[{{slack: {{channel: {0}, urlFrom: {{secret: {1}, key: {2}}}}}}}]", ["ops a b", "~ a 3"]),
}
"""Each field as a template, with scalars that make sense in it."""
SOUND = {
    "model": "{name: m}",
    "stable": "{name: v1, labels: {a: b}}",
    "canary": "{name: v2}",
    "stages": "[{traffic: 5%, gates: [latency p95 <= 200ms]}, {traffic: 100%}]",
}


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Full forms; in each field that is drawn, scalars that make sense or any at all."""
    said = dict(SOUND)
    for key in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True)):
        template, sensible = FIELDS[key]
        scalars = draw(st.sampled_from(sensible)).split(" ")
        scalars = [draw(SCALARS) if draw(st.integers(0, 9)) == 0 else scalar for scalar in scalars]
        said[key] = template.format(*scalars)
    return "metadata: {name: a}\nspec:\n" + "".join(f"  {key}: {value}\n" for key, value in said.items())


@st.composite
def short_forms(draw: st.DrawFn) -> str:
    """Short forms with any scalars."""
    if draw(st.booleans()):
        return (
            f"model: {draw(SCALARS)}\nvariants: [{{name: {draw(SCALARS)}, prompt: {draw(SCALARS)}}}, {{name: b}}]\n"
            f"traffic_split: {draw(SCALARS)}\n"
        )
    return (
        f"deploy: {{canary: {{weight: {draw(SCALARS)}, cohort: {draw(SCALARS)}}},"
        f" a_b: {{control: {draw(SCALARS)}, variant: b}}}}\n"
    )


@given(plans() | short_forms())
@settings(deadline=None)
def test_r11_what_the_parser_accepts_the_schema_accepts(text: str) -> None:
    """Nothing that works is ever underlined; so whatever the schema refuses, the parser refuses too."""
    root, faults = read(Source("x.yml", text))
    if root is None or faults:
        return
    if parsed(text):
        VALIDATOR.validate(native(root.plain()))


@pytest.mark.parametrize("key", FIELDS)
def test_what_makes_sense_in_a_field_is_accepted_by_both(key: str) -> None:
    """So that the property above does not hold for want of sound documents."""
    template, sensible = FIELDS[key]
    for scalars in sensible:
        said = {**SOUND, key: template.format(*scalars.split(" "))}
        text = "metadata: {name: a}\nspec:\n" + "".join(f"  {name}: {value}\n" for name, value in said.items())
        parse(text, "x.yml")
        VALIDATOR.validate(as_an_editor_reads(text))
