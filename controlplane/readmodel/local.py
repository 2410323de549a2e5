"""A rollout of this machine, read where `serinus run` writes it: the store and the files of its state folder.

Used by the dashboard of a laptop. Opens nothing itself: whoever finds the folder hands its store in.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from canary.rollout import Rollout
from canary.spec.models import CanarySpec
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.readmodel.panels_local import local_facts, prometheus_port
from controlplane.readmodel.promql import local_graphs
from controlplane.readmodel.rollout_view import RolloutView, view_of
from controlplane.view.live import read_live, read_samples

FILE = "serinus.db"
"""The store in a state folder."""


@dataclass(frozen=True, slots=True)
class LocalRollout:
    """A rollout of this machine. Implements `RolloutHandle`."""

    id: str
    """Its name where its folder has that name too, as by default; else `folder~name`."""
    name: str
    folder: Path
    store: SqliteStore

    def view(self, spec: CanarySpec, rollout: Rollout, now: float) -> RolloutView:
        """See `RolloutHandle`."""
        looked = view_of(spec, rollout, read_live(self.folder, self.name), now)
        graphs = local_graphs(prometheus_port(self.folder))
        return replace(looked, facts=local_facts(self.folder, rollout, looked.seen), graphs=graphs)

    def samples(self, attempt: int) -> Sequence[Mapping[str, Any]]:
        """See `RolloutHandle`."""
        return read_samples(self.folder, self.name, attempt)

    async def news(self, seconds: float) -> None:
        """See `RolloutHandle`; a file tells nobody that it has changed."""
        await asyncio.sleep(seconds)
