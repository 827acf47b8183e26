"""Prompts as token ids, exactly the same for every arm: the session's prefix at each depth, and each probe's suffix."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kvassay.assay.records import ProbeRecord, ReplayRecord, RungRecord, SessionRecord
from kvassay.assay.schedule import Slot
from kvassay.backend.base import Boot
from kvassay.errors import StoreMismatch
from kvassay.prefix import shared as shared_items
from kvassay.types import Message, Probe, Tool

STANDS_ALONE = 0  # the depth of probes without a session
STRETCH = "history"  # the member of a recorded turn's key that says where its history lies


@dataclass(frozen=True, slots=True)
class Prompt:
    """One probe at one depth: ``messages`` in front of it, the first ``shared`` tokens of the rung's prefix, then
    ``suffix``. ``sha256`` is over the whole prompt's token ids (little-endian int32).
    """

    depth: int
    probe: Probe
    tools: tuple[Tool, ...]
    history: tuple[Message, ...]
    shared: int
    suffix: tuple[int, ...]
    sha256: str

    @property
    def prompt_tokens(self) -> int:
        return self.shared + len(self.suffix)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation, question included."""
        return conversation(self.history, self.probe)


@dataclass(frozen=True, slots=True)
class PromptBook:
    """All prompts of a run. ``prefixes`` maps depth → token ids in front of the questions of that depth.

    Recorded turns have no prefix in common but stand one behind the other: then ``fresh`` says how many tokens of each
    prompt the one before it doesn't share, and they are asked in the book's order. For a ladder it is empty.
    """

    prefixes: dict[int, tuple[int, ...]]
    prompts: tuple[Prompt, ...]
    fresh: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def in_order(self) -> bool:
        """Whether prompts are asked one behind the other, as a session went."""
        return bool(self.fresh)

    def tokens(self, prompt: Prompt) -> tuple[int, ...]:
        """The whole prompt's token ids."""
        return self.prefixes.get(prompt.depth, ())[: prompt.shared] + prompt.suffix

    def suffix_tokens(self, slots: Iterable[Slot]) -> int:
        """Tokens of the questions of some slots, each question once."""
        asked = {(slot.depth, slot.probe) for slot in slots}
        return sum(len(prompt.suffix) for prompt in self.prompts if (prompt.depth, prompt.probe.id) in asked)

    def new_tokens(self, slots: Sequence[Slot]) -> int:
        """Prompt tokens that a boot processes for these slots: its deepest prefix, and each question; of recorded turns
        what is new in each, where the one before it was asked too.
        """
        if self.in_order:
            return self._new_in_order({(slot.depth, slot.probe) for slot in slots})
        deepest = max((len(self.prefixes.get(slot.depth, ())) for slot in slots), default=0)
        return deepest + self.suffix_tokens(slots)

    def _new_in_order(self, asked: set[tuple[int, str]]) -> int:
        places = [(prompt.depth, prompt.probe.id) for prompt in self.prompts]
        return sum(
            self.fresh[place] if before in asked else prompt.prompt_tokens
            for prompt, place, before in zip(self.prompts, places, (None, *places), strict=False)
            if place in asked
        )

    @property
    def sha256(self) -> str:
        """One hash over all prompts' hashes, in order."""
        return hashlib.sha256("".join(prompt.sha256 for prompt in self.prompts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """A depth with the session's messages in front of it, before anything is rendered."""

    depth: int
    history: tuple[Message, ...]
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A book together with what the store keeps of it; ``replay`` is for the manifest."""

    book: PromptBook
    session: SessionRecord
    probes: tuple[ProbeRecord, ...]
    replay: ReplayRecord | None = None


def write(boot: Boot, places: Sequence[Place], tools: tuple[Tool, ...]) -> Written:
    """Render and tokenise every prompt once, with the boot's own template and tokenizer."""
    prefixes: dict[int, tuple[int, ...]] = {}
    prompts: list[Prompt] = []
    records: list[ProbeRecord] = []
    rungs: list[RungRecord] = []
    for place in places:
        prefix = ""
        if place.history:
            prefix = prefix_text(boot, place.history, tools)
            prefixes[place.depth] = boot.tokenize(prefix)
            rungs.append(RungRecord(place.depth, len(place.history), len(prefixes[place.depth]), prefix))
        for probe in place.probes:
            used = probe.tools if probe.tools is not None else tools
            text = boot.render(conversation(place.history, probe), used)
            prompts.append(prompt_of(place, probe, used, prefixes.get(place.depth, ()), boot.tokenize(text)))
            records.append(record_of(prompts[-1], prefix, text))
    deepest = max((place.history for place in places), key=len, default=())
    return Written(PromptBook(prefixes, tuple(prompts)), SessionRecord(deepest, tools, tuple(rungs)), tuple(records))


def read(boot: Boot, session: SessionRecord, records: Iterable[ProbeRecord]) -> PromptBook:
    """The book of a stored run, made anew from its texts. Raises StoreMismatch where this boot's tokenizer makes other
    tokens of them.
    """
    rungs = {rung.depth: rung for rung in session.rungs}
    prefixes = {depth: boot.tokenize(rung.prefix_text) for depth, rung in rungs.items()}
    prompts = []
    for record in records:
        rung = rungs.get(record.depth)
        place = Place(record.depth, history_of(session, record.probe, rung), ())
        text = (rung.prefix_text[: record.prefix_chars] if rung else "") + record.suffix_text
        used = record.probe.tools if record.probe.tools is not None else session.tools
        prompt = prompt_of(place, record.probe, used, prefixes.get(record.depth, ()), boot.tokenize(text))
        if prompt.sha256 != record.prompt_sha256:
            raise StoreMismatch(
                f"probe {record.probe.id!r} at {record.depth} tokens: this server's tokenizer makes other tokens of it",
                hint="The model or the build has changed since. Start a new run.",
            )
        prompts.append(prompt)
    return chained(PromptBook(prefixes, tuple(prompts)))


def history_of(session: SessionRecord, probe: Probe, rung: RungRecord | None = None) -> tuple[Message, ...]:
    """What stands in front of a stored probe: a stretch of the session of its own, or what its rung has."""
    own = stretch_of(probe)
    if own:
        return session.messages[slice(*own)]
    return session.messages[: rung.n_messages] if rung else ()


def stretch_of(probe: Probe) -> tuple[int, int] | None:
    """Where a recorded turn's history lies among the stored messages (first, behind the last); None for others."""
    match probe.key.get(STRETCH):
        case [int(first), int(end)]:
            return first, end
        case _:
            return None


def chained(book: PromptBook) -> PromptBook:
    """The book of recorded turns with what is new in each prompt; any other book as it is."""
    if not book.prompts or any(stretch_of(prompt.probe) is None for prompt in book.prompts):
        return book
    fresh: dict[tuple[int, str], int] = {}
    before: tuple[int, ...] = ()
    for prompt in book.prompts:
        tokens = book.tokens(prompt)
        fresh[prompt.depth, prompt.probe.id] = len(tokens) - shared_items(before, tokens)
        before = tokens
    return replace(book, fresh=fresh)


def conversation(history: tuple[Message, ...], probe: Probe) -> tuple[Message, ...]:
    """The session with the probe at its end. A system message of the probe's own takes the session's place."""
    own = probe.messages[:1] if history and probe.messages and probe.messages[0].role == "system" else ()
    return own + history[len(own) :] + probe.messages[len(own) :]


def prefix_text(boot: Boot, history: Sequence[Message], tools: Sequence[Tool]) -> str:
    """What every prompt after this history begins with: the stretch that two different questions share."""
    first, second = (boot.render((*history, Message("user", question)), tools) for question in "ab")
    return first[: shared_items(first, second)]


def digest(tokens: Sequence[int]) -> str:
    """SHA-256 of token ids as little-endian int32."""
    return hashlib.sha256(array("i", tokens).tobytes()).hexdigest()


def record_of(prompt: Prompt, prefix: str, text: str) -> ProbeRecord:
    """A prompt as the store keeps it: what its text has beyond the prefix."""
    chars = shared_items(prefix, text)
    cut = None if chars == len(prefix) else chars
    return ProbeRecord(prompt.depth, prompt.probe, prompt.sha256, prompt.prompt_tokens, text[chars:], prefix_chars=cut)


def prompt_of(
    place: Place, probe: Probe, tools: tuple[Tool, ...], prefix: Sequence[int], tokens: tuple[int, ...]
) -> Prompt:
    """A prompt from its token ids: what it shares with the prefix of its depth, and the rest."""
    shared = shared_items(prefix, tokens)
    return Prompt(place.depth, probe, tools, place.history, shared, tokens[shared:], digest(tokens))
