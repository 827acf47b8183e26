"""Takes secrets out of text before it is stored: what looks like a key, whatever it is for."""

from __future__ import annotations

import re

_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9_-]{16,}"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hf_|npm_|pypi-|AIza)[A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/-]{12,}=*")
_NAMED = re.compile(
    r"""(?ix)((?:api[_-]?key|secret|passw(?:or)?d|passphrase|access[_-]?token|auth[_-]?token|private[_-]?key)
    \\?["']?\s*[:=]\s*\\?["']?)([^\s"'\\,;}{]{6,})"""
)
_URL_LOGIN = re.compile(r"(://[^/\s:@]+:)[^/\s@]+@")

MARK = "[redacted]"


def redact(text: str) -> str:
    """The text with keys, tokens, passwords of URLs and values of secret names replaced by ``MARK``."""
    text = _KNOWN.sub(MARK, text)
    text = _BEARER.sub(rf"\1\2{MARK}", text)
    text = _NAMED.sub(rf"\1{MARK}", text)
    return _URL_LOGIN.sub(rf"\1{MARK}@", text)
