"""Wrong values that the context explains: quotes that are not there (M8), paths and ids never seen (M9)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvassay.grade import names
from kvassay.grade.context import Context
from kvassay.types import Call, JsonValue, Outcome, OutcomeClass

_PATH = re.compile(r"[^\s]*[/\\][^\n]*|[^\s/\\]+\.\w{1,8}")
_ID = re.compile(r"(?=\S*\d)\S{3,}")
_SHOWN_CHARS = 80


def verbatim_miss(call: Call, context: Context) -> Outcome | None:
    """M8: an edit's old text is not in the newest view of its file. None where it is, or the file was never seen."""
    path = names.file_path(call.arguments)
    view = context.view(path) if path else None
    if view is None:
        return None
    view += "\n"  # readers drop the last line's end, quotes may hold it
    for edit in names.replacements(call.arguments):
        if edit.old not in view:
            distance = nearest_distance(edit.old, view)
            detail = f"{edit.parameter} is not in {path} as last seen: {distance} characters off at the nearest place"
            return Outcome(OutcomeClass.VERBATIM_MISS, detail, edit_distance=distance)
        view = view.replace(edit.old, edit.new, 1)
    return None


def placeless(call: Call, context: Context) -> Outcome | None:
    """M12: an edit's old text does not say where: it is empty, or stands in the newest view of its file more than once,
    so that agents refuse the edit. None where the edit is meant for every place, or the file was never seen.
    """
    path = names.file_path(call.arguments)
    view = context.view(path) if path else None
    if view is None or names.replaces_all(call.arguments):
        return None
    for edit in names.replacements(call.arguments):
        count = view.count(edit.old) if edit.old else 0
        if count > 1 or (not edit.old and view.strip()):
            why = f"stands in {path} {count} times as last seen" if count else f"is empty, and {path} is not"
            return Outcome(OutcomeClass.WRONG_VALUE, f"{edit.parameter} {why}: the place can't be told")
        view = view.replace(edit.old, edit.new, 1)
    return None


def nearest_distance(quote: str, text: str) -> int:
    """Measure the Levenshtein distance, in characters, from a quote to the stretch of a text nearest to it.

    Exact. Myers' bit-vector search (J. ACM 46(3), 1999) on Python's integers: a 4 KB quote in a 100 KB file takes a
    third of a second. `rapidfuzz` aligns only windows of the quote's own length, which counts slips twice.
    """
    every, last = (1 << len(quote)) - 1, 1 << len(quote) >> 1
    places: dict[str, int] = {}
    for index, char in enumerate(quote):
        places[char] = places.get(char, 0) | 1 << index
    more, fewer, distance = every, 0, len(quote)  # columns of the distance table, as differences between its rows
    best = distance
    for char in text:
        equal = places.get(char, 0)
        either = equal | fewer
        across = (((equal & more) + more) ^ more) | equal
        up, down = fewer | (every & ~(across | more)), more & across
        distance += bool(up & last) - bool(down & last)
        best = min(best, distance)
        up, down = up << 1, down << 1
        more, fewer = (down | ~(either | up)) & every, up & either & every
    return best


def ungrounded(call: Call, context: Context) -> Outcome | None:
    """M9: a path or id that nothing in front of it mentions. A file that is being created need not exist."""
    creates = bool(names.verbs(call.name, call.arguments) & names.WRITING)
    for parameter, value in _leaves("", call.arguments):
        path = names.names_place(parameter) and _PATH.fullmatch(value) and not creates
        id_ = names.names_id(parameter) and _ID.fullmatch(value)
        if (path and not _path_seen(value, context)) or (id_ and not context.mentions(value)):
            shown = value if len(value) <= _SHOWN_CHARS else f"{value[: _SHOWN_CHARS - 1]}…"
            return Outcome(OutcomeClass.UNGROUNDED_ID, f"{call.name}.{parameter} is {shown!r}, never mentioned before")
    return None


def _path_seen(path: str, context: Context) -> bool:
    """Said as it is, or put together from a directory and a path below it that were each said: a working directory
    and ``src/a.py``, a folder and a name in its listing.
    """
    plain = path.removeprefix("./").rstrip("/")
    cuts = [at for at, char in enumerate(plain) if char == "/" and at]
    parted = any(context.mentions(plain[:at]) and context.mentions(plain[at + 1 :]) for at in cuts)
    return parted or context.mentions(plain)


def _leaves(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """Strings and whole numbers with the name of the parameter that holds them."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(key, inner)
        case list():
            for inner in value:
                yield from _leaves(name, inner)
        case bool() | float() | None:
            return
        case _:
            yield name, str(value)
