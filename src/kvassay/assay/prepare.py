"""From settings and a running server to the prompts of a run: session, ladder, probes, suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvassay import dialect
from kvassay.assay.prompts import STANDS_ALONE, Place, Written, write
from kvassay.assay.recorded import Recorded, recorded_of, write_turns
from kvassay.backend.base import Boot
from kvassay.errors import ConfigError
from kvassay.probe import FAMILIES, RECORDED, draw
from kvassay.probe.suite import Suite, load_suite
from kvassay.session import corpus
from kvassay.session.corpus import Corpus
from kvassay.session.ladder import climb
from kvassay.settings import RunSettings
from kvassay.types import Message, Probe, Tool
from kvassay.wire import load_tools

ROOM_FOR_QUESTION = 1536  # tokens; the longest question of our own families is far shorter


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, before any server runs: our families, a suite, or both; or the turns of a recorded session.
    ``drawn`` makes the families' questions about a rung; ``room_tokens`` is what the longest of them needs beside its
    answer; ``code`` is what the session reads, None for Python's own library.
    """

    families: tuple[str, ...]
    suite: Suite | None
    tools: tuple[Tool, ...] | None
    drawn: Callable[..., tuple[Probe, ...]] = draw
    room_tokens: int = ROOM_FOR_QUESTION
    recorded: Recorded | None = None
    code: Corpus | None = None

    def placed(self, depths: Sequence[int]) -> dict[int, tuple[Probe, ...]]:
        """The suite's cases by the depth at which each is asked."""
        places: dict[int, list[Probe]] = {depth: [] for depth in (depths if self.families else ())}
        for probe in self.suite.probes if self.suite else ():
            depth = probe.key.get("depth")
            places.setdefault(int(depth) if isinstance(depth, int | float) else STANDS_ALONE, []).append(probe)
        return {depth: tuple(probes) for depth, probes in places.items()}


def questions_of(settings: RunSettings, *, stored: bool = False) -> Questions:
    """Check everything about the questions that needs no server; read the recorded session that is to be asked again,
    unless its prompts are ``stored`` already. Raises ConfigError, SuiteError, UsageError.
    """
    unknown = [name for name in settings.families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"unknown probe family {unknown[0]!r}", hint=f"Families: {', '.join(FAMILIES)}.")
    if settings.dialect not in ("auto", *dialect.names()):
        raise ConfigError(
            f"unknown dialect {settings.dialect!r}", hint=f"Dialects: auto, {', '.join(dialect.names())}."
        )
    code = code_of(settings)
    if settings.replay:
        given = load_tools(settings.tools) if settings.tools else None
        recorded = None if stored else recorded_of(settings.replay, given)
        return Questions(tuple(RECORDED), None, given, recorded=recorded)
    suite = load_suite(settings.suite) if settings.suite else None
    families = settings.families or (() if suite else tuple(FAMILIES))
    return Questions(families, suite, load_tools(settings.tools) if settings.tools else None, code=code)


def code_of(settings: RunSettings) -> Corpus | None:
    """The user's own repository, where one is named. Raises ConfigError where it holds nothing to use."""
    return corpus.directory(settings.corpus) if settings.corpus else None


def prompts_of(settings: RunSettings, questions: Questions, boot: Boot) -> Written:
    """Build session and probes and render every prompt with the server's template and tokenizer."""
    if questions.recorded:
        return write_turns(settings, questions.recorded, boot)
    cases = questions.placed(settings.depths)
    depths = sorted(depth for depth in cases if depth != STANDS_ALONE)
    alone = cases.get(STANDS_ALONE, ())
    places = [Place(STANDS_ALONE, (), alone)] if alone else []
    if not depths:
        return write(boot, places, ())

    def count(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
        return len(boot.tokenize(boot.render(messages, tools)))

    wanted = questions.tools or next((case.tools for at in depths for case in cases[at] if case.tools), None)
    code = questions.code or corpus.stdlib()
    ladder = climb(seed=settings.seed, tools=wanted, corpus=code, depths=depths, count=count)
    native = native_dialect(settings, boot.facts.chat_template)
    form = dialect.form(native) if native else ""
    for at, rung in enumerate(ladder.rungs):
        drawn = questions.drawn(
            rung.scene,
            families=questions.families,
            per_family=settings.probes_per_family,
            seed=settings.seed,
            rung=at,
            levels=settings.levels,
            form=form,
        )
        places.append(Place(rung.depth, ladder.messages[: rung.n_messages], (*drawn, *cases[rung.depth])))
    return write(boot, places, tuple(ladder.tools))


def native_dialect(settings: RunSettings, template: str) -> str | None:
    """The dialect in which the model is expected to write: the user's, or what the chat template shows."""
    return dialect.detect(template) if settings.dialect == "auto" else settings.dialect
