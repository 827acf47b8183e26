"""M10: text that repeats itself, or runs to the token limit inside a call."""

from __future__ import annotations

import re

from kvassay.types import Outcome, OutcomeClass, Stop, Turn

REPEATS = 8  # facts/failures.md: an n-gram repeated at least 8 times
_LONGEST = 64  # tokens: a whole short call said over and over
_WORDY_CHARS = 160  # words repeated over less than this may be a list; over half of all text they may not
_OTHER_CHARS = 400  # rulers, indentation and rows of zeros are legitimate up to this length
_SHOWN_CHARS = 40

# Roughly what a tokenizer makes of text: short pieces of words from their start, single digits and signs.
_TOKEN = re.compile(r"[^\W\d_]{1,4}|\d|_|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]{2,}")


def degenerate(turn: Turn, *, max_tokens: int) -> Outcome | None:
    """Tell a turn that fell into a loop, or ran to the limit inside a call's arguments; None otherwise."""
    repeated = repeated_text(turn.text)
    if repeated is not None:
        shown = repeated if len(repeated) <= _SHOWN_CHARS else f"{repeated[: _SHOWN_CHARS - 1]}…"
        return Outcome(OutcomeClass.DEGENERATE, f"{shown!r} repeated {REPEATS} times or more")
    if turn.stop is Stop.LIMIT and any("truncated" in fault.kind for fault in turn.faults):
        return Outcome(OutcomeClass.DEGENERATE, f"the limit of {max_tokens} tokens was reached inside a call")
    return None


def repeated_text(text: str) -> str | None:
    """Find an n-gram of 1 to 64 tokens repeated at least 8 times on end over enough text; None where there is none."""
    spans = [match.span() for match in _TOKEN.finditer(text)]
    tokens = [text[start:end] for start, end in spans]
    for n in range(1, min(_LONGEST, len(tokens) // REPEATS) + 1):
        run = 0
        for i in range(n, len(tokens)):
            run = run + 1 if tokens[i] == tokens[i - n] else 0
            first = i - n - run + 1
            if run >= n * (REPEATS - 1) and _enough(text[spans[first][0] : spans[i][1]], text):
                return text[spans[first][0] : spans[first + n][0]].rstrip()
    return None


def _enough(repeated: str, text: str) -> bool:
    if not _WORD.search(repeated):
        return len(repeated) >= _OTHER_CHARS
    return len(repeated) >= min(_WORDY_CHARS, len(text) / 2)
