"""Masks for text that leaves the machine: secrets, home paths, user names and e-mail addresses.

Pure, and idempotent: a mask is masked no more. Equal secrets get equal masks, so that copies still match: the mask
holds the beginning of a keyed hash, and the key is drawn anew for each `Redactor` unless given.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kvassay.types import JsonValue, Message, ToolCall

_MASK = r"⟨[a-z]+:[0-9a-f]{8}⟩"
_KEY_CHARS = r"[A-Za-z0-9_\-]"
_NAMES = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret|token|passwd|password|passphrase|pwd|credential|private[_-]?key|auth)"
)
_WORDS = r"(?:api[_-]?key|secret|passw(?:or)?d|passphrase|access[_-]?token|auth[_-]?token|private[_-]?key)"

_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # of a word, in text that holds JSON's escapes too

# What providers say their keys look like.
_KEYS = (
    rf"(?:sk|pk|rk)[-_](?:ant|proj|or|live|test|lf|svcacct)?[-_]?{_KEY_CHARS}{{16,}}",  # Anthropic, OpenAI, Stripe …
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|ptt|soat)-[\w\-]{16,}",
    r"hf_[A-Za-z0-9]{16,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}",
    r"nvapi-[\w\-]{20,}|tvly-[\w\-]{16,}|fw_[A-Za-z0-9]{20,}|lsv2_[a-z]{2}_\w{20,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}\b|AIza[\w\-]{30,}|ya29\.[\w\-]{20,}|GOCSPX-[\w\-]{20,}",
    r"xox[abeoprs]-[\w\-]{10,}|xapp-[\w\-]{10,}|\d{8,10}:AA[\w\-]{30,}|[MNO][\w\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,}",
    r"npm_[A-Za-z0-9]{30,}|pypi-[\w\-]{30,}|rubygems_[a-f0-9]{40,}|dckr_pat_[\w\-]{20,}|do[opr]_v1_[a-f0-9]{40,}",
    r"SG\.[\w\-]{16,99}\.[\w\-]{16,}|whsec_[\w+/=]{20,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32,}|key-[a-f0-9]{32}\b",
    r"lin_api_\w{20,}|(?:secret|ntn)_[A-Za-z0-9]{40,}|fig[duo]_[\w\-]{20,}|tskey-[a-z]+-[\w\-]{10,}|SK[0-9a-f]{32}\b",
    r"dp\.[a-z]{2,6}\.[\w.\-]{30,}|hv[sbr]\.[\w\-]{20,}|glsa_\w{30,}|sbp_[a-f0-9]{30,}|ATATT3[\w\-=]{20,}|PMAK-[\w\-]{40,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,}|eyJ[\w\-]{6,999}\.[\w\-]{6,9999}\.[\w\-]*",
)

# Each pattern's group "s" is what is masked. Repeats that may fail late are bounded: no text makes it slow.
_SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        (
            r"(?s)(?P<s>-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?"
            r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z))"
        ),
        rf"{_START}(?P<s>{'|'.join(_KEYS)})",
        # passwords and keys in addresses
        r"(?<=\w)://[^\s/:@'\"]{0,200}:(?P<s>[^\s/@'\"]+)@",
        r"(?i)[?&](?:token|key|sig|signature|auth|apikey|secret|password|pwd)=(?P<s>[^\s&#'\"\\<>]{8,})",
        r"(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks)/(?P<s>[\w/\-]{20,})",
        # … in headers and on command lines
        r"(?i)\b(?:authorization|proxy-authorization)\W{1,4}(?:bearer|basic|token)\s+(?P<s>[\w\-.~+/=]{8,})",
        r"(?i)\b(?:bearer|basic)\s+(?=\S{0,99}\d)(?P<s>[A-Za-z0-9._~+/\-]{12,}=*)",
        r"(?i)\b(?:x-api-key|api-key)\W{1,4}(?P<s>[\w\-.~+/=]{8,})",
        r"(?i)\bcookie['\"]?:[ \t]{0,9}['\"]?(?P<s>[\w.\-]{1,99}=[^\r\n'\"\\]{8,})",
        r"(?i)--(?:password|token|api-key|secret)[= ](?P<s>[^\s'\"\-][^\s'\"]{5,})",
        r"\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[= ]?['\"]?[^\s:'\"]{1,99}:(?P<s>[^\s'\"]+)",
        # … in stores of passwords and in databases
        r"\blogin\s{1,9}\S{1,99}\s{1,9}password\s{1,9}(?P<s>\S+)",
        r"(?i)\b(?:identified by|password)\s{1,9}'(?P<s>[^'\s]{6,})'",
        r"\b(?:AccountKey|SharedAccessKey)=(?P<s>[\w+/=]{20,})",
        # assignments: NAME_TOKEN=…, password: …, "password": "…"
        (
            rf"(?m)^[ \t]*(?:export[ \t]+)?[A-Z0-9_]{{0,64}}{_NAMES.upper()}[A-Z0-9_]{{0,64}}=(?!\d+$)"
            r"(?P<s>[^\s'\"$()\[\]{}]{6,})"
        ),
        (
            rf"{_START}[A-Z][A-Z0-9_]{{0,64}}_(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|PAT)=(?=\S{{0,99}}\d)(?!\d+\b)"
            r"(?P<s>[^\s'\"$()\[\]{}\\;&|]{6,})"
        ),
        (
            rf"(?m)^[ \t]*(?:ENV|set(?:[ \t]+-\w+)+)[ \t]+[A-Z0-9_]{{0,64}}{_NAMES.upper()}[A-Z0-9_]{{0,64}}[ \t]+"
            r"(?P<s>[^\s'\"$(){}]{6,})"
        ),
        (
            rf"(?im)^[ \t]*[\w\-]{{0,64}}{_NAMES}[ \t]{{0,9}}[:=][ \t]*(?=\S{{0,99}}\d)(?!\d+$)"
            r"(?P<s>[^\s'\"()\[\]{}.,;]{6,})[ \t]*$"
        ),
        rf"(?i){_NAMES}[\w\-]{{0,64}}\\?[\"']?[ \t]{{0,9}}[:=][ \t]{{0,9}}\\?[\"'](?P<s>[^\s\"'\\]{{6,}})\\?[\"']",
        # … within a sentence or a line of code; what is called or subscripted is code, and no mask is a secret
        rf"(?i)(?<!⟨){_WORDS}(?:=|:[ \t]?(?=\S{{0,99}}\d))(?P<s>[^\s'\"\\,;}}{{()\[\]]{{6,}}+)(?![(\[])",
    )
)
_EMAIL = re.compile(r"(?P<s>(?<![\w.+\-])[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)*\.[A-Za-z]{2,}\b)")
_NAME = r"[^\s/\\:\"'`<>|⟨⟩;,&)\]}%]+"
_HOMES = tuple(
    re.compile(pattern)
    for pattern in (
        # in Windows' own form a name may hold blanks: it goes up to the next backslash
        r"(?i)(?:[a-z]:)\\{1,4}(?:users|documents and settings)\\{1,4}(?P<s>[^/\\:\"'`<>|⟨⟩\r\n]{1,64}(?=\\)|"
        + _NAME
        + ")",
        rf"(?i)[a-z]:/users/(?P<s>{_NAME})",
        rf"(?:\\?/|%2[Ff]|\\{{1,4}})(?:home|Users)(?:\\?/|%2[Ff]|\\{{1,4}})(?P<s>{_NAME})",
        # the folders in which agents keep a project's sessions are named after its path
        r"(?<=[/\\])(?:[A-Za-z]-)?-{1,2}(?:home|Users)-(?P<s>[^\s/\\\-⟨⟩]+)",
    )
)
_SHARED = frozenset({"shared", "public", "default", "runner", "user", "root", "linuxbrew"})


@dataclass(frozen=True, slots=True)
class Redactor:
    """Masks text under one key. ``users`` are names that are masked wherever they stand as a word."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    users: tuple[str, ...] = ()

    @classmethod
    def of_this_machine(cls) -> Redactor:
        """Masks the name of whoever runs this, and of the home folder's owner."""
        names = {Path.home().name, os.environ.get("USER", ""), _login()}
        return cls(users=tuple(sorted(name for name in names if _is_personal(name))))

    def without_secrets(self, text: str) -> str:
        """Mask keys, tokens and passwords only."""
        for pattern in _SECRETS:
            text = pattern.sub(self._masking("secret"), text)
        return text

    def text(self, text: str) -> str:
        """Mask a text: secrets, and who wrote it."""
        text = self.without_secrets(text)
        text = _EMAIL.sub(self._masking("mail"), text)
        for pattern in _HOMES:
            text = pattern.sub(self._masking("user"), text)
        for name in self.users:
            text = re.sub(rf"(?<![\w⟨:])(?P<s>{re.escape(name)})(?![\w⟩])", self._masking("user"), text)
        return text

    def json(self, value: JsonValue) -> JsonValue:
        """Mask every string of a JSON value; names of members stay."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.json(item) for item in value]
            case dict():
                return {key: self._member(key, inner) for key, inner in value.items()}
            case _:
                return value

    def messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Mask what messages say and call; ids and tools' names stay."""
        return tuple(
            Message(m.role, self.text(m.content), tuple(map(self._call, m.tool_calls)), m.tool_call_id)
            for m in messages
        )

    def _call(self, call: ToolCall) -> ToolCall:
        return ToolCall(call.id, call.name, {name: self._member(name, value) for name, value in call.arguments.items()})

    def _member(self, name: str, value: JsonValue) -> JsonValue:
        """A member's value; one whose name says that it is a secret is masked whole, whatever it looks like."""
        if isinstance(value, str) and _SECRET_NAME.fullmatch(name) and value and not _MASKED.fullmatch(value):
            return self._mask("secret", value)
        return self.json(value)

    def _masking(self, kind: str) -> Callable[[re.Match[str]], str]:
        def mask(match: re.Match[str]) -> str:
            found, (start, end) = match["s"], match.span("s")
            if _MASKED.search(found) or found.lower() in _SHARED:
                return match[0]
            return match[0][: start - match.start()] + self._mask(kind, found) + match[0][end - match.start() :]

        return mask

    def _mask(self, kind: str, found: str) -> str:
        return f"⟨{kind}:{hmac.new(self.key, found.encode(), hashlib.sha256).hexdigest()[:8]}⟩"


_MASKED = re.compile(_MASK)
_SECRET_NAME = re.compile(rf"(?i)[\w\-]*{_NAMES}")
_SHORTEST_NAME = 3


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _is_personal(name: str) -> bool:
    return len(name) >= _SHORTEST_NAME and name.lower() not in _SHARED
