"""Texts with a form of their own: names, headers, paths and addresses that later stand in URLs, routes and command
lines.

Used by `models.py` as types of fields. Each refuses what could mean something else to whoever gets it next: a leading
`-` (an option), `..` (another folder), `$HOME`, an encoded dot, a line end, a transport such as `ext::`.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from canary.dns import LABEL, SUBDOMAIN
from canary.spec.source import quoted
from canary.spec.units import Text, UnreadableNumber

URI_SCHEMES = ("hf", "s3", "gs", "https", "http", "pvc", "oci", "file", "hdfs", "webhdfs", "abfs", "model")
"""Where weights and data sets may come from."""

LONGEST_NAME = 63
LONGEST_PLACE = 2048
LONGEST_PATH = 1024
LONGEST_HOST = 253
"""Characters: what browsers, file systems and DNS take; a cluster's rules need to know an end."""

LONGEST_GATEWAY = 63 + 1 + 253
LONGEST_NAME = 63
NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
OBJECT = f"^{SUBDOMAIN}$"
GATEWAY = f"^({LABEL}/)?{SUBDOMAIN}$"
HEADER = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
HTTP_PATH = r"^/[A-Za-z0-9/._~%?=&+,:@-]*$"
_LISTEN = r"^(([0-9]{1,3}\.){3}[0-9]{1,3}|\[[0-9a-fA-F:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?):[0-9]{1,5}$"
_WEB = r"^https?://[A-Za-z0-9\[][^\s\\\"'<>]*$"
PROMETHEUS = (
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?|https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9_~.-]*)*)$"
)
HOSTNAME = r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
_NAME = re.compile(NAME.replace("$", r"\Z"))
_ESCAPES = re.compile(r"(^|/)\.\.(/|$)|%2e|%2f|%00|[$`~\\\n\r\0]|::", re.IGNORECASE)


def is_name(value: str) -> bool:
    """Whether a rollout or a variant may be called so; it is part of paths and of other names everywhere."""
    return len(value) <= LONGEST_NAME and _NAME.match(value) is not None


def _of_form(pattern: str, expected: str) -> AfterValidator:
    """The text has this form, or the error says which form was expected."""
    compiled = re.compile(pattern.replace("$", r"\Z"))

    def check(value: str) -> str:
        if not compiled.match(value):
            raise UnreadableNumber(f"expected {expected}, got {quoted(value)}")
        return value

    return AfterValidator(check)


def _port_in_range(value: str) -> str:
    if int(value.rpartition(":")[2]) > 65535:
        raise UnreadableNumber(f"expected a port from 0 to 65535, got {quoted(value)}")
    return value


def _relative_path(value: str) -> str:
    if not value or value.startswith(("/", "-")) or "://" in value or _ESCAPES.search(value):
        raise UnreadableNumber(
            f"expected the path of a file beside this one, such as prompts/v2.txt, got {quoted(value)}"
        )
    return value


def _location(value: str) -> str:
    """A place of weights or data: a path or repository name, or a URI of a known scheme."""
    scheme, found, rest = value.partition("://")
    if not value or value.startswith("-") or re.search(r"\s", value) or _ESCAPES.search(value):
        raise UnreadableNumber(f"expected a place such as hf://org/name or evals/returns.jsonl, got {quoted(value)}")
    if found and (scheme not in URI_SCHEMES or not rest):
        raise UnreadableNumber(
            f"expected a place that begins with one of {', '.join(URI_SCHEMES)}, then ://, got {quoted(value)}"
        )
    return value


def _no_way_up(value: str) -> str:
    if re.search(r"/\.\.?(/|\Z)", value):
        raise UnreadableNumber(f"expected an address without . and .. in its path, got {quoted(value)}")
    return value


def _schema(pattern: str) -> WithJsonSchema:
    """For editors: texts have this form; a plain number or word without quotes is text here, too."""
    return WithJsonSchema({"type": ["string", "number", "boolean"], "pattern": pattern})


Name = Annotated[
    Text,
    Field(max_length=LONGEST_NAME),
    _of_form(NAME, "a name of lower-case letters, digits, - and ., such as support-llm"),
    WithJsonSchema({"type": ["string", "number", "boolean"], "pattern": NAME, "maxLength": LONGEST_NAME}),
]
"""What Kubernetes accepts as a name, since that is where most of them end up."""
ObjectName = Annotated[
    Text,
    Field(max_length=LONGEST_NAME),
    _of_form(OBJECT, "the name of an object in a cluster, such as vllm-runtime"),
    WithJsonSchema({"type": ["string", "number", "boolean"], "pattern": OBJECT, "maxLength": LONGEST_NAME}),
]
"""Name of something that is in the cluster already: it becomes part of an address of the API server."""
Header = Annotated[Text, _of_form(HEADER, "the name of an HTTP header, such as x-session-id"), _schema(HEADER)]
"""Name of an HTTP header."""
HttpPath = Annotated[
    Text, Field(max_length=LONGEST_PATH), _of_form(HTTP_PATH, "a path such as /health"), _schema(HTTP_PATH)
]
"""Path of a request, from `/`."""
Listen = Annotated[
    Text, _of_form(_LISTEN, "an address such as 127.0.0.1:8080"), AfterValidator(_port_in_range), _schema(_LISTEN)
]
"""Address and port to listen on; port 0 is any free one."""
WebAddress = Annotated[
    Text,
    Field(max_length=LONGEST_PLACE),
    _of_form(_WEB, "an address such as http://judge.models.svc/v1"),
    _schema(_WEB),
]
"""`http://` or `https://`."""
Prometheus = Annotated[
    Text,
    Field(max_length=LONGEST_PLACE),
    _of_form(
        PROMETHEUS,
        "the name of a Prometheus that the operator knows, or an address such as http://prometheus.monitoring:9090 "
        "without user, query and fragment",
    ),
    AfterValidator(_no_way_up),
    _schema(PROMETHEUS),
]
"""A Prometheus, by its name in the operator's registry or by its address."""
Hostname = Annotated[
    Text,
    Field(max_length=LONGEST_HOST),
    _of_form(HOSTNAME, "a host name such as llm.example.com"),
    _schema(HOSTNAME),
]
"""Name of a host, perhaps with `*.` before it."""
RelativePath = Annotated[Text, AfterValidator(_relative_path)]
"""A file in the folder of the canary.yml or below."""
Location = Annotated[
    Text,
    Field(max_length=LONGEST_PLACE),
    AfterValidator(_location),
    WithJsonSchema({"type": ["string", "number", "boolean"], "maxLength": LONGEST_PLACE}),
]
"""Where weights or data are."""
