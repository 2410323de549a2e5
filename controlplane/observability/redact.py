"""Takes what looks like a credential out of a text before it is logged or exported.

The second line of defence: whoever handles a secret keeps it out of every sentence. This one is for texts from outside
(an answer of a proxy, a URL in an error) that carry one nobody knew of.
"""

import re

GONE = "<redacted>"
_PATTERNS = (
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE), rf"\g<keep>{GONE}@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<keep>{GONE}"),
    (
        re.compile(
            r"(?P<keep>(?:^|[?&;\s\"'])(?:[\w-]*(?:token|secret|password|passwd|api[_-]?key|signature|routing_key|sig))"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s&;\"',}]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{GONE}",
    ),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|hf_|AKIA)[A-Za-z0-9_-]{8,}"), GONE),
    (re.compile(r"(?P<keep>hooks\.slack\.com/services/)\S+"), rf"\g<keep>{GONE}"),
    (re.compile(r"(?P<keep>discord(?:app)?\.com/api/webhooks/)\S+"), rf"\g<keep>{GONE}"),
)


def redacted(text: str) -> str:
    """The text without passwords in addresses, authorization headers, named secrets and known kinds of tokens."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
