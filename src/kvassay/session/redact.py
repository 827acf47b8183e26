"""Masks for text that leaves the machine: secrets, home paths, user names and e-mail addresses.

Pure, and idempotent: a mask is masked no more. Equal secrets get equal masks, so that copies still match: the mask
holds the beginning of a keyed hash, and the key is drawn anew for each `Redactor` unless given. What one place shows to
be a secret, or a name, is masked at all others too (`Redactor.knowing`).
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kvassay.types import JsonValue, Message, ToolCall

_MASK = r"⟨[a-z]+:[0-9a-f]{8}⟩"
_KEY_CHARS = r"[A-Za-z0-9_\-]"
_NAMES = (
    r"(?:(?:api|access|secret|private|signing|encryption|master|account|deploy)[_-]?key|secret|token|passwd|password"
    r"|passphrase|pwd|credential|auth)"
)
# The word ends here (authors and tokenizers are none), and the name doesn't say that it only tells about a secret.
_ABOUT = r"(?:type|kind|class|name|url|uri|endpoint|mode|header|field|scheme|method)"
_END = rf"(?:(?-i:(?<=[a-z])s?(?![a-z])|(?<=[A-Z])S?(?![A-Za-z])))(?![\w\-]{{0,64}}{_ABOUT}(?![\w\-]))"
_UPPER_END = rf"S?(?![A-Z])(?![A-Z0-9_]{{0,64}}{_ABOUT.upper()}(?![A-Z0-9_]))"
_NAMED = rf"{_NAMES}{_END}[\w\-]{{0,64}}"
_CAPITALS = rf"[A-Z0-9_]{{0,64}}{_NAMES.upper()}{_UPPER_END}[A-Z0-9_]{{0,64}}"
_WORDS = r"(?:api[_-]?key|secret|passw(?:or)?d|passphrase|access[_-]?token|auth[_-]?token|private[_-]?key)"

_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # of a word, in text that holds JSON's escapes too
_QUOTE = r"\\{0,7}[\"'`]"  # as JSON in JSON in JSON writes it
_MIXED = r"(?=[^\s'\"`]{0,99}\d)(?=[^\s'\"`]{0,99}[A-Za-z])"  # what follows has a digit and a letter
_PLAIN = r"[^\s'\"`()\[\]{}.,;<>\\⟨⟩]"

# What providers say their keys look like.
_KEYS = (
    # Anthropic, OpenAI, Stripe …; without a mark of theirs, what is no row of words: names of constraints are
    rf"(?:sk|pk|rk)[-_](?:ant|proj|or|live|test|lf|svcacct|admin)[-_]{_KEY_CHARS}{{16,}}",
    rf"(?:sk|pk|rk)[-_](?:[a-z0-9]{{1,10}}-){{0,3}}[A-Za-z0-9]{{16,}}{_KEY_CHARS}*",
    rf"sk-(?={_KEY_CHARS}{{0,99}}[A-Z])(?={_KEY_CHARS}{{0,99}}\d){_KEY_CHARS}{{16,}}",
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|ptt|soat|cbt|ft|imt|agent|oas|ffct)-[\w\-]{16,}(?:\.[\w]{2,9}){0,2}",
    r"hf_[A-Za-z0-9]{16,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}",
    r"nvapi-[\w\-]{20,}|tvly-[\w\-]{16,}|fw_[A-Za-z0-9]{20,}|lsv2_[a-z]{2}_\w{20,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}\b|AIza[\w\-]{30,}|ya29\.[\w\-]{20,}|GOCSPX-[\w\-]{20,}",
    r"xox[abeoprs]-[\w\-]{10,}|xapp-[\w\-]{10,}|\d{8,10}:AA[\w\-]{30,}|[MNO][\w\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,}",
    r"npm_[A-Za-z0-9]{30,}|pypi-[\w\-]{30,}|rubygems_[a-f0-9]{40,}|dckr_pat_[\w\-]{20,}|do[opr]_v1_[a-f0-9]{40,}",
    r"SG\.[\w\-]{16,99}\.[\w\-]{16,}|whsec_[\w+/=]{20,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32,}|key-[a-f0-9]{32}\b",
    r"lin_api_\w{20,}|(?:secret|ntn)_[A-Za-z0-9]{40,}|fig[duo]_[\w\-]{20,}|tskey-[a-z]+-[\w\-]{10,}|SK[0-9a-f]{32}\b",
    r"dp\.(?:[cps]t|sa|said|scim|audit)\.(?:[\w\-]{1,35}\.)?[A-Za-z0-9]{30,}|hv[sbr]\.[\w\-]{20,}|glsa_\w{30,}",
    r"sbp_[a-f0-9]{30,}|sb_secret_[\w\-]{20,}|AT(?:ATT3|CTT3|BB)[\w\-=]{20,}|PMAK-[\w\-]{40,}|BSA[\w\-]{27,}",
    r"tgp_v1_[\w\-]{20,}|csk-[a-z0-9]{32,}|pcsk_\w{32,}|jina_\w{32,}|fc-[0-9a-f]{32}\b|e2b_[0-9a-f]{32,}|rpa_[A-Z0-9]{32,}",
    r"AQ\.Ab[\w\-]{30,}|1//0[\w\-]{30,}|ABSK[A-Za-z0-9+/=]{40,}|api_org_[A-Za-z0-9]{30,}|dapi[0-9a-f]{32}\b",
    r"vc[aciprk]_[A-Za-z0-9]{24,}|nf[bcopu]_[A-Za-z0-9]{32,}|HRKU-[\w\-]{30,}|(?:FlyV1[ \t])?f[mo][12]_[\w+/=,\-]{30,}",
    r"pscale_(?:tkn|pw|oauth)_[\w\-.]{30,}|napi_[a-z0-9]{40,}|ops_eyJ[\w+/=\-]{40,}|[A-Za-z0-9]{14}\.atlasv1\.[\w\-=]{40,}",
    r"sntry[sua]_[\w+/=\-]{40,}|NRAK-[A-Z0-9]{27}|NRJS-[a-f0-9]{19}|glc_eyJ[\w+/=]{20,}|ph[cx]_[A-Za-z0-9]{32,}",
    r"sq0[a-z]{3}-[\w\-]{22,}|EAA[A-Za-z][\w\-]{56,}|xkeysib-[0-9a-f]{64}|mlsn\.[0-9a-f]{40,}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}",
    r"[0-9a-f]{32}-us\d{1,2}\b|dckr_oat_[\w\-]{20,}|CFPAT-[\w\-]{40,}|dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{40,}|rnd_[A-Za-z0-9]{28,}",
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
        r"Private-Lines: \d{1,3}\s+(?P<s>[A-Za-z0-9+/=\s]{40,9999}?)\s*Private-MAC",  # PuTTY's
        rf"{_START}(?P<s>{'|'.join(_KEYS)})",
        # passwords and keys in addresses
        r"(?<=\w)://[^\s/:@'\"⟨⟩]{0,200}:(?P<s>[^\s/@'\"⟨⟩]+)@",
        (
            r"(?i)(?:[?&]|&amp;|\\u0026)(?:token|key|sig|auth|apikey|secret|password|pwd|(?:x-(?:amz|goog)-)?signature"
            r"|x-amz-security-token)=(?P<s>[^\s&#'\"\\<>]{8,})"
        ),
        (
            r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
            r"|webhook\.office\.com/webhookb2)/(?P<s>[\w/@\-]{20,})"
        ),
        # … in headers and on command lines
        r"(?i)\b(?:authorization|proxy-authorization)\W{1,4}(?:bearer|basic|token)\s+(?P<s>[\w\-.~+/=]{8,})",
        r"(?i)\b(?:bearer|basic)\s+(?=\S{0,99}\d)(?P<s>[A-Za-z0-9._~+/\-]{12,}=*)",
        r"(?i)\b(?:x-api-key|api-key|subscription-key)\W{1,4}(?P<s>[\w\-.~+/=]{8,})",
        rf"(?i){_START}(?:set-)?cookie['\"]?:[ \t]{{0,9}}['\"]?(?P<s>[\w.\-]{{1,99}}=[^\r\n'\"\\]{{8,}})",
        rf"(?i)--(?:password|token|api-key|secret)[= ](?:{_QUOTE})?(?P<s>[^\s'\"`\\\-][^\s'\"`\\]{{5,}})",
        (
            r"(?i)--[a-z][\w\-]{0,40}-(?:password|passphrase|token|secret|(?:access|account|secret|api)-key)[= ]"
            rf"(?:{_QUOTE})?{_MIXED}(?P<s>[^\s'\"`\\\-][^\s'\"`\\]{{5,}})"
        ),
        r"\bwandb login (?:--\S{1,40} )?(?P<s>[0-9a-f]{40,})",
        r"\s-pass(?:in|out)? pass:(?P<s>[^\s'\"`\\]{4,})",
        rf"{_START}redis-cli\b[^\n]{{0,200}}?\s-a[ =]?(?:{_QUOTE})?(?P<s>[^\s'\"`\\]{{4,}})",
        (
            rf"{_START}(?:sshpass|(?:docker|podman|helm registry|az) login)\b[^\n]{{0,200}}?\s-p[ =]?(?:{_QUOTE})?"
            r"(?P<s>[^\s'\"`\\]{4,})"
        ),
        rf"{_START}(?:mysql\w*|mariadb[\w\-]*)\b[^\n]{{0,200}}?\s-p(?:{_QUOTE})?(?P<s>[^\s'\"`\\]{{4,}})",
        rf"{_START}curl\b[^\n]{{0,300}}?\s(?:-u|--user)[= ]?['\"]?[^\s:'\"]{{1,99}}:(?P<s>[^\s'\"]+)",
        # … in stores of passwords and in databases
        (  # .pgpass
            rf"{_START}[\w.\-*]{{1,99}}:(?:\d{{4,5}}|\*):(?!\d)[\w\-*]{{1,99}}:(?!\d)[\w.\-]{{1,99}}:"
            r"(?P<s>[^\s:'\"`\\⟨⟩]{6,})"
        ),
        r"\blogin\s{1,9}\S{1,99}\s{1,9}password\s{1,9}(?P<s>\S+)",
        r"(?i)\b(?:identified by|password)\s{1,9}'(?P<s>[^'\s]{6,})'",
        r"\b(?:AccountKey|SharedAccessKey)=(?P<s>[\w+/=]{20,})",
        # assignments: NAME_TOKEN=…, password: …, "password": "…"
        (
            rf"(?m)^[ \t]*(?:export[ \t]+)?{_CAPITALS}=(?!\d+$)"
            r"(?P<s>[^\s'\"$()\[\]{}]{6,})"
        ),
        (  # … of several words, as in .env
            r"(?m)^[ \t]*(?:export[ \t]+)?[A-Z0-9_]{0,64}(?:SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD)="
            r"(?P<q>['\"])(?P<s>[^'\"\n]{6,200})(?P=q)[ \t]*$"
        ),
        (
            rf"(?i)(?:[_\-]|{_START})pass(?:{_QUOTE})?[ \t]{{0,9}}[:=][ \t]{{0,9}}{_QUOTE}{_MIXED}"
            rf"(?P<s>[^\s\"'`\\]{{6,}}){_QUOTE}"
        ),
        (
            rf"{_START}[A-Z][A-Z0-9_]{{0,64}}_(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PWD|PAT)[ \t]{{0,9}}="
            rf"(?:[ \t]{{0,9}}{_QUOTE})?(?=[^\s'\"`]{{0,99}}\d)(?!\d+\b)(?P<s>[^\s'\"`$()\[\]{{}}\\;&|]{{6,}})"
        ),
        (
            rf"{_START}(?:ENV|setenv|setx|set(?:[ \t]+-\w+)+)[ \t]+{_CAPITALS}[ \t]+"
            r"(?P<s>[^\s'\"`$(){}\\]{6,})"
        ),
        (
            rf"(?im)^[ \t]*[\w\-]{{0,64}}{_NAMES}[ \t]{{0,9}}[:=][ \t]*(?=\S{{0,99}}\d)(?!\d+$)"
            r"(?P<s>[^\s'\"()\[\]{}.,;]{6,})[ \t]*$"
        ),
        # … and within a line, behind a line's number, a file's name, a sign of a diff
        (
            rf"(?i){_START}[\w\-]{{0,64}}{_NAMES}[ \t]{{0,9}}[:=][ \t]{{0,9}}{_MIXED}(?P<s>{_PLAIN}{{16,}}+)"
            r"(?=[\s'\"`]|\\|$)"
        ),
        # … as a string, whatever type is declared between
        (
            rf"(?i){_NAMED}(?:{_QUOTE})?\]?(?:[ \t]?:[ \t]?[a-z]{{1,20}})?[ \t]{{0,9}}[:=][ \t]{{0,9}}"
            rf"{_QUOTE}(?P<s>[^\s\"'`\\]{{6,}}){_QUOTE}"
        ),
        # … within a sentence or a line of code; what is called or subscripted is code, and no mask is a secret
        rf"(?i)(?<!⟨){_WORDS}(?:=|:[ \t]?(?=\S{{0,99}}\d))(?P<s>[^\s'\"\\,;}}{{()\[\]]{{6,}}+)(?![(\[])",
    )
)
_EMAIL = re.compile(r"(?P<s>(?<![\w.+\-])(?!git@)[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)*\.[A-Za-z]{2,}\b)")
_NAME = r"[^\s/\\:\"'`<>|⟨⟩;,&)\]}%]+"
_HOMES = tuple(
    re.compile(pattern)
    for pattern in (
        # in Windows' own form a name may hold blanks: it goes up to the next backslash
        r"(?i)(?:[a-z]:)\\{1,4}(?:users|documents and settings)\\{1,4}(?P<s>[^/\\:\"'`<>|⟨⟩\r\n]{1,64}(?=\\)|"
        + _NAME
        + ")",
        rf"(?i)[a-z]:/users/(?P<s>{_NAME})",
        (
            rf"(?:\\?/|%2[Ff]|\\{{1,4}})(?:home|Users)(?:\\?/|%2[Ff]|\\{{1,4}})"
            rf"(?P<s>{_NAME}(?:\\? [A-Z][\w.\-]{{0,40}}(?=/))?)"
        ),
        # the folders in which agents keep a project's sessions are named after its path
        r"(?<=[/\\])(?:[A-Za-z]-)?-{1,2}(?:home|Users)-(?P<s>[^\s/\\\-⟨⟩]+)",
    )
)
_SHARED = frozenset({
    "admin", "app", "coder", "codespace", "debian", "default", "dev", "docker", "ec2-user", "git", "jovyan",
    "linuxbrew", "node", "public", "root", "runner", "shared", "test", "ubuntu", "user", "vagrant", "vscode",
    "work", "workspace",
})  # fmt: skip
"""Names of home folders that are nobody's own."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Masks text under one key. ``users`` are names that are masked wherever they stand as a word, ``known`` secrets
    that are masked wherever they stand, the longest first.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    users: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @classmethod
    def of_this_machine(cls) -> Redactor:
        """Masks the name of whoever runs this, and of the home folder's owner."""
        names = {Path.home().name, os.environ.get("USER", ""), _login()}
        return cls(users=tuple(sorted(name for name in names if _is_personal(name))))

    def knowing(self, texts: Iterable[str], *, places: Iterable[str] = ()) -> Redactor:
        """One that also masks the secrets which these texts show, where nothing else tells that they are secret, and
        the names of those whose home folders hold these places.
        """
        found = {match["s"] for text in texts for pattern in _SECRETS for match in pattern.finditer(text)}
        owners = {match["s"] for place in places for pattern in _HOMES for match in pattern.finditer(place)}
        return replace(
            self,
            users=tuple(sorted({*self.users, *filter(_is_personal, owners)}, key=len, reverse=True)),
            known=tuple(sorted({*self.known, *filter(_is_telling, found)}, key=len, reverse=True)),
        )

    def without_secrets(self, text: str) -> str:
        """Mask keys, tokens and passwords only."""
        for pattern in _SECRETS:
            text = pattern.sub(self._masking("secret"), text)
        for secret in self.known:
            text = text.replace(secret, self._mask("secret", secret))
        return text

    def text(self, text: str) -> str:
        """Mask a text: secrets, and who wrote it."""
        text = self.without_secrets(text)
        text = _EMAIL.sub(self._masking("mail"), text)
        for pattern in _HOMES:
            text = pattern.sub(self._masking("user"), text)
        for name in self.users:
            text = re.sub(rf"{_WORD_START}(?P<s>{re.escape(name)})(?![\w⟩])", self._masking("user"), text)
        return text

    def json(self, value: JsonValue) -> JsonValue:
        """Mask every string of a JSON value; names of members stay where they are identifiers."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.json(item) for item in value]
            case dict():
                return {self._key(key): self._member(key, inner) for key, inner in value.items()}
            case _:
                return value

    def messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Mask what messages say and call; ids and tools' names stay."""
        return tuple(
            Message(m.role, self.text(m.content), tuple(map(self._call, m.tool_calls)), m.tool_call_id)
            for m in messages
        )

    def _call(self, call: ToolCall) -> ToolCall:
        arguments = {self._key(name): self._member(name, value) for name, value in call.arguments.items()}
        return ToolCall(call.id, call.name, arguments)

    def _key(self, name: str) -> str:
        return name if name.isidentifier() else self.text(name)

    def _member(self, name: str, value: JsonValue) -> JsonValue:
        """A member's value; one whose name says that it is a secret is masked whole, whatever it looks like."""
        if isinstance(value, str) and _SECRET_NAME.fullmatch(name) and value and not _MASKED.fullmatch(value):
            return self._mask("secret", value)
        return self.json(value)

    def _masking(self, kind: str) -> Callable[[re.Match[str]], str]:
        def mask(match: re.Match[str]) -> str:
            found, (start, end) = match["s"], match.span("s")
            if _MASKED.search(found) or found.lower() in _SHARED or _STAND_IN.fullmatch(found):
                return match[0]
            return match[0][: start - match.start()] + self._mask(kind, found) + match[0][end - match.start() :]

        return mask

    def _mask(self, kind: str, found: str) -> str:
        return f"⟨{kind}:{hmac.new(self.key, found.encode('utf-8', 'surrogatepass'), hashlib.sha256).hexdigest()[:8]}⟩"


_WORD_START = r"(?:(?<![\w⟨])(?<!⟨user:)(?<!⟨mail:)(?<!⟨secret:)|(?<=\\[nrt]))"
_MASKED = re.compile(_MASK)
_STAND_IN = re.compile(r"<[^<>]*>|\$?\{[^{}]*\}|\{\{[^{}]*\}\}")  # <|im_end|>, ${API_KEY}: in a secret's place
_SECRET_NAME = re.compile(rf"(?i)[\w\-]*{_NAMES}")
_SHORTEST_NAME = 3
_SHORTEST_SECRET = 8


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _is_telling(secret: str) -> bool:
    """Whether it is nothing else wherever it stands: no word, no number, no mask."""
    long_enough = len(secret) >= _SHORTEST_SECRET and not _MASKED.search(secret)
    return long_enough and any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))


def _is_personal(name: str) -> bool:
    return len(name) >= _SHORTEST_NAME and name.lower() not in _SHARED
