"""What differs between results that say the same: times, durations, process ids, ports, addresses, scratch paths."""

from __future__ import annotations

import re

# One pass, first match wins: longer and more specific forms stand further ahead.
_VOLATILE = re.compile(
    r"""
    (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    |(?P<time>
        \b\d{4}-\d\d-\d\dT\d\d[_-]\d\d[_-]\d\d(?:[_.-]\d+)?Z?(?![\da-z])
        |\b20\d{6}[T_-]?\d{6}Z?\b
        |\b\d{4}[-/]\d\d?[-/]\d\d?(?:[T\ ,]+\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?\ ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)?)?(?!\d)
        |\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*,?\ +)?(?:\d\d?\ +)?
         (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?\ +\d\d?(?:,?\ +\d{4})?
         (?:,?\ +\d\d?:\d\d(?::\d\d)?(?:\.\d+)?)?(?:\ +(?:[A-Z]{3,4}|[+-]\d{4}))?(?:\ +\d{4})?(?!\d)
        |\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b
        |\b1[5-9]\d{8}(?:\.\d+|\d{3}|\d{6}|\d{9})?\b
    )
    |(?P<address>\b0x[0-9a-f]{4,16}\b)
    |(?P<scratch>
        (?:/private)?/(?:tmp|var/tmp|var/folders)/[^\s'":;,)\]}]+
        |[A-Z]:\\(?:Users\\[^\\\s]+\\AppData\\Local\\)?Temp\\[^\s'":;,)\]}]+
    )
    |(?P<pid>\b(?:pid|ppid|tid|process(?:\ id)?|job|thread)(?:\ id)?['"]?\ ?[=:\#\[(]?\ ?['"]?\d+\b)
    |(?P<port>\b(?:port['"]?\ ?[=:]?\ ?|(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):)\d{2,5}\b)
    |(?P<duration>
        \b(?:\d+h(?:\d+m)?|\d+m)\d+(?:\.\d+)?s\b
        |\b\d+(?:\.\d+)?\ ?(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b
        (?:\ ?\d+(?:\.\d+)?\ ?(?:ms|s|secs?|seconds?|m|mins?|minutes?)\b)*
        |\b(?:elapsed|duration|took|uptime|wall[_ ]time|time)(?:[_ ]?(?:ns|us|ms|s|secs?|seconds))?['"]?\ ?
         (?:[=:]\ ?|(?<=_ms\ ))\d+(?::\d\d)*(?:\.\d+)?\b
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t]+")
_NOTES = ("system-reminder", "environment_details", "total_tokens")


def settled(text: str) -> str:
    """The text with every volatile field replaced by its kind, and runs of blanks by one. Linear; numbers that are not
    marked as volatile stay: a count, a line number or an exit code tells two results apart.
    """
    return _BLANKS.sub(" ", _VOLATILE.sub(lambda match: f"<{match.lastgroup}>", text)).strip()


def without_notes(text: str) -> str:
    """The text without the notes that clients add to users' words and tools' results of their own accord, anew each
    turn: the time, the cost, tokens left, to-do lists (Claude Code; Cline, Roo Code). Linear.
    """
    for tag in _NOTES:
        text = _without(text, f"<{tag}>", f"</{tag}>")
    return text.strip()


def _without(text: str, opening: str, closing: str) -> str:
    kept, position = [], 0
    while (start := text.find(opening, position)) >= 0 and (end := text.find(closing, start)) >= 0:
        kept.append(text[position:start])
        position = end + len(closing)
    return "".join((*kept, text[position:]))
