"""Prompts as token ids, exactly the same for every arm: the session's prefix at each depth, and each probe's suffix."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvassay.assay.follow import shared as shared_items
from kvassay.assay.records import ProbeRecord, RungRecord, SessionRecord
from kvassay.assay.schedule import Slot
from kvassay.backend.base import Boot
from kvassay.errors import StoreMismatch
from kvassay.types import Message, Probe, Tool

STANDS_ALONE = 0  # the depth of probes without a session


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
    """All prompts of a run. ``prefixes`` maps depth → token ids in front of the questions of that depth."""

    prefixes: dict[int, tuple[int, ...]]
    prompts: tuple[Prompt, ...]

    def tokens(self, prompt: Prompt) -> tuple[int, ...]:
        """The whole prompt's token ids."""
        return self.prefixes.get(prompt.depth, ())[: prompt.shared] + prompt.suffix

    def suffix_tokens(self, slots: Iterable[Slot]) -> int:
        """Tokens of the questions of some slots, each question once."""
        asked = {(slot.depth, slot.probe) for slot in slots}
        return sum(len(prompt.suffix) for prompt in self.prompts if (prompt.depth, prompt.probe.id) in asked)

    def new_tokens(self, slots: Sequence[Slot]) -> int:
        """Prompt tokens that a boot processes for these slots: its deepest prefix, and each question."""
        deepest = max((len(self.prefixes.get(slot.depth, ())) for slot in slots), default=0)
        return deepest + self.suffix_tokens(slots)

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
    """A book together with what the store keeps of it."""

    book: PromptBook
    session: SessionRecord
    probes: tuple[ProbeRecord, ...]


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
            prompts.append(_prompt(place, probe, used, prefixes.get(place.depth, ()), boot.tokenize(text)))
            records.append(_record(prompts[-1], prefix, text))
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
        place = Place(record.depth, session.messages[: rung.n_messages] if rung else (), ())
        text = (rung.prefix_text[: record.prefix_chars] if rung else "") + record.suffix_text
        used = record.probe.tools if record.probe.tools is not None else session.tools
        prompt = _prompt(place, record.probe, used, prefixes.get(record.depth, ()), boot.tokenize(text))
        if prompt.sha256 != record.prompt_sha256:
            raise StoreMismatch(
                f"probe {record.probe.id!r} at {record.depth} tokens: this server's tokenizer makes other tokens of it",
                hint="The model or the build has changed since. Start a new run.",
            )
        prompts.append(prompt)
    return PromptBook(prefixes, tuple(prompts))


def conversation(history: tuple[Message, ...], probe: Probe) -> tuple[Message, ...]:
    """The session with the probe at its end. A system message of the probe's own takes the session's place."""
    own = probe.messages[:1] if history and probe.messages[0].role == "system" else ()
    return own + history[len(own) :] + probe.messages[len(own) :]


def prefix_text(boot: Boot, history: Sequence[Message], tools: Sequence[Tool]) -> str:
    """What every prompt after this history begins with: the stretch that two different questions share."""
    first, second = (boot.render((*history, Message("user", question)), tools) for question in "ab")
    return first[: shared_items(first, second)]


def digest(tokens: Sequence[int]) -> str:
    """SHA-256 of token ids as little-endian int32."""
    return hashlib.sha256(array("i", tokens).tobytes()).hexdigest()


def _record(prompt: Prompt, prefix: str, text: str) -> ProbeRecord:
    chars = shared_items(prefix, text)
    cut = None if chars == len(prefix) else chars
    return ProbeRecord(prompt.depth, prompt.probe, prompt.sha256, prompt.prompt_tokens, text[chars:], prefix_chars=cut)


def _prompt(
    place: Place, probe: Probe, tools: tuple[Tool, ...], prefix: Sequence[int], tokens: tuple[int, ...]
) -> Prompt:
    shared = shared_items(prefix, tokens)
    return Prompt(place.depth, probe, tools, place.history, shared, tokens[shared:], digest(tokens))
