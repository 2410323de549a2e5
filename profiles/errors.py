"""The errors of this package, each a sentence or two for a person.

    ProfileError
    ├── Unknown     a name is not in the catalogue; says the nearest ones and how to add one
    ├── Malformed   an entry, a config.json or a row cannot be read; says which field and what was expected
    ├── Refused     a combination that cannot work (GPU and method, heads and tensor parallelism)
    └── DoesNotFit  the memory is not enough; says how much is missing and the smallest change that helps

Raised by every module here; `controlplane.cli.profile` shows them and exits with 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ProfileError(Exception):
    """The root: `str(error)` is ready to be shown."""


class Unknown(ProfileError):  # noqa: N818 - reads as what it is: an unknown name
    """A name that the catalogue does not have."""

    def __init__(self, kind: str, name: str, known: Iterable[str], how: str) -> None:
        self.kind = kind
        self.name = name
        self.nearest = tuple(nearest(name, known))
        hint = f" Nearest known: {', '.join(self.nearest)}." if self.nearest else ""
        super().__init__(f"{kind} {name!r} is not in the catalogue.{hint} {how}")


class Malformed(ProfileError):  # noqa: N818 - reads as what it is
    """Something that was handed over cannot be read."""


class ProfileRefused(ProfileError):  # noqa: N818 - reads as what it is
    """A combination that cannot work, with the reason."""


class DoesNotFit(ProfileError):  # noqa: N818 - reads as what it is
    """Memory is missing, with how much and the smallest change that helps."""


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names most like this one, best first; letter case and separators do not count."""
    plain = {plain_name(candidate): candidate for candidate in known}
    wanted = plain_name(name)
    matches = get_close_matches(wanted, plain, n=limit, cutoff=0.5)
    matches += [candidate for candidate in plain if wanted and wanted in candidate and candidate not in matches]
    return list(dict.fromkeys(plain[match] for match in matches))[:limit]


def plain_name(name: str) -> str:
    """A name without case and separators: `H100-SXM` and `h100 sxm` are the same."""
    return "".join(character for character in name.lower() if character.isalnum() or character == ".")
