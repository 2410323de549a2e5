"""One replica's totals once more for each value of a label, from those of its series that carry the label.

For gates with `by: tenant`. Used by `samples.py` for pages, and by sources that read the same series again and again.
Labels are looked at once; series without the label are in no part. Remembers no number. How many values are told apart
is the judge's to say (`canary.judge.label_cardinality`); what is here only keeps a label without end from costing
without end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from canary.snapshot import PodCounters
from canary.spec.models import Gate
from canary.spec.recipe import Recipe, SeriesId
from canary.spec.sources import Profile
from canary.weights import Arm

MOST_VALUES = 512
"""Values of a label that are read of one replica; the rest is left out."""
Parts = Mapping[str, Mapping[str, PodCounters]]
"""Of one replica: label to value to totals."""
Segments = Mapping[str, Mapping[str, Mapping[Arm, Mapping[str, PodCounters]]]]
"""Label to value to arm to replica to totals, as in `Counters.segments`."""


def labels_of(gates: Iterable[Gate]) -> tuple[str, ...]:
    """The labels that gates name."""
    return tuple(sorted({gate.by for gate in gates if gate.by}))


class Labelled:
    """Recipes of one replica's parts: one for each value of each label."""

    def __init__(self, series: Sequence[SeriesId], profile: Profile, labels: Sequence[str]) -> None:
        """`profile` is made by `sources.by_label`; its rows decide as they do for whole replicas."""
        self._parts: list[tuple[str, str, list[int], Recipe]] = []
        for label in labels:
            values: dict[str, list[int]] = defaultdict(list)
            for place, each in enumerate(series):
                if value := each.labels.get(label):
                    values[value].append(place)
            for value in sorted(values)[:MOST_VALUES]:
                places = values[value]
                self._parts.append((label, value, places, Recipe([series[place] for place in places], profile)))

    def totals(self, values: Sequence[float], started_at: float | None) -> Parts:
        """The running totals by label and value; `values` are numbers, one for each series.

        `started_at` is the replica's: what is counted of a part is as warm as the whole.
        """
        parts: dict[str, dict[str, PodCounters]] = defaultdict(dict)
        for label, value, places, recipe in self._parts:
            totals = recipe.totals([values[place] for place in places])
            if totals != _NOTHING:
                parts[label][value] = replace(totals, started_at=started_at)
        return parts


_NOTHING = PodCounters()


def gathered(replicas: Iterable[tuple[Arm, str, Parts]]) -> Segments:
    """The parts of several replicas, put in the order in which the judge reads them."""
    segments: dict[str, dict[str, dict[Arm, dict[str, PodCounters]]]] = {}
    for arm, name, parts in replicas:
        for label, values in parts.items():
            for value, totals in values.items():
                segments.setdefault(label, {}).setdefault(value, {}).setdefault(arm, {})[name] = totals
    return segments
