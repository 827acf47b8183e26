"""What may be done to a request: each a function of values, with the least change, saying what it did; and when.

None of them makes a call out of text, or completes one that was cut. To apply two, give the second what the first made:
``replace(asked, body=edited.body)``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from kvassay.grade.loops import Loop
from kvassay.guard.contract import Action, Api, Asked, Edited, Replied
from kvassay.guard.places import last_result, last_words
from kvassay.guard.splice import Path, appended, replaced, with_field
from kvassay.types import JsonObject, Outcome, OutcomeClass

_SHOWN_CHARS = 80
_SERVER_ERROR = 500


def sanitised(asked: Asked) -> Edited | None:
    """Take the poison out of a replayed history: arguments that are no JSON object become ``{}``. The call and its
    result stay, so that ids still pair up; nothing is repaired. None where nothing is poisoned.
    """
    if not asked.poisoned:
        return None
    empty = "{}" if asked.api is Api.MESSAGES else '"{}"'
    body = replaced(asked.body.decode(), {poison.place: empty for poison in asked.poisoned})
    did = tuple(
        f"{_dotted(poison.place)} of {poison.tool or 'a call'} was {_shown(poison.text)}, is {{}}"
        for poison in asked.poisoned
    )
    return Edited(Action.SANITISE, body.encode(), did)


def warned(asked: Asked, loop: Loop) -> Edited | None:
    """Tell the model about a loop, at the end of the last tool result. None where the request has none."""
    place = last_result(asked.api, _parsed(asked))
    note = (
        f"\n\n[kvassay guard: {loop.detail}. Doing the same again will not help: change the approach, or say what "
        "is in the way.]"
    )
    return _noted(asked, Action.WARN, place, note)


def nudged(asked: Asked, outcome: Outcome, *, seed: int) -> Edited | None:
    """The request for a second try: told what was wrong with the first, and with another seed where the API has one
    (Messages has none). A blind identical retry would give the same bad call. None where the model itself spoke last.
    """
    place = last_words(asked.api, _parsed(asked))
    note = (
        f"\n\n[kvassay guard: your last answer could not be used ({outcome.kind.name.lower().replace('_', ' ')}: "
        f"{outcome.detail}). Answer again; call tools only with complete JSON arguments that fit their schema.]"
    )
    edited = _noted(asked, Action.REGENERATE, place, note)
    if edited is None or asked.api is Api.MESSAGES:
        return edited
    body = with_field(edited.body.decode(), "seed", str(seed))
    return Edited(edited.action, body.encode(), (*edited.did, f"seed is {seed}"))


def should_retry(outcome: Outcome | None) -> bool:
    """Whether a second try may help: after each failure of the model's, and no other."""
    return outcome is not None and not outcome.correct and not outcome.kind.is_infrastructure


def should_fall_back(outcome: Outcome | None, replied: Replied) -> bool:
    """Whether another server may do better: the model failed, or this server lost the call, broke off or is down."""
    lost = outcome is not None and outcome.kind is OutcomeClass.PARSER_FAULT
    return should_retry(outcome) or lost or replied.cut or replied.status >= _SERVER_ERROR


def stop_loop(loops: Sequence[Loop]) -> Loop | None:
    """The loop on account of which the session should be stopped; None where none has gone round often enough."""
    return next((loop for loop in loops if loop.act), None)


def stop_text(loop: Loop) -> str:
    """What is said to the user instead of one more turn."""
    return (
        f"Stopped by kvassay guard ({loop.kind.value}): {loop.detail}. No request was sent to the model. "
        "Say what should be done differently to go on."
    )


def _noted(asked: Asked, action: Action, place: Path | None, note: str) -> Edited | None:
    body = None if place is None else appended(asked.body.decode(), place, note)
    if body is None or place is None:
        return None
    return Edited(action, body.encode(), (f"{_dotted(place)} has {note.strip()!r} at its end",))


def _parsed(asked: Asked) -> JsonObject:
    return cast("JsonObject", json.loads(asked.body))


def _dotted(place: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…")
