"""What the user wrote: canary.yml in its full form and two short ones, read strictly, as frozen values."""

from canary.spec.local import local_faults
from canary.spec.parse import Document, parse, parse_document, revision
from canary.spec.source import Source

__all__ = ["Document", "Source", "local_faults", "parse", "parse_document", "revision"]
