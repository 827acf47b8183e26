"""Typographic dashes and quotes, as word processors and web pages put them into commands. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kvassay.doctor.flags import FLAGS

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_DASHED = re.compile(rf"([-{_DASHES}]{{1,2}})([A-Za-z][\w-]*)(.*)", re.DOTALL)
_OPENED = re.compile(r"(?:\A|=)[“„‘]")
_CLOSED = re.compile(r"[”“’]\Z")
_QUOTED = re.compile(r"(\A|=)[“„‘](.*)[”“’]\Z", re.DOTALL)
_SHORT_CHARS = 4  # llama.cpp's flags of one hyphen: -ctkd
_SHORT = frozenset(
    name[1:] for flags in FLAGS.values() for flag in flags for name in (*flag.names, *flag.off) if name[1:2] != "-"
)


class Straight(NamedTuple):
    """Words in plain characters, and those that had others, as they were found."""

    words: tuple[str, ...]
    typographic: tuple[str, ...]


def straight(words: Sequence[str]) -> Straight:
    """Read typographic dashes in front of a word, and typographic quotes around it or around a value, as what they
    stand for. Words between an opening and a closing quote are one, as no shell would have it.
    """
    found = _together(words)
    meant = [_QUOTED.sub(r"\1\2", _hyphened(word)) for word in found]
    return Straight(tuple(meant), tuple(word for word, plain in zip(found, meant, strict=True) if word != plain))


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
    if dashed is None or dashed[1].strip("-") == "":
        return word
    long = len(dashed[1]) > 1 or (dashed[2] not in _SHORT and (len(dashed[2]) > _SHORT_CHARS or "-" in dashed[2]))
    return f"{'--' if long else '-'}{dashed[2]}{dashed[3]}"
