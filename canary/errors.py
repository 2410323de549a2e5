"""The errors of this product, each saying whose turn it is.

    SerinusError
    ├── SpecError          yours: the canary.yml has faults, all of them listed; nothing running was touched
    ├── BadInput           yours: something else you handed over cannot be used
    ├── ExternalError         the world's: a program, network or file failed; it is tried again
    │   ├── Unavailable    a source or store does not answer for now
    │   └── Conflict       somebody else wrote first; read again and decide again
    └── BugError           ours: an invariant was about to break; please report it

Raised everywhere, shown by `controlplane.cli`. Wording: what happened, to what, what was expected, what happens next.
"""

from dataclasses import dataclass


class SerinusError(Exception):
    """The root: `str(error)` is one or more sentences for a person."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a file: where (1-based line and column), what, and what was expected instead.

    Line and column are 0 where there is no text to point into: in a resource, and for a file as a whole.
    """

    file: str
    line: int
    column: int
    path: str
    """Dotted path of the field, such as `spec.stages[1].traffic`; empty for the file as a whole."""
    message: str
    """What is wrong and what was expected, one sentence."""
    excerpt: str = ""
    """Up to three lines of the file with a caret under the column."""

    def __str__(self) -> str:
        """`file:line:column: path: message`, then the excerpt on its own lines."""
        path = f"{self.path}: " if self.path else ""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        head = f"{where}: {path}{self.message}"
        return f"{head}\n{self.excerpt}" if self.excerpt else head


class SpecError(SerinusError):
    """A canary.yml cannot be used. Holds every fault, in the order of the file."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class BadInput(SerinusError):  # noqa: N818 - reads as what it is: bad input
    """Something the user handed over, other than a canary.yml, cannot be used."""


class ExternalError(SerinusError):
    """Something outside failed. The rollout goes on and it is tried again."""


class Unavailable(ExternalError):  # noqa: N818 - a state of the world, not an accident
    """A source, store or program does not answer for now."""


class Conflict(ExternalError):  # noqa: N818 - the store's word for it
    """Somebody else wrote since we read: read again, decide again."""


class BugError(SerinusError):
    """An invariant of ours was about to break. Nothing was changed."""
