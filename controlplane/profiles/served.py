"""What both variants of a rollout are, as served: their endpoints are asked, and their files are read where the plan
names a folder. Implements `controlplane.ports.Identity`.

Put together by `controlplane.program` and by the operator's world. Never a reason to stop a rollout by itself: whoever
does not answer, or not in a way that is understood, makes fields unknown. What follows is `canary/fingerprint.py`'s.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from canary.errors import Unavailable
from canary.snapshot import FingerprintDifference, FingerprintStatus
from canary.spec.models import CanarySpec, Variant
from canary.weights import Arm
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.ports import Clock
from controlplane.profiles.identity import of_directory, of_served
from profiles.errors import Malformed
from profiles.fingerprint import FIELDS, Comparison, Fingerprint, compare, together

TRIES = 8
"""Answers that may fail to come before nobody is asked any more."""
ANSWER_WITHIN = 3.0
"""Seconds for one answer of a server that is ready and near."""
FILE = "file://"


class ServedIdentity:
    """Compares stable and canary by one replica each."""

    def __init__(
        self,
        spec: CanarySpec,
        endpoints: Callable[[], Mapping[Arm, Mapping[str, str]]],
        http: BoundedHttp,
        *,
        clock: Clock,
        files: bool = False,
    ) -> None:
        """`endpoints`: `host:port` of the ready replicas by arm and name; `files`: whether this machine has theirs."""
        self._spec, self._endpoints, self._clock, self._files = spec, endpoints, clock, files
        self._http = http
        self._tries = 0
        self._compared: Comparison | None = None
        """What the files say, once they were read."""

    async def compare(self) -> FingerprintStatus:
        """Ask both; an answer that did not come leaves it open, until it was tried often enough."""
        self._tries += 1
        if self._compared is None:
            self._compared = await asyncio.to_thread(self._by_files)
        problem, open_ = "", False
        unnamed: tuple[FingerprintDifference, ...] = ()
        try:
            stable, answers_to = await self._asked("stable")
            canary, also = await self._asked("canary")
            served, unnamed = compare(stable, canary), _unnamed(self._spec.model.name, answers_to, also)
        except Unavailable as error:
            served, problem, open_ = compare(Fingerprint(), Fingerprint()), str(error), self._tries < TRIES
        except Malformed as error:
            served, problem = compare(Fingerprint(), Fingerprint()), str(error)
        found, now = together([self._compared, served]), self._clock.now()
        differences = tuple(
            FingerprintDifference(each.field, each.stable, each.canary, each.why, each.harmless)
            for each in found.differences
        )
        differences = (*unnamed, *differences)
        known = tuple(name for name in FIELDS if name not in found.unknown)
        return FingerprintStatus(now, now, not open_, differences, known, found.unknown, problem)

    async def _asked(self, arm: Arm) -> tuple[Fingerprint, tuple[str, ...]]:
        variant = self._spec.stable if arm == "stable" else self._spec.canary
        replicas = self._endpoints()[arm]
        if not replicas:
            raise Unavailable(f"{variant.name} has no address yet")
        try:
            where = f"http://{replicas[min(replicas)]}"
            return await of_served(self._http, where, self._spec.model.name, seconds=ANSWER_WITHIN)
        except Unavailable as error:
            raise Unavailable(f"{variant.name} does not tell: {error}") from error
        except Malformed as error:
            raise Malformed(f"{variant.name} does not tell: {error}") from error

    def _by_files(self) -> Comparison:
        """Of the folders that the plan names; all unknown where one of them is no model's, or cannot be read."""
        stable, canary = (self._read(variant) for variant in (self._spec.stable, self._spec.canary))
        return compare(stable or Fingerprint(), canary or Fingerprint())

    def _read(self, variant: Variant) -> Fingerprint | None:
        for folder in _folders(self._spec, variant) if self._files else ():
            try:
                if (folder / "config.json").is_file():
                    return of_directory(folder)
            except (Malformed, OSError, ValueError):
                return None
        return None


def _folders(spec: CanarySpec, variant: Variant) -> Iterator[Path]:
    """Folders that may hold the variant's model: where its uri leads, and what its command names."""
    words = (word.partition("=")[2] if word.startswith("--") else word for word in variant.command)
    for place in (variant.uri, *words, spec.model.uri):
        if place and (place.startswith(FILE) or "://" not in place):
            yield Path(place.removeprefix(FILE))


def _unnamed(model: str, stable: tuple[str, ...], canary: tuple[str, ...]) -> tuple[FingerprintDifference, ...]:
    """Where stable answers to the model's name and the canary does not: nobody who asks for it would be served."""
    if model not in stable or model in canary:
        return ()
    why = f"requests for {model} are answered 404 (vLLM: --served-model-name {model})"
    return (FingerprintDifference("model_name", model, ", ".join(canary), why),)
