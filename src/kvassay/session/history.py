"""What the model was shown before each recorded turn: after compactions, and cut where a context is too small."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from kvassay.grade.context import CLEARED
from kvassay.session.transcript import Compaction, Said, Transcript
from kvassay.types import Message

_LEFT_SHARE = 0.75  # of the room, after a cut: so that many turns share the cut history as their prefix
_KEPT_RESULTS = 2  # the newest results are never cleared

TokensOf = Callable[[Message], int]


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens a history may have, and how many a message has (templates put little between messages).
    ``fixed_tokens`` are those of the tools and of the answer.
    """

    context_tokens: int
    tokens_of: TokensOf
    fixed_tokens: int = 0

    @property
    def history_tokens(self) -> int:
        return self.context_tokens - self.fixed_tokens


@dataclass(frozen=True, slots=True)
class Moment:
    """One recorded assistant turn and what was in front of it.

    ``number`` counts the session's assistant turns from 1. ``answers`` are the results of the turn's calls, in the
    order recorded. ``compactions`` is the number of compactions before it, ``cleared`` that of old tool results whose
    text was replaced by `CLEARED` because the context was too small, ``dropped`` that of messages left out for the same
    reason; ``mended`` that of poisoned calls taken out of the history, for no server takes them. ``fits`` is False
    where even that was not enough.
    """

    number: int
    history: tuple[Message, ...]
    said: Said
    answers: tuple[Said, ...]
    history_tokens: int
    compactions: int = 0
    cleared: int = 0
    dropped: int = 0
    mended: int = 0
    fits: bool = True


def moments(transcript: Transcript, room: Room, *, system: str | None = None) -> Iterator[Moment]:
    """The session's assistant turns in order, each with the history that its agent showed the model.

    A recorded compaction replaces what came before it, as the agent did. Where a history is longer than the room, the
    oldest tool results are cleared, down to three quarters of the room (opencode does so); where that is not enough,
    the oldest messages after the user's first are left out (Cline does so). What is gone stays gone. So
    histories are prefixes of one another, except where a compaction or a cut comes between.
    """
    prompt = transcript.system if system is None else system
    shown = _Shown(room, (Message("system", prompt),) if prompt else ())
    answers = _answers(transcript)
    number = 0
    for entry in transcript.entries:
        if isinstance(entry, Compaction):
            shown.compact(entry)
        elif isinstance(entry, Said):
            if entry.message.role == "assistant":
                number += 1
                yield replace(shown.moment(entry), number=number, answers=answers.get(number, ()))
            shown.add(entry)


@dataclass(slots=True)
class _Shown:
    """The history as it grows."""

    room: Room
    opening: tuple[Message, ...]
    messages: list[Message] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of each message among all that were said; 0: a replacement
    said: int = 0
    tokens: int = 0
    compactions: int = 0
    cleared: list[int] = field(default_factory=list)  # each message by its number
    dropped: list[int] = field(default_factory=list)
    mended: list[int] = field(default_factory=list)
    poisoned_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tokens = self._count(self.opening)

    def add(self, said: Said) -> None:
        """Show one more message. Poisoned calls and their results are taken out; a turn of nothing else is none."""
        self.said += 1
        self.mended += [self.said] * len(said.poisoned)
        self.poisoned_ids.update(call.id for call in said.poisoned)
        message = said.message
        orphan = message.role == "tool" and message.tool_call_id in self.poisoned_ids
        empty = message.role == "assistant" and not message.content and not message.tool_calls
        if not orphan and not empty:
            self.messages.append(message)
            self.numbers.append(self.said)
            self.tokens += self.room.tokens_of(message)

    def compact(self, marker: Compaction) -> None:
        """What was taken out since then is not made up for by older messages: ``kept`` counts what was said."""
        replaced = max(self.said - marker.kept, 0)
        first = bisect_right(self.numbers, replaced)
        while first < len(self.messages) and self.messages[first].role == "tool":  # its call is gone
            first += 1
        self.messages = [*marker.replacement, *self.messages[first:]]
        self.numbers = [0] * len(marker.replacement) + self.numbers[first:]
        self.tokens = self._count(self.opening) + self._count(self.messages)
        self.compactions += 1
        for gone in (self.cleared, self.dropped, self.mended):  # in what is kept, a cut stays a cut
            gone[:] = [number for number in gone if number > replaced]

    def moment(self, said: Said) -> Moment:
        if self.tokens > self.room.history_tokens:
            self._clear()
        if self.tokens > self.room.history_tokens:
            self._drop()
        return Moment(
            number=0,
            history=(*self.opening, *self.messages),
            said=said,
            answers=(),
            history_tokens=self.tokens,
            compactions=self.compactions,
            cleared=len(self.cleared),
            dropped=len(self.dropped),
            mended=len(self.mended),
            fits=self.tokens <= self.room.history_tokens,
        )

    def _clear(self) -> None:
        results = [at for at, message in enumerate(self.messages) if message.role == "tool"]
        for at in results[:-_KEPT_RESULTS]:
            if self.tokens <= _LEFT_SHARE * self.room.history_tokens:
                return
            old, new = self.messages[at], replace(self.messages[at], content=CLEARED)
            saved = self.room.tokens_of(old) - self.room.tokens_of(new)
            if saved > 0:
                self.messages[at] = new
                self.tokens -= saved
                self.cleared.append(self.numbers[at])

    def _drop(self) -> None:
        first = next((at for at, message in enumerate(self.messages) if message.role == "user"), -1) + 1
        last = end = first
        while end < len(self.messages) - 1 and self.tokens > _LEFT_SHARE * self.room.history_tokens:
            end += 1
            if self.messages[end].role != "tool":  # a result without its call is no history
                self.tokens -= self._count(self.messages[last:end])
                last = end
        self.dropped += self.numbers[first:last]
        del self.messages[first:last], self.numbers[first:last]

    def _count(self, messages: Sequence[Message]) -> int:
        return sum(map(self.room.tokens_of, messages))


def _answers(transcript: Transcript) -> dict[int, tuple[Said, ...]]:
    """The results that follow each assistant turn, by the turn's number."""
    found: dict[int, tuple[Said, ...]] = {}
    number = 0
    for entry in transcript.entries:
        if isinstance(entry, Said):
            number += entry.message.role == "assistant"
            if entry.message.role == "tool":
                found[number] = (*found.get(number, ()), entry)
    return found
