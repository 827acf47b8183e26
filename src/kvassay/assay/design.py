"""The design of a run: made from settings, model and prompts; hashed before trial 1; compared before anything is
put together.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvassay import host
from kvassay.assay.codec import dump
from kvassay.assay.prepare import Questions
from kvassay.assay.prompts import STANDS_ALONE, Written
from kvassay.assay.records import ArmSpec, Design, Manifest, ReplayRecord
from kvassay.backend.catalog import CATALOG
from kvassay.errors import ConfigError, StoreMismatch
from kvassay.kv_cache import PAD, pad
from kvassay.session.redact import Redactor
from kvassay.settings import RunSettings
from kvassay.types import Arm, KVConfig, Probe, Role
from kvassay.wire import message_to_json, tool_to_json

CHARS_PER_TOKEN = 2  # of suite cases, by a cautious estimate
TEMPLATE_TOKENS = 512  # what a chat template says of its own, instructions on how to call included
BESIDE_THE_DESIGN = (
    "depths",
    "tools",
    "corpus",
    "dialect",
    "gpu_layers",
    "flash_attention",
    "device",
    "dtype",
    "serve",
    "tokenizer",
    "replay",
)
"""Settings that decide results, but stand in no field of the design that is known before a server runs."""


@dataclass(frozen=True, slots=True)
class Room:
    """The context that a run needs: its greatest prompt is ``question`` tokens after a session of ``depth``."""

    depth: int
    question: int
    answer: int

    @property
    def tokens(self) -> int:
        """The whole, padded as the server pads it; sessions come within 2 % of their depth."""
        return pad(self.depth * 102 // 100 + self.question + self.answer)

    def greatest_depth(self, context_tokens: int) -> int:
        """The greatest depth that leaves room for question and answer in a context; 0 or less where none does."""
        return (context_tokens // PAD * PAD - self.question - self.answer) * 100 // 102


def room_for(settings: RunSettings, questions: Questions) -> Room:
    """What the greatest prompt of a run needs, by estimate: exact counts need a server."""

    def room(depth: int, cases: Sequence[Probe]) -> Room:
        ours = questions.room_tokens if questions.families and depth != STANDS_ALONE else 0
        longest = max((len(str(case.messages)) + len(str(case.tools)) for case in cases), default=0)
        return Room(depth, max(ours, longest // CHARS_PER_TOKEN + TEMPLATE_TOKENS), settings.max_tokens)

    return max((room(*place) for place in questions.placed(settings.depths).items()), key=lambda room: room.tokens)


def context_tokens(settings: RunSettings, questions: Questions) -> int:
    """The context that each server is started with: the user's, or what the greatest prompt needs."""
    return settings.context or room_for(settings, questions).tokens


def check_room(settings: RunSettings, questions: Questions, trained_tokens: int | None) -> None:
    """Raise ConfigError where the run's prompts can't fit --context, or the context that the model was trained for."""
    if settings.replay:
        _check_trained(settings.context or 0, trained_tokens)
        return
    room = room_for(settings, questions)
    if settings.context is not None and room.depth + room.answer >= settings.context:
        raise ConfigError(
            f"depth {room.depth:,} and an answer of {room.answer:,} tokens don't fit --context {settings.context:,}",
            hint=f"The run needs about {room.tokens:,}; leave --context out to have it chosen.",
        )
    need = context_tokens(settings, questions)
    if trained_tokens is None or need <= trained_tokens:
        return
    if room.depth == STANDS_ALONE or settings.context is not None:
        _check_trained(need, trained_tokens)
    raise ConfigError(
        f"depth {room.depth:,} needs a context of {need:,} tokens; the model was trained for {trained_tokens:,}",
        hint=f"The greatest depth that leaves room for question and answer is "
        f"{max(room.greatest_depth(trained_tokens), 0):,}.",
    )


def _check_trained(need: int, trained_tokens: int | None) -> None:
    if trained_tokens is not None and need > trained_tokens:
        raise ConfigError(f"a context of {need:,} tokens is needed; the model was trained for {trained_tokens:,}")


def arm_spec(arm: Arm) -> ArmSpec:
    """An arm as the manifest states it."""
    kv = arm.kv
    return ArmSpec(label=arm.label, role=arm.role, k=kv.k, v=kv.v, rotation=kv.rotation, endpoint=arm.endpoint)


def arm_of(spec: ArmSpec) -> Arm:
    """The inverse of arm_spec."""
    return Arm(KVConfig(spec.k, spec.v, spec.rotation), Role(spec.role), spec.endpoint)


