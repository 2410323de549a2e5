"""Names that Kubernetes accepts, by the rules of DNS (RFC 1123): labels, and subdomains made of them. Pure.

Used wherever a name becomes part of an address: by the clients of the API server, by the readers of plans and of
GitSources. What fits here can mean nothing else to whoever gets it next: no `/`, no `..`, no `%`, no upper case.
"""

import re

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""One label, without its length. As a pattern also for CEL and for schemas."""
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
"""Labels with dots between them, without their length."""
LONGEST_LABEL = 63
LONGEST_SUBDOMAIN = 253
_LABEL = re.compile(LABEL)
_SUBDOMAIN = re.compile(SUBDOMAIN)


def is_label(text: str) -> bool:
    """Whether a namespace or a Service may have this name."""
    return len(text) <= LONGEST_LABEL and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether any other object may have this name."""
    return len(text) <= LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None
