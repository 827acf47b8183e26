"""Typographic dashes, quotes and spaces, as word processors and web pages put them into commands. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from kvassay.doctor.flags import FLAGS

_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_DASHED = re.compile(rf"([-{_DASHES}]{{1,2}})([A-Za-z][\w{_DASHES}-]*)(.*)", re.DOTALL)
_DASH = re.compile(f"[{_DASHES}]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_SPACE = re.compile("[\u00a0\u2007\u2009\u202f\u3000]+")
_OPENED = re.compile(r"(?:\A|=)[“„”‘‚«]")
_CLOSED = re.compile(r"[”“’‘»]\Z")
_QUOTED = re.compile(r"(\A|=)[“„”‘‚«](.*)[”“’‘»]\Z", re.DOTALL)
_ASSIGNED = re.compile(r"\$env:", re.IGNORECASE)
"""PowerShell reads these quotes as quotes (its language specification, 2.3.5.2)."""
_SHORT_CHARS = 4  # llama.cpp's flags of one hyphen: -ctkd
_NAMES = frozenset(name for flags in FLAGS.values() for flag in flags for name in (*flag.names, *flag.off))
_SHORT = frozenset(name[1:] for name in _NAMES if name[1:2] != "-")
_LONG = frozenset({name[2:] for name in _NAMES if name[1:2] == "-"} | {"env", "gpus", "init", "ipc", "name", "rm"})
"""Flags of two hyphens; docker's too, where a name is as short as llama.cpp's of one hyphen."""


class Straight(NamedTuple):
    """Words in plain characters, and those that had others, as they were found."""

    words: tuple[str, ...]
    typographic: tuple[str, ...]


def straight(words: Sequence[str]) -> Straight:
    """Read typographic dashes of a flag, and typographic quotes around a word or a value, as what they stand for.
    Words between an opening and a closing quote are one, as no shell would have it; a flag is parted from what a
    space that does not break ties to it; characters without width are left out.
    """
    found = [(word, _plain(word)) for word in _together(words)]
    meant = tuple(chain.from_iterable(plain for _, plain in found))
    return Straight(meant, tuple(word for word, plain in found if plain != [word] and not _ASSIGNED.match(word)))


def _plain(word: str) -> list[str]:
    parts = [part for part in _SPACE.split(_INVISIBLE.sub("", word)) if part]
    if not any(_DASHED.fullmatch(part) for part in parts):
        parts = [_INVISIBLE.sub("", word)]
    return [_QUOTED.sub(r"\1\2", _hyphened(part)) for part in parts]


def _together(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(words):
        end = at
        if _OPENED.search(words[at]) and not _CLOSED.search(words[at]):
            end = next((n for n in range(at + 1, len(words)) if _CLOSED.search(words[n])), at)
        found.append(" ".join(words[at : end + 1]))
        at = end + 1
    return found


def _hyphened(word: str) -> str:
    """A flag with hyphens: one stands for two where the name is a long flag's, as word processors join two."""
    dashed = _DASHED.fullmatch(word)
    if dashed is None:
        return word
    hyphens, name = dashed[1], _DASH.sub("-", dashed[2])
    if _DASH.search(hyphens):
        long = name not in _SHORT and (name in _LONG or len(name) > _SHORT_CHARS or "-" in name)
        hyphens = "--" if len(hyphens) > 1 or long else "-"
    return hyphens + name + dashed[3]