@dataclass(frozen=True, slots=True)
class Sample:
    """The model under test, as the manifest names it. ``trained_tokens`` is the context it was trained for."""

    name: str
    sha256: str | None = None
    trained_tokens: int | None = None


TAIL = 1e-6
"""Probability that the reference's lists may leave out where whole vocabularies are at hand, unless a list is full
before (`kvassay.backend.base.MOST_LISTED`): it adds that times the logarithm of the greatest ratio, some ten nats, to
a divergence.
"""


def stated(settings: RunSettings, sample: Sample, arms: Sequence[Arm], questions: Questions) -> dict[str, object]:
    """The part of a design that is known before any server runs."""
    evidence_probes = settings.evidence_probes if "raw" in settings.channels and settings.top_n else 0
    return {
        "model_name": sample.name,
        "model_sha256": sample.sha256,
        "backend": settings.backend,
        "server_args": settings.server_args,
        "hardware": host.hardware(),
        "threads": settings.threads,
        "arms": tuple(arm_spec(arm) for arm in arms),
        "context_tokens": context_tokens(settings, questions),
        "families": questions.families,
        "probes_per_family": settings.probes_per_family,
        "levels": settings.levels,
        "suite_sha256": questions.suite.sha256 if questions.suite else None,
        "seed": settings.seed,
        "channels": settings.channels,
        "parsed_share": settings.parsed_share,
        "max_tokens": settings.max_tokens,
        "top_n": settings.top_n,
        "alpha": settings.alpha,
        "margin": settings.margin,
        "stopping": settings.stopping,
        "turns": settings.turns,
        "agent": settings.agent if settings.turns else "",
        "endpoint": "the task is done" if settings.turns else "the call is right",
        "evidence_probes": evidence_probes,
        "evidence_tail": TAIL if evidence_probes and CATALOG[settings.backend].whole else None,
    }


def design_of(known: dict[str, object], *, build: str | None, native: str | None, written: Written) -> Design:
    """Everything that must be equal before results may stand in one table."""
    session = dump([message_to_json(message) for message in written.session.messages])
    tools = dump([tool_to_json(tool) for tool in written.session.tools])
    return Design.model_validate(
        {
            **known,
            "build": build,
            "dialect": native or "",
            "depths": tuple(sorted({prompt.depth for prompt in written.book.prompts})),
            "tools_sha256": _sha256(tools),
            "session_sha256": _sha256(session),
            "prompts_sha256": written.book.sha256,
        }
    )


def manifest_of(design: Design, settings: RunSettings, replay: ReplayRecord | None = None) -> Manifest:
    """The manifest of a new run. Of a masked session it names nobody but in paths that a resumed run needs."""
    command, machine = (Path(sys.argv[0]).name, *sys.argv[1:]), host.host()
    if replay and replay.redacted and settings.replay:
        mask = Redactor.of_this_machine().text
        command = tuple(map(mask, command))
        machine = {name: mask(value) for name, value in machine.items()}
        session = settings.replay.model_copy(update={"session": mask(settings.replay.session)})
        settings = settings.model_copy(update={"replay": session})
    return Manifest(
        design=design,
        design_sha256=_sha256(design.model_dump_json()),
        created_at=time.time(),
        kvassay_version=importlib.metadata.version("kvassay"),
        packages=host.packages(),
        host=machine,
        command=command,
        settings=settings.model_dump(mode="json"),
        replay=replay,
    )


def require_equal(stored: Design, now: Mapping[str, object]) -> None:
    """Raise StoreMismatch naming every field of ``now`` in which the stored design differs."""
    _refuse(differences(stored.model_dump(), stored.model_copy(update=now).model_dump()))


def require_resumable(stored: Manifest, settings: RunSettings, known: Mapping[str, object]) -> None:
    """Raise StoreMismatch naming every field of the ``known`` design, and every setting beside it, that differs."""
    before = {name: value for name, value in stored.settings.items() if name in BESIDE_THE_DESIGN}
    design = stored.design.model_dump(), stored.design.model_copy(update=known).model_dump()
    _refuse([*differences(before, settings.model_dump(mode="json")), *differences(*design)])


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """A line for each field of ``before`` that differs now."""
    return [f"  {name}: {before[name]!r} in the store, {now[name]!r} now" for name in before
            if before[name] != now[name]]  # fmt: skip


def _refuse(differences: Sequence[str]) -> None:
    if differences:
        raise StoreMismatch(
            "the stored run was made under another design:\n" + "\n".join(differences),
            hint="Runs are never mixed: set these back, or start a new run (without --resume, or in another --out).",
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
