"""Which Prometheus servers the operator asks, and which of them a plan may name.

Made by the command line, asked by `cluster_environments.py` for each plan. A plan names a Prometheus of the registry by
its name; an address in a plan is dialled only where the operator was started with that permission, for whoever writes
plans must not reach what the operator's network reaches, nor be sent its tokens. Dials nothing itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from canary.errors import BadInput
from controlplane.adapters.dial_policy import Reach
from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.evidence.metric_locations import Labels

Addresses = Literal["named", "public", "private"]
"""Addresses in plans: none; those of the internet over https; those of private networks as well, over http too."""
LONGEST_FILE = 1024 * 1024
_MATCHER = r'\s*[a-zA-Z_][a-zA-Z0-9_]*\s*(=|!=|=~|!~)\s*"(?:[^"\\\n]|\\.)*"\s*'
_MATCHERS = re.compile(rf"{_MATCHER}(,{_MATCHER})*")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return "".join([first, *(part.capitalize() for part in rest)])


class RegisteredPrometheus(BaseModel):
    """One Prometheus, as the registry's file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_camel)

    url: str
    namespaces: tuple[str, ...] = ()
    """Whose plans may name it; all where there is none."""
    selector: str = ""
    """Label matchers for every counter."""
    token_file: Path | None = None
    ca_file: Path | None = None
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Known:
    """A Prometheus that is asked."""

    name: str
    """What tells it from the others."""
    url: str
    access: PrometheusAuth
    labels: Labels
    reach: Reach | None = None
    """What may be dialled; None for an address that the operator itself was given."""
    shared: bool = True
    """Whether plans of all namespaces may name it; else it may well be that of a tenant."""

    @property
    def trusted(self) -> bool:
        """Whether the operator vouches for it; else its address is a plan's."""
        return self.reach is None


@dataclass(frozen=True, slots=True)
class Registry:
    """All that may be asked."""

    own: Known | None = None
    """For plans that name none."""
    named: Mapping[str, RegisteredPrometheus] = field(default_factory=dict)
    addresses: Addresses = "named"
    labels: Labels = field(default_factory=Labels)
    """Of the operator; a selector is each Prometheus' own."""

    @classmethod
    def of(
        cls,
        url: str | None,
        access: PrometheusAuth | None = None,
        *,
        named: Mapping[str, RegisteredPrometheus] | None = None,
        addresses: Addresses = "named",
        labels: Labels | None = None,
    ) -> "Registry":
        """`url` and `access`: the operator's own."""
        labels = labels or Labels()
        own = Known(url, url, access or PrometheusAuth(), labels) if url is not None else None
        return cls(own, named or {}, addresses, labels)

    def find(self, plan: str, namespace: str, asked: str | None) -> Known:
        """What a plan's `platform.kserve.prometheus` means. Raises `BadInput` for what it may not have."""
        if asked is None:
            if self.own is None:
                raise BadInput(
                    f"{plan}: nobody says where Prometheus answers. Write platform.kserve.prometheus, or start the "
                    "controller with --prometheus."
                )
            return self.own
        address = asked.rstrip("/") if "://" in asked else ""
        if address and self.own is not None and address == self.own.url.rstrip("/"):
            return self.own
        for name, entry in self.named.items():
            same = address == entry.url.rstrip("/") if address else asked == name
            if same and (not entry.namespaces or namespace in entry.namespaces):
                return self._known(name, entry)
        if not address or self.addresses == "named":
            raise BadInput(f"{plan}: {self._refusal(namespace, asked, is_address=bool(address))}")
        private = self.addresses == "private"
        if not private and not asked.startswith("https://"):
            raise BadInput(
                f"{plan}: platform.kserve.prometheus is {asked}; of addresses in plans only https:// is asked."
            )
        return Known(address, address, PrometheusAuth(), self._with(""), Reach(private=private, loopback=False))

    def _known(self, name: str, entry: RegisteredPrometheus) -> Known:
        access = PrometheusAuth(bearer_file=entry.token_file, ca_file=entry.ca_file, headers=entry.headers)
        labels = self._with(entry.selector)
        return Known(f"{name} ({entry.url})", entry.url, access, labels, shared=not entry.namespaces)

    def _with(self, selector: str) -> Labels:
        return Labels(self.labels.namespace, self.labels.pod, selector, self.labels.gateways)

    def _refusal(self, namespace: str, asked: str, *, is_address: bool) -> str:
        here = [name for name, entry in self.named.items() if not entry.namespaces or namespace in entry.namespaces]
        known = f"one of {', '.join(sorted(here))}" if here else "none is known by a name here"
        if is_address:
            return (
                f"platform.kserve.prometheus is the address {asked}, and this operator asks only those that it was "
                f"given: leave it out, or name {known}. --prometheus-addresses allows addresses in plans."
            )
        return (
            f"no Prometheus is called {asked} for plans in {namespace}: leave platform.kserve.prometheus out, or name "
            f"{known}."
        )


def registry_in(file: Path) -> dict[str, RegisteredPrometheus]:
    """The entries of a file of names. Raises `BadInput`."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_FILE + 1)
        if len(text) > LONGEST_FILE:
            raise BadInput(f"{file} is larger than {LONGEST_FILE} bytes.")
        entries = TypeAdapter(dict[str, RegisteredPrometheus]).validate_python(yaml.safe_load(text) or {})
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{file} is not YAML.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BadInput(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    for name, entry in entries.items():
        checked_selector(entry.selector)
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) or not re.match(r"https?://.", entry.url):
            raise BadInput(
                f"{file}: {name}: expected a name of lower-case letters, digits, - and ., and an http(s) url."
            )
    return entries


def checked_selector(text: str) -> str:
    """The text, which is a list of label matchers or empty. Raises `BadInput`."""
    if text and not _MATCHERS.fullmatch(text):
        raise BadInput(f'A selector is a list of label matchers such as cluster="eu-1"; got {text[:100]!r}.')
    return text
